"""What a test can meet, read from its file, the conftests above it, and the program's modules they import."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pytest_mcpsmoke.order.distance import distances
from pytest_mcpsmoke.order.suspects import Reach, reach_of

_FILES: Final = 200  # of the program that are read at most


def reach_of_test(nodeid: str, root: Path, failed_in: str | None) -> Reach:
    """Return the reach of a test. root: where its node id begins; failed_in: a file of its failure."""
    path = root / nodeid.partition("::")[0]
    conftests = [folder / "conftest.py" for folder in path.parents if folder.is_relative_to(root)]
    texts = [_text(each) for each in (path, *conftests)]
    reach = Reach()
    for text in texts:
        reach |= reach_of(text)
    if failed_in is not None and not Path(failed_in).is_absolute():
        reach |= Reach(modules=frozenset(_names(failed_in)))
    indirect = _imported(reach.modules, [root, root / "src", path.parent], texts)
    name = re.split(r"\[", nodeid, maxsplit=1)[0].rpartition("::")[2]
    return reach._replace(indirect=indirect, steps=distances(name, texts))


def _imported(modules: Iterable[str], places: list[Path], texts: list[str]) -> frozenset[str]:
    """The modules that the program's own files import, from those on; their texts are added."""
    waiting, seen, read = list(modules), set(modules), 0
    while waiting and read < _FILES:
        for path in _files(waiting.pop(0), places):
            read += 1
            texts.append(_text(path))
            new = reach_of(texts[-1]).modules - seen
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


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""  # there is no such conftest


def _names(path: str) -> Iterable[str]:
    """ "src/app/client.py" -> "src.app.client", "app.client", "client"."""
    steps = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return (".".join(steps[at:]) for at in range(len(steps)))
