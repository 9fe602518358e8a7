"""Calls that wait for the upstream to come back, a file each."""

SENT = []


def put(folder, call):
    (folder / f"{call}.json").write_text("{}", encoding="utf-8")


def waiting(folder):
    return sorted(path.stem for path in folder.iterdir())


def send(call):
    SENT.append(call)
