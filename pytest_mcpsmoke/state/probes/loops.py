"""The event loop that asyncio holds current for the thread that runs the tests."""

from __future__ import annotations

import sys
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import module_of, plain_contents
from pytest_mcpsmoke.state.probes.base import Probe

_AT: Final = "asyncio.get_event_loop()"


class EventLoop(Probe):
    """The loop that set_event_loop() has set. asyncio.run() closes its own and unsets it: None, as before."""

    name = "event loop"
    words = ("set_event_loop", "new_event_loop", "get_event_loop")
    blind = "the loops of other threads, and of a policy that is not derived from one of asyncio's"

    def __init__(self) -> None:
        self._last: dict[str, Any] = {_AT: None}
        self._policy: Any = None
        self._local: Any = None  # where the policy keeps the loop, by thread

    def stop(self) -> None:
        self._last, self._policy, self._local = {_AT: None}, None, None

    def read(self) -> dict[str, Any]:
        events = sys.modules.get("asyncio.events")
        if events is not None:
            policy = vars(events)["_event_loop_policy"]
            if policy is not self._policy:
                self._policy, self._local = policy, _local_of(policy)
            loop = None if self._local is None else self._local._loop
            if loop is not self._last[_AT]:
                self._last = {_AT: loop}
        return self._last

    def place(self, key: str) -> str:
        return key

    def restore(self, key: str, before: Any, after: Any) -> None:
        if self._local is None:
            raise CannotRestore("the policy that held it has been replaced")
        self._policy.set_event_loop(before)


def _local_of(policy: object) -> Any:
    """The thread-local that a policy of asyncio's keeps the loop in; None for any other policy."""
    local = (plain_contents(policy) or {}).get("_local")
    return local if module_of(type(local)) == "asyncio.events" else None
