"""What a test can meet, read from its file, the conftests above it, and the program's modules they import."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pytest_mcpsmoke.order.distance import definitions, distances, together
from pytest_mcpsmoke.order.suspects import Reach, reach_of

_FILES: Final = 200  # of the program that are read at most, for one test


class _Source(NamedTuple):
    """What a file says, or several together."""

    reach: Reach
    definitions: dict[str, set[str]]


class Reader:
    """Reads the files of a project, each once, for however many tests. root: where node ids begin."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sources: dict[Path, _Source] = {}
        self._found: dict[tuple[Path, str], Path | None] = {}
        self._met: dict[tuple[Path, str | None], _Source] = {}

    def reach_of_test(self, nodeid: str, failed_in: str | None) -> Reach:
        """Return the reach of a test. failed_in: a file of its failure."""
        path = self._root / nodeid.partition("::")[0]
        key = path, failed_in
        if key not in self._met:
            self._met[key] = self._read_from(path, failed_in)
        reach, bodies = self._met[key]
        name = re.split(r"\[", nodeid, maxsplit=1)[0].rpartition("::")[2]
        return reach._replace(steps=distances(name, bodies))

    def _read_from(self, path: Path, failed_in: str | None) -> _Source:
        """What all tests of a file can meet, and the definitions that lead there."""
        conftests = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(self._root)]
        sources = [self._source(each) for each in (path, *conftests)]
        reach = Reach()
        for source in sources:
            reach |= source.reach
        if failed_in is not None and not Path(failed_in).is_absolute():
            reach |= Reach(modules=frozenset(module_names(failed_in)))
        folders = [self._root, self._root / "src", path.parent]
        reach = reach._replace(indirect=self._imported(reach.modules, folders, sources))
        reach |= Reach(modules=frozenset(module_names(os.path.relpath(path, self._root))))
        return _Source(reach, together(source.definitions for source in sources))

    def _imported(
        self, modules: Iterable[str], folders: list[Path], sources: list[_Source]
    ) -> frozenset[str]:
        """The modules that the program's own files import, from those on; what these say is added."""
        waiting = list(modules)
        seen, read = set(waiting), 0
        for module in waiting:  # which grows meanwhile
            path = next(filter(None, (self._find(folder, module) for folder in folders)), None)
            if path is None:
                continue
            read += 1
            source = self._source(path)
            sources.append(source)
            new = source.reach.modules - seen
            seen |= new
            waiting += sorted(new)
            if read == _FILES:
                break
        return frozenset(seen)

    def _find(self, folder: Path, module: str) -> Path | None:
        """The file of a module below a folder."""
        key = folder, module
        if key not in self._found:
            base = folder.joinpath(*module.split("."))
            files = (base.with_name(f"{base.name}.py"), base / "__init__.py")
            self._found[key] = next((path for path in files if path.is_file()), None)
        return self._found[key]

    def _source(self, path: Path) -> _Source:
        if path not in self._sources:
            text = _text(path)
            self._sources[path] = _Source(reach_of(text), definitions(text))
        return self._sources[path]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""  # there is no such conftest


def module_names(path: str) -> Iterable[str]:
    """ "src/app/client.py" -> "src.app.client", "app.client", "client"."""
    steps = Path(path).with_suffix("").parts
    steps = steps[:-1] if steps[-1:] == ("__init__",) else steps
    return (".".join(steps[at:]) for at in range(len(steps)))
