"""What led to an exception."""

from __future__ import annotations

from collections.abc import Iterator


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception, and all that it came from or holds: causes, contexts, members of groups."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
