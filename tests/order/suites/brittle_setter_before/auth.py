"""Who calls."""

SESSION = {}
SCOPES = {"read"}


def log_in(caller):
    SESSION["caller"] = caller  # the write


def caller():
    if "caller" not in SESSION:
        raise PermissionError("nobody is logged in")
    return SESSION["caller"]
