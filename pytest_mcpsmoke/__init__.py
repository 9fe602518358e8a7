"""pytest-mcpsmoke: names the state that a smoke test leaves changed, and the line that changed it.

The public names load on first use, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.invoker import FakeInvoker as FakeInvoker
    from pytest_mcpsmoke.doubles.model import ScriptedModel as ScriptedModel
    from pytest_mcpsmoke.doubles.overlap import assert_overlap as assert_overlap
    from pytest_mcpsmoke.doubles.patching import Patches as Patches
    from pytest_mcpsmoke.doubles.patching import patched as patched
    from pytest_mcpsmoke.doubles.recording import Recorder as Recorder
    from pytest_mcpsmoke.doubles.replies import Delay as Delay
    from pytest_mcpsmoke.doubles.replies import Disconnect as Disconnect
    from pytest_mcpsmoke.doubles.replies import Malformed as Malformed
    from pytest_mcpsmoke.doubles.replies import RateLimited as RateLimited
    from pytest_mcpsmoke.doubles.replies import Status as Status
    from pytest_mcpsmoke.doubles.upstream import McpUpstream as McpUpstream
    from pytest_mcpsmoke.errors import LeakError as LeakError
    from pytest_mcpsmoke.guard import no_leaks as no_leaks

__version__ = "0.1.0"

_HOMES = {
    "Delay": "doubles.replies",
    "Disconnect": "doubles.replies",
    "FakeInvoker": "doubles.invoker",
    "LeakError": "errors",
    "Malformed": "doubles.replies",
    "McpUpstream": "doubles.upstream",
    "Patches": "doubles.patching",
    "RateLimited": "doubles.replies",
    "Recorder": "doubles.recording",
    "ScriptedModel": "doubles.model",
    "Status": "doubles.replies",
    "assert_overlap": "doubles.overlap",
    "no_leaks": "guard",
    "patched": "doubles.patching",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
