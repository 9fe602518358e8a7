"""Which of several writes is told as the one that a victim suffers from."""

from __future__ import annotations

import sysconfig
from typing import Any

import pytest

from pytest_mcpsmoke.report.model import SiteText
from pytest_mcpsmoke.report.writes import way_to

OWNER, VICTIM = "test_a.py::test_a", "test_b.py::test_b"
LIBRARY = sysconfig.get_path("stdlib") + "/json/decoder.py"


def write(nodeid: str, *chain: Any, lasts: bool = True, certainty: str = "observed") -> dict[str, Any]:
    """A record; chain: path, line, and a function's name that is "f" where it does not matter."""
    steps = [dict(zip(("path", "line", "function"), (*one, "f"), strict=False)) for one in chain]
    return {"nodeid": nodeid, "place": "app.MODE", "lasts": lasts, "certainty": certainty, "chain": steps}


def lines(*records: dict[str, Any]) -> list[str]:
    return [f"{site.path}:{site.line}" for site in way_to(records, OWNER, VICTIM, "/root")]


BY_A_LIBRARY = write(OWNER, (LIBRARY, 3), ("<frozen os>", 4))
CASES: dict[str, tuple[list[dict[str, Any]], list[str]]] = {
    "none": ([], []),
    "the victim's": ([write(VICTIM, ("test_b.py", 1)), write("test_b.py", ("test_b.py", 2))], []),
    "the last": ([write(OWNER, ("a.py", 1)), write(OWNER, ("a.py", 2))], ["a.py:2"]),
    "the last that lasts": ([write(OWNER, ("a.py", 1)), write(OWNER, ("a.py", 2), lasts=False)], ["a.py:1"]),
    "none that lasts": ([write(OWNER, ("a.py", 1), lasts=False)], ["a.py:1"]),
    "the owner's": (
        [write("test_c.py::test_c", ("c.py", 1)), write(OWNER, ("a.py", 1)), write("test_a.py", ("d.py", 1))],
        ["a.py:1"],
    ),
    "another's": ([write("test_c.py::test_c", ("c.py", 1)), write(VICTIM, ("b.py", 1))], ["c.py:1"]),
    "the program's lines": (
        [write(OWNER, ("test_a.py", 1), ("app.py", 2), (LIBRARY, 3), ("<frozen os>", 4))],
        ["test_a.py:1", "app.py:2"],
    ),
    "who reloads the module": (
        [write(OWNER, ("test_a.py", 1), ("src/app/__init__.py", 2, "<module>"))],
        ["test_a.py:1"],
    ),
    "another module's body": (
        [write(OWNER, ("test_a.py", 1), ("src/plugin.py", 2, "<module>"))],
        ["test_a.py:1", "src/plugin.py:2"],
    ),
    "the module's own import": ([write(OWNER, ("app.py", 2, "<module>"))], ["app.py:2"]),
    "none of the program's": ([BY_A_LIBRARY], ["<frozen os>:4"]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_way(name: str) -> None:
    records, told = CASES[name]
    assert lines(*records) == told


def test_what_is_not_sure_is_said() -> None:
    (site,) = way_to([write(OWNER, ("a.py", 1), certainty="inferred")], OWNER, VICTIM, "/root")
    assert site == SiteText("a.py", 1, "f", "searched")
