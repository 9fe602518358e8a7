"""What a test can meet, read from its file, the conftests above it, and the program's modules they import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pytest_mcpsmoke.order.suspects import Reach, reach_of

_FILES: Final = 200  # of the program that are read at most


def reach_of_test(nodeid: str, root: Path, failed_in: str | None) -> Reach:
    """Return the reach of a test. root: where its node id begins; failed_in: a file of its failure."""
    path = root / nodeid.partition("::")[0]
    conftests = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(root)]
    reach = Reach()
    for each in (path, *conftests):
        reach |= _read(each)
    if failed_in is not None and not Path(failed_in).is_absolute():
        reach |= Reach(modules=frozenset(_names(failed_in)))
    places = [root, root / "src", path.parent]
    return reach._replace(indirect=_imported(reach.modules, places))


def _imported(modules: Iterable[str], places: list[Path]) -> frozenset[str]:
    """The modules that the program's own files import, from those on."""
    waiting, seen, read = list(modules), set(modules), 0
    while waiting and read < _FILES:
        for path in _files(waiting.pop(0), places):
            read += 1
            new = _read(path).modules - seen
            seen |= new
            waiting += sorted(new)
    return frozenset(seen)


def _files(module: str, places: list[Path]) -> Iterable[Path]:
    steps = module.split(".")
    for place in places:
        found = place.joinpath(*steps)
        for path in (found.with_name(f"{found.name}.py"), found / "__init__.py"):
            if path.is_file():
                yield path
                return


def _read(path: Path) -> Reach:
    try:
        return reach_of(path.read_text("utf-8", errors="replace"))
    except OSError:
        return Reach()  # there is no such conftest


def _names(path: str) -> Iterable[str]:
    """ "src/app/client.py" -> "src.app.client", "app.client", "client"."""
    steps = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return (".".join(steps[at:]) for at in range(len(steps)))
