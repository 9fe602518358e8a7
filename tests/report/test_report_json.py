"""The report on disk: whole lines, at once, whatever a test does to descriptors and disks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.report.json import SCHEMA, JsonLines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "report.jsonl"


@pytest.fixture
def lines(path: Path) -> Iterator[JsonLines]:
    opened = JsonLines(str(path))
    yield opened
    opened.close()


def records(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def descriptor(lines: JsonLines) -> int:
    return lines._fd


def test_each_line_is_there_as_soon_as_it_is_written(lines: JsonLines, path: Path) -> None:
    assert path.read_bytes() == b""
    for number in range(3):
        lines.write({"type": "run", "schema": SCHEMA, "n": number})
        text = path.read_bytes()
        assert text.endswith(b"\n")
        assert len(text.splitlines()) == number + 1
    assert records(path) == [{"type": "run", "schema": 1, "n": number} for number in range(3)]


def test_an_old_report_is_replaced(path: Path) -> None:
    path.write_text("old\n" * 100, encoding="utf-8")
    lines = JsonLines(str(path))
    lines.write({"a": 1})
    lines.close()
    assert path.read_bytes() == b'{"a": 1}\n'


def test_any_text_can_be_written(lines: JsonLines, path: Path) -> None:
    lines.write({"text": "ü 漢 \u2028 \n \x00"})
    assert records(path) == [{"text": "ü 漢 \u2028 \n \x00"}]
    lines.write({"lone": "\ud800"})
    assert lines.failure is None
    last = path.read_bytes().splitlines()[-1]
    assert last == b'{"lone": "\\ud800"}'
    assert json.loads(last) == {"lone": "\ud800"}


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JsonLines(str(tmp_path / "missing" / "report.jsonl"))
    with pytest.raises(IsADirectoryError):
        JsonLines(str(tmp_path))


def test_a_descriptor_closed_by_a_test_is_survived(lines: JsonLines, path: Path) -> None:
    lines.write({"n": 1})
    os.close(descriptor(lines))
    lines.write({"n": 2})
    assert lines.failure is None
    assert records(path) == [{"n": 1}, {"n": 2}]


def test_a_file_that_got_the_descriptor_s_number_is_not_written_to(
    lines: JsonLines, path: Path, tmp_path: Path
) -> None:
    lines.write({"n": 1})
    number = descriptor(lines)
    os.close(number)
    other = os.open(tmp_path / "other", os.O_WRONLY | os.O_CREAT)
    os.dup2(other, number)
    lines.write({"n": 2})
    assert (tmp_path / "other").read_bytes() == b""
    assert records(path) == [{"n": 1}, {"n": 2}]
    lines.close()
    os.write(number, b"still open")
    os.close(number)
    if other != number:
        os.close(other)


def test_closing_leaves_somebody_else_s_file_open(path: Path, tmp_path: Path) -> None:
    lines = JsonLines(str(path))
    number = descriptor(lines)
    os.close(number)
    lines.close()  # it is nobody's now
    with (tmp_path / "other").open("w") as other:
        os.dup2(other.fileno(), number)
        lines.close()
        os.fstat(number)
        if other.fileno() != number:
            os.close(number)


def test_patched_functions_of_os_and_json_do_not_reach_the_report(
    lines: JsonLines, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("open", "write", "close", "fstat", "ftruncate"):
        monkeypatch.setattr(os, name, None)
    monkeypatch.setattr(json, "dumps", None)
    lines.write({"n": 1})
    monkeypatch.undo()
    assert records(path) == [{"n": 1}]


def test_the_report_survives_a_change_of_the_working_directory(
    lines: JsonLines, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    os.close(descriptor(lines))
    lines.write({"n": 1})
    assert records(path) == [{"n": 1}]


def test_a_report_whose_file_was_deleted_fails_and_stays_silent(lines: JsonLines, path: Path) -> None:
    path.unlink()
    os.close(descriptor(lines))
    lines.write({"n": 1})
    lines.write({"n": 2})
    assert isinstance(lines.failure, FileNotFoundError)
    assert not path.exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_without_room_is_a_failure_and_no_exception() -> None:
    lines = JsonLines("/dev/full")
    lines.write({"n": 1})
    lines.write({"n": 2})
    assert lines.failure is not None
    assert lines.failure.errno == errno.ENOSPC
    lines.close()


FULL_DISK = """
    import resource, signal, sys
    from pytest_mcpsmoke.report.json import JsonLines
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    lines = JsonLines(sys.argv[1])
    for number in range(100):
        lines.write({"n": number, "text": "x" * 60})
    print(lines.failure)
    """


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_leaves_whole_lines_only(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(FULL_DISK), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() in (
        f"[Errno 28] No space left on device: {str(path)!r}",
        "[Errno 27] File too large",
    )
    text = path.read_bytes()
    assert text.endswith(b"}\n")
    assert [record["n"] for record in records(path)] == [*range(len(text.splitlines()))]
    assert 900 < len(text) <= 1000


KILLED = """
    import os, sys
    from pytest_mcpsmoke.report.json import JsonLines
    lines = JsonLines(sys.argv[1])
    lines.write({"n": 1})
    os._exit(3)
    """


def test_what_was_written_survives_a_sudden_end(path: Path) -> None:
    command = [sys.executable, "-P", "-c", textwrap.dedent(KILLED), str(path)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 3
    assert records(path) == [{"n": 1}]


def test_a_child_process_does_not_inherit_the_descriptor(lines: JsonLines) -> None:
    assert os.get_inheritable(descriptor(lines)) is False
