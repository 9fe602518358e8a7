"""The markers: smoke, nd_real, allow_leak."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:  # the markers are there with --leaks=off too, and the report is not
    from _pytest.nodes import Node

    from pytest_mcpsmoke.report.allowances import Allowance

_MARKERS = (
    "smoke: a deterministic smoke test: what it opens beyond loopback, and names that it looks up,"
    " are refused and fail it.",
    "nd_real(samples=30, min_pass_rate=0.9, confidence=0.95, method='exact', max_replaced=None,"
    " max_wall_s=None, max_calls=None, max_tokens=None, max_cost=None, max_latency_p95_s=None, real=None): a"
    " non-deterministic test against something real (a model, a live server), run so many times and judged by"
    " the share that passes; skipped unless ND_REAL=1 is set in the environment.",
    'allow_leak("place or glob", ..., reason="why"): this test may leave these places changed; the reason'
    " is required and shows in the report.",
)


def register(config: pytest.Config) -> None:
    """Make the markers known to --markers and --strict-markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


def allow_leak(*places: str, reason: str) -> Allowance:
    """The signature of the marker; a misuse is Python's own TypeError."""
    if not places:
        raise TypeError('allow_leak() needs at least one place, such as "app.settings.MODE" or a glob')
    if not all(isinstance(text, str) and text.strip() for text in (*places, reason)):
        raise TypeError("allow_leak() takes places and a reason that are texts, none of them empty")
    from pytest_mcpsmoke.report.allowances import Allowance

    return Allowance(places, reason, "marker")


def allowances(node: Node) -> Iterator[tuple[Node, pytest.Mark, Allowance]]:
    """Yield the allowances of a node, closest first, each with the node that bears it, and its mark.

    Raises UsageProblem for a misused marker.
    """
    for bearer, mark in node.iter_markers_with_node("allow_leak"):
        try:
            yield bearer, mark, allow_leak(*mark.args, **mark.kwargs)
        except TypeError as error:
            remedy = '@pytest.mark.allow_leak("place or glob", reason="why")'
            raise UsageProblem(f"{node.nodeid}: {error}; write {remedy}") from error


def marked(items: Iterable[pytest.Item], name: str) -> Iterator[pytest.Item]:
    """Yield the items that carry a marker, looking at what they have in common (module, class) only once."""
    parents: dict[object, bool] = {}
    for item in items:
        parent = item.parent
        if parent not in parents:
            parents[parent] = parent is not None and parent.get_closest_marker(name) is not None
        if parents[parent] or (item.own_markers and any(mark.name == name for mark in item.own_markers)):
            yield item
