"""pytest-mcpsmoke: names the state that a smoke test leaves changed, and the line that changed it.

The public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mcpsmoke.errors import LeakError as LeakError
    from pytest_mcpsmoke.guard import no_leaks as no_leaks

__all__ = ["LeakError", "no_leaks"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "no_leaks":
        from pytest_mcpsmoke.guard import no_leaks

        return no_leaks
    if name == "LeakError":
        from pytest_mcpsmoke.errors import LeakError

        return LeakError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
