"""pytest-mcpsmoke: names the state that a smoke test leaves changed, and the line that changed it.

The public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.replies import Delay as Delay
    from pytest_mcpsmoke.doubles.replies import Disconnect as Disconnect
    from pytest_mcpsmoke.doubles.replies import Malformed as Malformed
    from pytest_mcpsmoke.doubles.replies import RateLimited as RateLimited
    from pytest_mcpsmoke.doubles.replies import Status as Status
    from pytest_mcpsmoke.errors import LeakError as LeakError
    from pytest_mcpsmoke.guard import no_leaks as no_leaks

__version__ = "0.1.0"

_HOMES = {
    "Delay": "doubles.replies",
    "Disconnect": "doubles.replies",
    "LeakError": "errors",
    "Malformed": "doubles.replies",
    "RateLimited": "doubles.replies",
    "Status": "doubles.replies",
    "no_leaks": "guard",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
