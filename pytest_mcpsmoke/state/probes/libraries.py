"""Settings that libraries keep where no namespace shows them: decimal, socket, multiprocessing, numpy."""

from __future__ import annotations

import contextvars
import sys
from typing import Any, ClassVar, Final

from pytest_mcpsmoke.state.engines import is_same
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.value import Value

_copy_context = contextvars.copy_context

_DECIMAL: Final = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


class DecimalContext(Probe):
    """How decimal numbers are computed. The flags are left out: computing sets them."""

    is_quiet = True
    name = "decimal"
    module = "decimal"
    words = ("getcontext", "setcontext", *_DECIMAL, "traps")
    blind = "contexts of other threads or of a class derived from Context, and an unused DefaultContext"

    def __init__(self) -> None:
        self._context_type: Any = None
        self._variable: contextvars.ContextVar[Any] | None = None
        self._settings: tuple[Any, Any] = ((), [])
        self._last: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        context = self._context()
        if type(context) is not self._context_type:
            return self._last
        _, state = context.__reduce__()
        settings = state[:6], state[7]  # between them are the flags
        if settings != self._settings:
            self._settings = settings
            traps = tuple(signal.__name__ for signal in settings[1])
            self._last = dict(zip((*_DECIMAL, "traps"), (*settings[0], traps), strict=True))
        return self._last

    def _context(self) -> Any:
        """The context in force; asking getcontext() would make one, and later changes of the default vain."""
        values = _copy_context()
        if self._variable is None:
            self._variable = next((var for var in values if var.name == "decimal_context"), None)
        found = None if self._variable is None else values.get(self._variable)
        if found is None or self._context_type is None:
            names = vars(sys.modules["decimal"])
            self._context_type = names["Context"]
            found = names["DefaultContext"] if found is None else found
        return found

    def place(self, key: str) -> str:
        return f"decimal.getcontext().{key}"

    def restore(self, key: str, before: Any, after: Any) -> None:
        context = self._context()
        if key == "traps":
            context.traps = {signal: signal.__name__ in before for signal in context.traps}
        else:
            setattr(context, key, before)


class SocketTimeout(Value):
    """The time-out of new sockets, in seconds."""

    is_quiet = True
    name = "socket time-out"
    at = "socket.getdefaulttimeout()"
    words = ("setdefaulttimeout",)

    @staticmethod
    def get() -> float | None:
        sockets = sys.modules.get("_socket")
        return None if sockets is None else vars(sockets)["getdefaulttimeout"]()

    @staticmethod
    def put(value: Any, /) -> object:
        return vars(sys.modules["_socket"])["setdefaulttimeout"](value)


class StartMethod(Value):
    """How multiprocessing starts processes; None as long as nobody needed to know."""

    is_quiet = True
    name = "start method"
    at = "multiprocessing.get_start_method()"
    words = ("set_start_method",)

    @staticmethod
    def get() -> str | None:
        context = _start_context()
        chosen = None if context is None else vars(context)["_actual_context"]
        return None if chosen is None else vars(type(chosen))["_name"]

    @staticmethod
    def put(value: Any, /) -> object:
        return _start_context().set_start_method(value, force=True)

    def warm_up(self, key: str, before: Any, after: Any) -> str | None:
        default = vars(_start_context())["_default_context"]
        is_first_use = before is None and after == vars(type(default))["_name"]
        return "the default was chosen on first use" if is_first_use else None


def _start_context() -> Any:
    contexts = sys.modules.get("multiprocessing.context")
    return None if contexts is None else vars(contexts)["_default_context"]


class _NumpySettings(Probe):
    """A dict of settings that one function tells and another one sets, by key."""

    is_quiet = True
    module = "numpy"
    getter: ClassVar[str]
    setter: ClassVar[str]

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}
        self._get: Any = None
        self._set: Any = None

    def read(self) -> dict[str, Any]:
        if self._get is None:
            names = vars(sys.modules["numpy"])
            self._get, self._set = names[self.getter], names[self.setter]
        settings: dict[str, Any] = self._get()
        if not is_same(settings, self._last):
            self._last = settings
        return self._last

    def place(self, key: str) -> str:
        return f"numpy.{self.setter}({key}=…)"

    def restore(self, key: str, before: Any, after: Any) -> None:
        self._set(**{**self._get(), key: before})  # whole: what set_printoptions() is not given, it may reset


class NumpyErrors(_NumpySettings):
    """What numpy does about floating-point errors."""

    name = "numpy errors"
    getter, setter = "geterr", "seterr"
    words = ("seterr",)
    blind = "numpy.seterrcall() and numpy.setbufsize()"


class NumpyPrinting(_NumpySettings):
    """How numpy prints arrays."""

    name = "numpy printing"
    getter, setter = "get_printoptions", "set_printoptions"
    words = ("set_printoptions", "set_string_function")
    blind = "options that are changed and put back between two boundaries"


def library_probes() -> list[Probe]:
    """The probes of libraries; those of libraries that are not loaded are not read."""
    return [DecimalContext(), SocketTimeout(), StartMethod(), NumpyErrors(), NumpyPrinting()]
