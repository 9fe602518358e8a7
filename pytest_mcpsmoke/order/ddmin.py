"""Delta debugging: the smallest part of a sequence that still has a property."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

T = TypeVar("T")


def smallest(items: Sequence[T], holds: Callable[[Sequence[T]], bool]) -> list[T]:
    """Return a part of items, in their order, that has a property and loses it without any one of its items.

    holds is asked about parts of items only; that it holds for all of them, and not for none, is taken for
    granted, that it holds for larger parts of what it holds for is not. Where one item alone is the reason,
    about 2 * log2(len(items)) questions are asked.

    Source: ddmin in A. Zeller, R. Hildebrandt: Simplifying and Isolating Failure-Inducing Input, IEEE
    Transactions on Software Engineering 28 (2002). Later parts are tried first: who ran last before a
    failure is the likelier reason.
    """
    left = list(items)
    parts = 2
    while len(left) > 1:
        chunks = _split(left, min(parts, len(left)))
        smaller = next((chunk for chunk in reversed(chunks) if holds(chunk)), None)
        if smaller is not None:
            left, parts = smaller, 2
            continue
        rests = (_without(chunks, at) for at in range(len(chunks)))
        rest = None if len(chunks) == 2 else next((rest for rest in rests if holds(rest)), None)
        if rest is not None:
            left, parts = rest, max(parts - 1, 2)
        elif parts >= len(left):
            break
        else:
            parts = min(parts * 2, len(left))
    return left


def _split(items: list[T], parts: int) -> list[list[T]]:
    ends = [len(items) * at // parts for at in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def _without(chunks: list[list[T]], at: int) -> list[T]:
    return [item for number, chunk in enumerate(chunks) if number != at for item in chunk]
