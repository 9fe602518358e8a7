"""Settings of the interpreter that functions of sys, gc, faulthandler and tracemalloc change."""

from __future__ import annotations

import _tracemalloc
import faulthandler
import gc
import sys
from typing import Any

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.value import Hook, Value

_get_asyncgen_hooks, _set_asyncgen_hooks = sys.get_asyncgen_hooks, sys.set_asyncgen_hooks
_set_threshold, _gc_enable, _gc_disable = gc.set_threshold, gc.enable, gc.disable
_disable_faulthandler, _stop_tracemalloc = faulthandler.disable, _tracemalloc.stop


class RecursionLimit(Value):
    """How deep Python calls may nest."""

    is_quiet = True
    name = "recursion limit"
    at = "sys.getrecursionlimit()"
    words = ("setrecursionlimit",)
    get = staticmethod(sys.getrecursionlimit)
    put = staticmethod(sys.setrecursionlimit)


class SwitchInterval(Value):
    """How long a thread runs before another one may, in seconds."""

    is_quiet = True
    name = "switch interval"
    at = "sys.getswitchinterval()"
    words = ("setswitchinterval",)
    get = staticmethod(sys.getswitchinterval)
    put = staticmethod(sys.setswitchinterval)


class IntDigits(Value):
    """How many digits an int may have when it is converted from or to text."""

    is_quiet = True
    name = "int digits"
    at = "sys.get_int_max_str_digits()"
    words = ("set_int_max_str_digits",)
    get = staticmethod(sys.get_int_max_str_digits)
    put = staticmethod(sys.set_int_max_str_digits)


class OriginTracking(Value):
    """How many frames a coroutine remembers of where it was made."""

    is_quiet = True
    name = "coroutine origins"
    at = "sys.get_coroutine_origin_tracking_depth()"
    words = ("set_coroutine_origin_tracking_depth",)
    get = staticmethod(sys.get_coroutine_origin_tracking_depth)
    put = staticmethod(sys.set_coroutine_origin_tracking_depth)


class OpenFlags(Value):
    """The flags that extension modules are loaded with."""

    is_quiet = True
    name = "dlopen flags"
    at = "sys.getdlopenflags()"
    words = ("setdlopenflags",)
    get = staticmethod(getattr(sys, "getdlopenflags", Value.get))
    put = staticmethod(getattr(sys, "setdlopenflags", Value.put))


class TraceFunction(Hook):
    """The trace function of the thread that runs the tests."""

    name = "trace function"
    at = "sys.gettrace()"
    event = "sys.settrace"
    words = ("settrace", "set_trace")
    blind = "the trace functions of other threads, and tools of sys.monitoring"
    get = staticmethod(sys.gettrace)
    put = staticmethod(sys.settrace)


class ProfileFunction(Hook):
    """The profile function of the thread that runs the tests."""

    name = "profile function"
    at = "sys.getprofile()"
    event = "sys.setprofile"
    words = ("setprofile",)
    blind = "the profile functions of other threads, and tools of sys.monitoring"
    get = staticmethod(sys.getprofile)
    put = staticmethod(sys.setprofile)


class AsyncGenHooks(Probe):
    """What is called when an asynchronous generator is first iterated and when it is finalised."""

    is_quiet = True
    name = "async generator hooks"
    words = ("set_asyncgen_hooks",)
    blind = "the hooks of other threads"

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        first, last = _get_asyncgen_hooks()
        known = self._last
        if not known or first is not known["firstiter"] or last is not known["finalizer"]:
            self._last = {"firstiter": first, "finalizer": last}
        return self._last

    def place(self, key: str) -> str:
        return f"sys.get_asyncgen_hooks().{key}"

    def restore(self, key: str, before: Any, after: Any) -> None:
        _set_asyncgen_hooks(**{key: before})


class GarbageThreshold(Value):
    """When the garbage collector runs."""

    is_quiet = True
    name = "gc threshold"
    at = "gc.get_threshold()"
    words = ("set_threshold",)
    get = staticmethod(gc.get_threshold)

    @staticmethod
    def put(value: Any, /) -> object:
        return _set_threshold(*value)


class GarbageCollector(Value):
    """Whether the garbage collector runs of itself."""

    name = "gc"
    at = "gc.isenabled()"
    words = ("disable", "enable")
    get = staticmethod(gc.isenabled)

    @staticmethod
    def put(value: Any, /) -> object:
        return _gc_enable() if value else _gc_disable()


class GarbageDebug(Value):
    """What the garbage collector tells and keeps."""

    is_quiet = True
    name = "gc debug"
    at = "gc.get_debug()"
    words = ("set_debug",)
    get = staticmethod(gc.get_debug)
    put = staticmethod(gc.set_debug)


class FaultHandler(Value):
    """Whether a crash writes tracebacks."""

    name = "faulthandler"
    at = "faulthandler.is_enabled()"
    words = ("faulthandler",)
    blind = "the file it writes to, faulthandler.register() and dump_traceback_later()"
    get = staticmethod(faulthandler.is_enabled)

    @staticmethod
    def put(value: Any, /) -> object:
        if value:
            raise CannotRestore("the file that it wrote to is not known")
        return _disable_faulthandler()


class Tracemalloc(Value):
    """Whether allocations are traced."""

    name = "tracemalloc"
    at = "tracemalloc.is_tracing()"
    words = ("tracemalloc",)
    get = staticmethod(_tracemalloc.is_tracing)

    @staticmethod
    def put(value: Any, /) -> object:
        if value:
            raise CannotRestore("the traces taken so far are gone")
        return _stop_tracemalloc()


def setting_probes() -> list[Probe]:
    """The probes of what this platform has."""
    found: list[Probe] = [RecursionLimit(), SwitchInterval(), IntDigits(), OriginTracking()]
    found += [TraceFunction(), ProfileFunction(), AsyncGenHooks()]
    found += [GarbageThreshold(), GarbageCollector(), GarbageDebug(), FaultHandler(), Tracemalloc()]
    if hasattr(sys, "getdlopenflags"):
        found.append(OpenFlags())
    return found
