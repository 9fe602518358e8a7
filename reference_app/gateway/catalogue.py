"""What the servers offer, put together for one caller."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mcp import MCPError
from mcp.types import PaginatedRequestParams

logger = logging.getLogger(__name__)
MOST_PAGES = 100  # of one listing: a server whose pages never end must not hang the catalogue

T = TypeVar("T")


@dataclass
class Catalogue(Generic[T]):
    """What could be had, and why not the rest.

    Attributes:
        entries: Of each server that answered what it offers, in the order of the configuration.
        unavailable: Of each that did not, why.
    """

    entries: list[tuple[str, T]] = field(default_factory=list)
    unavailable: dict[str, MCPError] = field(default_factory=dict)

    def check(self) -> None:
        """Raises MCPError when there are servers, and none of them could be asked."""
        if self.unavailable and not self.entries:
            first = next(iter(self.unavailable.values()))
            if len(self.unavailable) == 1:
                raise first
            reasons = "; ".join(error.message for error in self.unavailable.values())
            raise MCPError(first.code, f"no server could be asked: {reasons}")


async def collect(servers: tuple[str, ...], ask: Callable[[str], Awaitable[T]]) -> Catalogue[T]:
    """Asks all servers at the same time."""
    answers = await asyncio.gather(*map(ask, servers), return_exceptions=True)
    catalogue: Catalogue[T] = Catalogue()
    for server, answer in zip(servers, answers, strict=True):
        if isinstance(answer, MCPError):
            logger.warning("not in the catalogue: %s", answer.message)
            catalogue.unavailable[server] = answer
        elif isinstance(answer, BaseException):
            raise answer
        else:
            catalogue.entries.append((server, answer))
    return catalogue


async def pages(method: Callable[..., Awaitable[Any]]) -> list[Any]:
    """Returns all pages of a listing; `method` is one of the SDK's, such as `session.list_tools`."""
    results, cursor = [], None
    for _ in range(MOST_PAGES):
        result = await method(params=PaginatedRequestParams(cursor=cursor))
        results.append(result)
        cursor = result.next_cursor
        if not cursor:
            break
    return results
