"""Files left behind, changed and removed."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from boundary import Boundary

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.files import Files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a file and a folder in it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old.txt").write_text("abc")
    return tmp_path


@pytest.fixture
def run(root: Path) -> Iterator[Boundary]:
    with Boundary(Files(str(root), lambda path: path.endswith("report.jsonl"))) as boundary:
        yield boundary


@pytest.fixture
def temporary() -> Iterator[list[str]]:
    """Paths outside tmp_path, removed at the end."""
    paths: list[str] = []
    yield paths
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        Path(path).unlink(missing_ok=True)


def test_a_file_left_in_the_project_is_named_and_removed(run: Boundary, root: Path) -> None:
    with open(root / "stray.txt", "w") as file:  # the leak
        file.write("x")
    assert run.drain() == [("<rootdir>/stray.txt", None, "file of 1 byte")]
    assert run.line(__file__) == 'with open(root / "stray.txt", "w") as file:  # the leak'
    run.restore()
    assert not (root / "stray.txt").exists()
    assert run.leaks() == []


def test_a_file_left_in_the_temporary_folder(run: Boundary, temporary: list[str]) -> None:
    descriptor, path = tempfile.mkstemp(prefix="zoo-left")
    temporary.append(path)
    os.close(descriptor)
    assert run.drain() == [(path, None, "file of 0 bytes")]
    assert run.line(__file__) == 'descriptor, path = tempfile.mkstemp(prefix="zoo-left")'
    run.restore()
    assert not os.path.exists(path)


def test_temporary_files_count_wherever_they_are(root: Path, temporary: list[str]) -> None:
    elsewhere = tempfile.mkdtemp()
    temporary.append(elsewhere)
    probe = Files(str(root), lambda path: False)
    with Boundary(probe) as run:
        probe._territory._temporary = ()
        Path(elsewhere, "by name").touch()
        path = tempfile.mkdtemp(dir=elsewhere)
        assert run.drain() == [(path, None, "folder")]
        run.restore()
        assert os.listdir(elsewhere) == ["by name"]
        assert run.leaks() == []


@pytest.mark.parametrize(
    "form", ["str", "bytes", "relative", "path", "os.open", "touch", "in a folder made before"]
)
def test_all_ways_to_name_a_file(
    run: Boundary, root: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = root / "data" / "new"
    monkeypatch.chdir(root)
    if form == "os.open":
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    elif form == "touch":
        path.touch()
    else:
        name = {"bytes": os.fsencode(path), "relative": "data/../data/new", "path": path}.get(form, str(path))
        with open(name, "xb"):
            pass
    assert run.drain() == [("<rootdir>/data/new", None, "file of 0 bytes")]


def test_a_new_folder_is_one_entry_with_all_inside_it(run: Boundary, root: Path) -> None:
    os.makedirs(root / "a" / "b")
    (root / "a" / "b" / "c").write_text("x")
    (root / "a" / "__pycache__").mkdir()
    (root / "a" / "__pycache__" / "c.pyc").touch()
    os.symlink(root / "data", root / "a" / "link")
    assert run.drain() == [("<rootdir>/a", None, "folder")]
    (root / "a" / "later").touch()
    assert run.drain() == []
    run.writes = [(run.probe, str(root / "a"), None, "folder", ())]
    run.restore()
    assert sorted(os.listdir(root)) == ["data"]
    assert (root / "data" / "old.txt").read_text() == "abc"


def test_a_folder_with_something_that_others_put_there_stays(run: Boundary, root: Path) -> None:
    (root / "new").mkdir()
    subprocess.run(["touch", str(root / "new" / "theirs")], check=True)
    run.drain()
    with pytest.raises(CannotRestore, match="'theirs' inside it was not created by this process"):
        run.restore()
    assert (root / "new" / "theirs").exists()


def test_what_was_moved_somewhere_is_not_removed(run: Boundary, root: Path) -> None:
    (root / "new").mkdir()
    shutil.move(root / "data", root / "new" / "data")
    assert sorted(run.drain()) == [("<rootdir>/data", "folder", None), ("<rootdir>/new", None, "folder")]
    with pytest.raises(CannotRestore):
        run.probe.restore(str(root / "new"), None, "folder")
    assert (root / "new" / "data" / "old.txt").read_text() == "abc"


def test_what_is_ours_stays_ours_when_it_is_renamed(run: Boundary, root: Path) -> None:
    (root / "a").mkdir()
    (root / "a" / "x").touch()
    (root / "a").rename(root / "b")
    assert run.drain() == [("<rootdir>/b", None, "folder")]
    run.restore()
    assert os.listdir(root) == ["data"]


def test_links_sockets_and_databases(run: Boundary, root: Path) -> None:
    os.symlink("nowhere", root / "link")
    os.link(root / "data" / "old.txt", root / "hard")
    connection = sqlite3.connect(root / "db")
    connection.execute("create table t (x)")
    connection.close()
    sqlite3.connect(":memory:").close()
    sqlite3.connect(f"file:{root}/uri?mode=rwc", uri=True).close()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(root / "socket"))
    size = os.path.getsize(root / "db")
    assert sorted(run.drain()) == [
        ("<rootdir>/db", None, f"file of {size} bytes"),
        ("<rootdir>/hard", None, "file of 3 bytes"),
        ("<rootdir>/link", None, "link"),
        ("<rootdir>/socket", None, "socket"),
        *([("<rootdir>/uri", None, "file of 0 bytes")] if (root / "uri").exists() else []),
    ]
    run.restore()
    assert os.listdir(root) == ["data"]


def test_a_changed_file_of_the_project(run: Boundary, root: Path) -> None:
    with open(root / "data" / "old.txt", "a") as file:
        file.write("more")
    ((place, before, after),) = run.leaks()
    assert place == "<rootdir>/data/old.txt"
    assert (before.partition(",")[0], after.partition(",")[0]) == ("3 bytes", "7 bytes")
    assert run.line(__file__) == 'with open(root / "data" / "old.txt", "a") as file:'
    with pytest.raises(CannotRestore):
        run.restore()
    (root / "data" / "old.txt").write_text("abc")
    assert run.drain() == [(place, after, before)]


def test_equal_size_and_other_contents_is_a_change(run: Boundary, root: Path) -> None:
    (root / "data" / "old.txt").write_text("xyz")
    assert len(run.drain()) == 1


def test_a_replaced_file_of_the_project(run: Boundary, root: Path) -> None:
    (root / "data" / "old.tmp").write_text("abcd")
    os.replace(root / "data" / "old.tmp", root / "data" / "old.txt")
    assert [place for place, _, _ in run.leaks()] == ["<rootdir>/data/old.txt"]


def test_a_removed_file_and_a_removed_folder(run: Boundary, root: Path) -> None:
    shutil.rmtree(root / "data")
    assert run.leaks() == [("<rootdir>/data", "folder", None)]
    with pytest.raises(CannotRestore):
        run.restore()


def test_a_file_put_back_under_its_name_is_undone(run: Boundary, root: Path) -> None:
    old = root / "data" / "old.txt"
    old.rename(root / "backup")
    ((_, before, _),) = [change for change in run.drain() if change[0] == "<rootdir>/data/old.txt"]
    (root / "backup").rename(old)
    assert ("<rootdir>/data/old.txt", None, before) in run.drain()


def test_undone_is_nothing(run: Boundary, root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").touch()
    with tempfile.NamedTemporaryFile(), tempfile.TemporaryFile():
        pass
    (root / "gone").touch()
    (root / "gone").unlink()
    (root / "data" / "old.txt").write_text("changed")
    (root / "data" / "old.txt").write_text("abc")
    assert run.drain() == []
    assert run.probe._created == set()  # type: ignore[attr-defined]
    assert run.probe._existed == {}  # type: ignore[attr-defined]


def test_mere_use_is_nothing(run: Boundary, root: Path) -> None:
    with open(root / "data" / "old.txt") as file:
        file.read()
    with open(root / "data" / "old.txt", "r+"):
        pass
    os.makedirs(root / "data", exist_ok=True)
    os.listdir(root)
    with pytest.raises(FileNotFoundError):
        (root / "no" / "such").touch()
    assert run.drain() == []


def test_caches_pytests_own_folders_and_exempt_paths_do_not_count(run: Boundary, root: Path) -> None:
    for name in (".pytest_cache", "__pycache__", ".hypothesis", ".git", "pytest-of-me"):
        (root / name).mkdir()
        (root / name / "x").touch()
    (root / ".coverage.host.1").touch()
    (root / "report.jsonl").touch()
    assert run.drain() == []


def test_files_elsewhere_do_not_count_but_those_of_the_current_directory(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    probe = Files(str(root), lambda path: False)
    with Boundary(probe) as run:
        probe._territory._temporary = ()
        (elsewhere / "a").touch()
        assert run.drain() == []
        monkeypatch.chdir(elsewhere)
        Path("b").touch()
        assert run.drain() == [(str(elsewhere / "b"), None, "file of 0 bytes")]


def test_a_file_that_grows_later_is_the_same_leak(run: Boundary, root: Path) -> None:
    with open(root / "log", "w") as file:
        assert len(run.drain()) == 1
        file.write("more")
    (root / "other").touch()
    assert [place for place, _, _ in run.drain()] == ["<rootdir>/other"]


def test_a_later_removal_of_what_the_run_left_is_no_leak(run: Boundary, root: Path) -> None:
    (root / "log").touch()
    run.drain()
    (root / "log").unlink()
    assert run.drain() == [("<rootdir>/log", "file of 0 bytes", None)]
    (root / "log").touch()
    run.drain()
    (root / "log").unlink()
    assert run.leaks() == []


def test_patched_functions_are_not_used(run: Boundary, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    with monkeypatch.context() as patch:
        for name in ("getcwd", "lstat", "stat", "listdir", "readlink"):
            patch.setattr(os, name, lambda *args: 1 / 0)
        os.close(os.open("new", os.O_CREAT | os.O_WRONLY))
        assert run.drain() == [("<rootdir>/new", None, "file of 0 bytes")]


def test_a_failure_inside_the_hook_is_told_by_the_next_reading(root: Path) -> None:
    def fail(path: str) -> bool:
        raise ValueError(os.path.basename(path))

    with Boundary(Files(str(root), fail)) as run:
        (root / "new").touch()
        with pytest.raises(ValueError, match="new"):
            run.drain()


def test_stopped_it_hears_nothing(root: Path) -> None:
    run = Boundary(Files(str(root), lambda path: False))
    with run:
        pass
    run.probe.stop()
    (root / "new").touch()
    assert run.probe._created == set()  # type: ignore[attr-defined]
