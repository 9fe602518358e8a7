"""What transports have in common that open no connection."""

from __future__ import annotations

from typing import Any, Self


class InProcessTransport:
    """A transport that can be entered and closed, sync and async."""

    def close(self) -> None:
        """Nothing is held."""

    async def aclose(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()
