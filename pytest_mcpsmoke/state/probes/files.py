"""Files that this process created and left behind, and files of the project that it changed or removed."""

from __future__ import annotations

import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import PosixPath, WindowsPath
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.base import Probe

# Bound early: a test may patch them.
_getcwd, _lstat, _readlink, _scandir = os.getcwd, os.lstat, os.readlink, os.scandir
_open, _read, _close, _remove, _rmdir = os.open, os.read, os.close, os.remove, os.rmdir
_join, _normpath, _dirname, _fsdecode = os.path.join, os.path.normpath, os.path.dirname, os.fsdecode

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CONTENTS: Final = 1 << 20  # bytes of a file up to which its contents are compared
_DEVICES: Final = ("/dev/", "/proc/", "/sys/")
_TEMP_VARIABLES: Final = ("TMPDIR", "TEMP", "TMP")
_TEMP_FOLDERS: Final = ("/tmp", "/var/tmp") if os.name == "posix" else ()
# Tools keep these from run to run: nobody is misled by them.
_CACHES: Final = frozenset(
    {"__pycache__", ".pytest_cache", ".hypothesis", ".git", ".mypy_cache", ".ruff_cache", ".tox", ".nox"}
)
_CACHE_BEGINNINGS: Final = (".coverage", "pytest-of-")  # the second: tmp_path, which pytest removes itself


class Territory:
    """Which files count: those of the project, of the temporary folders and of the current directory."""

    def __init__(self, rootdir: str, exempt: Callable[[str], bool]) -> None:
        self._project = _spellings(rootdir)
        self._temporary: tuple[str, ...] = ()
        self._exempt = exempt

    def survey(self) -> None:
        """Find the temporary folders."""
        known = getattr(sys.modules.get("tempfile"), "tempdir", None)
        folders = [*map(os.environ.get, _TEMP_VARIABLES), known, *_TEMP_FOLDERS]
        texts = [folder for folder in folders if type(folder) is str and folder]
        self._temporary = tuple(dict.fromkeys(spelt for text in texts for spelt in _spellings(text)))

    def is_project(self, path: str) -> bool:
        return path.startswith(self._project)

    def counts(self, path: str, anywhere: bool = False) -> bool:
        """Whether a file here may be reported; anywhere: it is known to be a temporary one."""
        inside = self._inside(path)
        if inside is None and anywhere:
            inside = path
        return inside is not None and not _is_cache(inside) and not self._exempt(path)

    def name(self, path: str) -> str:
        """How a report calls it."""
        for root in self._project:
            if path.startswith(root):
                return "<rootdir>/" + path[len(root) :].replace(os.sep, "/")
        return path

    def _inside(self, path: str) -> str | None:
        """The part of a path below the folder that counts: what lies above does not make it a cache."""
        if path.startswith(_DEVICES):
            return None
        for root in (*self._project, *self._temporary):
            if path.startswith(root):
                return path[len(root) :]
        here = _current_directory()
        return path[len(here) + 1 :] if here and path.startswith(here + os.sep) else None


def _spellings(folder: str) -> tuple[str, ...]:
    """The beginnings that paths inside a folder may have."""
    return tuple(
        dict.fromkeys(
            spelt.rstrip(os.sep) + os.sep for spelt in (os.path.abspath(folder), os.path.realpath(folder))
        )
    )


def _is_cache(inside: str) -> bool:
    parts = inside.split(os.sep)
    return (
        not _CACHES.isdisjoint(parts)
        or ".pyc" in parts[-1]
        or any(part.startswith(_CACHE_BEGINNINGS) for part in parts)
    )


def _current_directory() -> str | None:
    try:
        return _getcwd()
    except FileNotFoundError:  # it was removed: nothing can be created in it
        return None


def absolute(path: object, folder: object = -1) -> str | None:
    """The absolute path that an event is about, None for one of no file; folder: a dir_fd, -1 without one."""
    text = text_of_path(path)
    if not text or "\0" in text:
        return None
    if not os.path.isabs(text):
        base = _current_directory() if folder == -1 else _folder_of(folder)
        if base is None:
            return None
        text = _join(base, text)
    return _normpath(text)


def text_of_path(path: object) -> str | None:
    """The text of a path, without running the code of a user's class."""
    if issubclass(type(path), str):
        return str.__str__(path)
    if issubclass(type(path), bytes):
        return _fsdecode(bytes.__getitem__(path, slice(None)))  # type: ignore[call-overload]
    return str(path) if type(path) in (PosixPath, WindowsPath) else None


def _folder_of(descriptor: object) -> str | None:
    try:
        return _readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # not a descriptor, then the act fails as well; or a system without /proc
        return None


def _status(path: str) -> os.stat_result | None:
    """What lies at a path, a link itself if it is one; None: nothing, or nothing that may be looked at."""
    try:
        return _lstat(path)
    except OSError:
        return None


def _kind(status: os.stat_result) -> str:
    """What a file that was created is called."""
    if stat.S_ISREG(status.st_mode):
        return f"file of {status.st_size} byte{'' if status.st_size == 1 else 's'}"
    kinds = {stat.S_IFDIR: "folder", stat.S_IFLNK: "link", stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe"}
    return kinds.get(stat.S_IFMT(status.st_mode), "special file")


def _state(path: str) -> str | None:
    """A text that changes with the contents of a file that was there before; None: nothing lies there."""
    status = _status(path)
    if status is None or not stat.S_ISREG(status.st_mode):
        return None if status is None else _kind(status)
    size = status.st_size
    if size > _CONTENTS:
        return f"{size} bytes, modified at {status.st_mtime_ns / 1e9:.3f}"
    try:
        return f"{size} bytes, checksum {_checksum(path):08x}"
    except PermissionError:
        return f"{size} bytes, modified at {status.st_mtime_ns / 1e9:.3f}"
    except FileNotFoundError:  # removed since a moment
        return None


def _checksum(path: str) -> int:
    descriptor = _open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        checksum = 0
        while part := _read(descriptor, _CONTENTS):
            checksum = zlib.crc32(part, checksum)
        return checksum
    finally:
        _close(descriptor)


def _folders_above(path: str) -> Iterator[str]:
    above = _dirname(path)
    while above != path:
        yield above
        path, above = above, _dirname(above)


class Files(Probe):
    """Every file that this process creates is remembered until it is gone; what is still there is left.

    Files that were there before and are written, moved or removed are remembered with what they were. At
    that moment this is added to the last reading, too, which could not know that they would matter.
    """

    name = "files"
    words = (
        *("open", "mkstemp", "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "connect"),
        *("write_text", "write_bytes", "touch", "mkdir", "makedirs", "copy", "copy2", "copyfile", "copytree"),
        *("move", "rename", "replace", "symlink", "symlink_to", "link", "remove", "unlink", "rmdir"),
        *("rmtree", "truncate", "bind"),
    )
    blind = (
        "files that other processes or C libraries create, and pipes of os.mkfifo(); files outside the "
        "rootdir, the temporary folders and the current directory, in the home folder for example; changed "
        "permissions; what is written through a file opened before, or through a symbolic link; relative "
        "to a dir_fd, what os.open() creates"
    )

    def __init__(self, rootdir: str, exempt: Callable[[str], bool]) -> None:
        self._territory = Territory(rootdir, exempt)
        self._ear = Ear(
            {
                "open": self._on_open,
                "os.mkdir": lambda args: self._arrives(args[0], args[2]),
                "os.rename": self._on_rename,
                "os.link": lambda args: self._arrives(args[1], args[3]),
                "os.symlink": lambda args: self._arrives(args[1], args[2]),
                "os.truncate": lambda args: self._arrives(args[0]),
                "os.remove": lambda args: self._arrives(*args),
                "os.rmdir": lambda args: self._arrives(*args),
                "socket.bind": lambda args: self._arrives(args[1]),
                "sqlite3.connect": self._on_sqlite,
                "tempfile.mkstemp": lambda args: self._arrives(args[0], anywhere=True),
                "tempfile.mkdtemp": lambda args: self._arrives(args[0], anywhere=True),
            }
        )
        self._forget()

    def _forget(self) -> None:
        self._now: dict[str, str] = {}
        self._created: set[str] = set()  # those inside created folders, too
        self._moved: set[str] = set()  # of the created: they were something else before
        self._existed: dict[str, str] = {}  # what was there before, as it was
        self._fresh: set[str] = set()  # touched since the last reading
        self._first: set[str] = set()  # of these: existed, and were not remembered before
        self._stacks: dict[str, tuple[Any, ...]] = {}

    def start(self) -> None:
        self._forget()
        self._territory.survey()
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        self._forget()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if self._fresh:
            self._now = self._reread()
        return self._now

    def place(self, key: str) -> str:
        return self._territory.name(key)

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        if after is MISSING and key not in self._existed:
            return "what the run itself had left there is gone"
        return None

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stacks.get(key, ())

    def restore(self, key: str, before: Any, after: Any) -> None:
        if key in self._existed:
            raise CannotRestore("what was in it is not kept")
        if key not in self._created:
            raise CannotRestore("this process did not create it")
        try:
            for path, is_folder in [*self._contents(key), (key, after == "folder")]:
                (_rmdir if is_folder else _remove)(path)
        except OSError as error:
            raise CannotRestore(f"{error.strerror}") from error

    # What events tell. They come before the act, which may fail: reading looks at what is really there.

    def _on_open(self, args: tuple[Any, ...]) -> None:
        flags = args[2]
        if type(flags) is int and flags & _WRITES:
            self._arrives(args[0])

    def _on_sqlite(self, args: tuple[Any, ...]) -> None:
        text = text_of_path(args[0])
        if text is not None and text.startswith("file:"):
            text = text.removeprefix("file:").partition("?")[0].removeprefix("//")
        self._arrives(text)

    def _on_rename(self, args: tuple[Any, ...]) -> None:
        source, target = absolute(args[0], args[2]), absolute(args[1], args[3])
        if source is None or target is None:
            return
        self._arrives(source)
        self._arrives(target)
        if source not in self._created:
            self._moved.add(target)
        inside = source + os.sep
        for path in [path for path in self._created if path.startswith(inside)]:
            self._created.add(target + path[len(source) :])

    def _arrives(self, path: object, folder: object = -1, anywhere: bool = False) -> None:
        """Something is about to happen to a file: remember it, and as what it was there before."""
        where = absolute(path, folder)
        if where is None:
            return
        is_known = where in self._existed or where in self._created
        if not is_known and not self._territory.counts(where, anywhere):
            return
        if is_known:
            self._fresh.add(where)
            if where in self._existed or _status(where) is None:
                self._stacks[where] = stack_here()
            return
        was = _state(where) if self._territory.is_project(where) else _status(where)
        if was is None:
            self._created.add(where)
        elif type(was) is str and not self._is_inside(where, self._created):
            self._existed[where] = self._now[where] = was
            self._first.add(where)
        else:
            return
        self._fresh.add(where)
        self._stacks[where] = stack_here()

    # Reading

    def _reread(self) -> dict[str, str]:
        fresh, self._fresh = self._fresh, set()
        for path in [path for path in {*fresh, *self._now} if path in self._created]:
            if _status(path) is None:
                self._lose(path)
        now = {path: text for path, text in list(self._now.items()) if path in self._created}
        for path in list(fresh):
            status = _status(path) if path in self._created and path not in now else None
            if status is not None and not self._is_inside(path, self._created):
                now[path] = _kind(status)  # from now on: what is written to it later is the same leak
        return now | self._changed(fresh)

    def _changed(self, fresh: set[str]) -> dict[str, str]:
        """What has become of the files that existed before; those that are as they were are forgotten."""
        first, self._first = self._first, set()
        now: dict[str, str] = {}
        for path, was in list(self._existed.items()):
            text = _state(path) if path in fresh else self._now.get(path)
            if text is not None:
                now[path] = text
            if path in first and text == was:
                self._pass_over(path, now)
        gone = {path for path in first if path in self._existed and path not in now}
        for path in gone:
            if self._is_inside(path, gone):
                self._pass_over(path, now)
        return now

    def _pass_over(self, path: str, now: dict[str, str]) -> None:
        """Forget a file as if nothing had happened to it."""
        for where in (self._existed, self._now, now, self._stacks):
            where.pop(path, None)

    def _lose(self, path: str) -> None:
        """Forget a file that was created and is gone, with all inside it if it was a folder."""
        inside = [other for other in list(self._created) if other.startswith(path + os.sep)]
        for lost in (path, *inside):
            self._created.discard(lost)
            self._moved.discard(lost)
            self._stacks.pop(lost, None)

    def _is_inside(self, path: str, folders: set[str]) -> bool:
        return any(above in folders for above in _folders_above(path))

    # Restoring

    def _contents(self, path: str) -> list[tuple[str, bool]]:
        """What must be removed before a path, innermost first; raise CannotRestore when that is not ours."""
        if path in self._moved:
            raise CannotRestore("it was moved there")
        status = _status(path)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return []
        found: list[tuple[str, bool]] = []
        with _scandir(path) as entries:
            for entry in entries:
                inside = _join(path, entry.name)
                if inside not in self._created and not _is_cache(inside[len(path) + 1 :]):
                    raise CannotRestore(f"{entry.name!r} inside it was not created by this process")
                found += [*self._contents(inside), (inside, entry.is_dir(follow_symlinks=False))]
        return found
