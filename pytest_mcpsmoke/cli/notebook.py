"""What is known of an unfinished investigation, on disk: the same command goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pytest_mcpsmoke.errors import UsageProblem

_BASE: Final = Path(".mcpsmoke") / "culprit"
_NOT_THE_PROGRAM: Final = frozenset({"node_modules", "__pycache__", "site-packages"})


class Notebook:
    """Keeps what experiments showed, each written as it ends; dropped when a Python file has changed since.

    about: what the investigation is of. Raises UsageProblem where nothing can be written.
    """

    def __init__(self, here: Path, about: Iterable[str], is_fresh: bool) -> None:
        words = [*about]
        name = hashlib.sha256("\0".join(words).encode("utf-8", "backslashreplace")).hexdigest()[:12]
        self.folder = here / _BASE / name
        self._path = self.folder / "known.jsonl"
        self._first = {"about": words, "state": _fingerprint(here)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (here / _BASE.parent / ".gitignore").write_text("*\n")
            self.known = {} if is_fresh else dict(self._read())
            if not self.known:
                self._path.write_text(json.dumps(self._first) + "\n", "utf-8")
        except OSError as error:
            raise UsageProblem(f"{self.folder}: cannot be written: {error.strerror}") from error

    def _read(self) -> Iterator[tuple[str, Any]]:
        if not self._path.exists():
            return
        lines = self._path.read_text("utf-8").splitlines()
        try:
            first, *rest = (json.loads(line) for line in lines)
        except ValueError:  # none, or cut off in the middle of one
            return
        if first == self._first:
            yield from ((entry["key"], entry["seen"]) for entry in rest)

    def keep(self, key: str, seen: dict[str, Any]) -> None:
        """Write down what an experiment showed. Raises UsageProblem."""
        self.known[key] = seen
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "seen": seen}) + "\n")
        except OSError as error:
            raise UsageProblem(f"{self._path}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Forget it all: the investigation is finished."""
        shutil.rmtree(self.folder)


def _fingerprint(here: Path) -> list[int]:
    """How many Python files there are, and when the last of them was written."""
    times = [0]
    for folder, names, files in os.walk(here):
        names[:] = [
            name
            for name in names
            if name not in _NOT_THE_PROGRAM
            and not name.startswith(".")
            and not os.path.exists(os.path.join(folder, name, "pyvenv.cfg"))
        ]
        paths = (os.path.join(folder, file) for file in files if file.endswith(".py"))
        times += [os.stat(path).st_mtime_ns for path in paths if os.path.exists(path)]
    return [len(times) - 1, max(times)]
