"""What the operating system keeps for the process: environment, directory, umask, limits, priority."""

from __future__ import annotations

import _thread
import importlib.util
import os
from functools import cache
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.audit import Ear, stack_here
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.value import Value

# Bound early, here and in all probes: a test may patch them, or replace os.environ by a plain dict.
_environ: Final = os.environ
_data: Final[dict[Any, Any]] = vars(_environ)["_data"]
_chdir, _getcwd, _umask, _fsdecode, _fsencode = os.chdir, os.getcwd, os.umask, os.fsdecode, os.fsencode
_open, _thread_count, _find_spec = open, _thread._count, importlib.util.find_spec
# not on every platform
_getpriority: Any = getattr(os, "getpriority", None)
_setpriority: Any = getattr(os, "setpriority", None)
_sched_getaffinity: Any = getattr(os, "sched_getaffinity", None)
_sched_setaffinity: Any = getattr(os, "sched_setaffinity", None)
_THIS_PROCESS: Final = getattr(os, "PRIO_PROCESS", 0)

_DELETED: Final = "(deleted)"
_STATUS: Final = "/proc/self/status"
_PYTESTS_OWN: Final = ("PYTEST_CURRENT_TEST", "PYTEST_VERSION")


class Environ(Probe):
    """The variables of os.environ, those aside that pytest itself sets at every stage."""

    name = "environ"
    words = ("environ", "environb", "putenv", "unsetenv", "setenv", "delenv", "load_dotenv")
    blind = "variables set by C code, and what is put into a replacement of os.environ"

    def __init__(self) -> None:
        self._raw: dict[Any, Any] = {}
        self._last: dict[str, Any] = {}
        # Windows keeps texts, in capitals
        self._own = [name if os.name == "nt" else _fsencode(name) for name in _PYTESTS_OWN]

    def read(self) -> dict[str, Any]:
        raw = _data.copy()
        for name in self._own:
            raw.pop(name, None)
        if raw != self._raw:
            self._last = self._updated(raw)
            self._raw = raw
        return self._last

    def _updated(self, raw: dict[Any, Any]) -> dict[str, Any]:
        """The last reading with what has changed: what has not stays the same object."""
        now = dict(self._last)
        for name in self._raw.keys() | raw.keys():
            if name not in raw:
                del now[_fsdecode(name)]
            elif name not in self._raw or self._raw[name] != raw[name]:
                now[_fsdecode(name)] = _fsdecode(raw[name])
        return now

    def place(self, key: str) -> str:
        return f"os.environ[{key!r}]"

    def restore(self, key: str, before: Any, after: Any) -> None:
        if before is MISSING:
            _environ.pop(key, None)
        else:
            _environ[key] = before


def _cwd() -> str:
    try:
        return _getcwd()
    except FileNotFoundError:
        return _DELETED
    except OSError as error:
        return f"({error.strerror})"


class WorkingDirectory(Value):
    """The working directory."""

    name = "cwd"
    at = "os.getcwd()"
    event = "os.chdir"
    words = ("chdir", "fchdir")
    get = staticmethod(_cwd)
    put = staticmethod(_chdir)


@cache
def _octal(mask: int) -> str:
    return f"0o{mask:03o}"


def _read_umask() -> str:
    """Return the umask, octal; without setting it where another thread could make a file meanwhile."""
    if _thread_count():
        found = _umask_of_status()
        if found is not None:
            return found
    mask = _umask(0o077)
    _umask(mask)
    return _octal(mask)


def _umask_of_status() -> str | None:
    try:
        with _open(_STATUS, "rb") as status:
            _, _, rest = status.read().partition(b"\nUmask:")
    except FileNotFoundError:  # no Linux
        return None
    return _octal(int(rest.split(maxsplit=1)[0], 8)) if rest else None


class Umask(Value):
    """The mask of permissions that new files do not get."""

    is_quiet = True
    name = "umask"
    at = "os.umask()"
    words = ("umask",)
    get = staticmethod(_read_umask)

    @staticmethod
    def put(value: Any, /) -> object:
        return _umask(int(value, 8))


class ResourceLimits(Probe):
    """What the process may use at most, as (soft, hard). Read again only after resource.setrlimit()."""

    is_quiet = True
    name = "rlimits"
    words = ("setrlimit", "prlimit")
    blind = "limits set by C code or by another process"

    def __init__(self) -> None:
        self._ear = Ear({"resource.setrlimit": self._on_change, "resource.prlimit": self._on_change})
        self._stack: tuple[Any, ...] = ()
        self._last: dict[str, Any] = {}
        self._is_fresh = True

    def start(self) -> None:
        resource = importlib.import_module("resource")
        self._get, self._set = resource.getrlimit, resource.setrlimit
        self._limits = {name: getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")}
        self._limits.pop("RLIMIT_OFILE", None)  # an alias of NOFILE
        self._is_fresh = True
        self._ear.open()

    def stop(self) -> None:
        self._ear.close()
        self._last, self._stack = {}, ()

    def read(self) -> dict[str, Any]:
        self._ear.check()
        if self._is_fresh:
            self._is_fresh = False
            self._last = {name: self._get(number) for name, number in self._limits.items()}
        return self._last

    def place(self, key: str) -> str:
        return f"resource.{key}"

    def stack(self, key: str) -> tuple[Any, ...]:
        return self._stack

    def restore(self, key: str, before: Any, after: Any) -> None:
        try:
            self._set(self._limits[key], before)
        except (OSError, ValueError) as error:
            raise CannotRestore(f"a lowered hard limit stays: {error}") from error
        finally:
            self._is_fresh = True

    def _on_change(self, arguments: tuple[Any, ...]) -> None:
        self._is_fresh = True
        self._stack = stack_here()


class Affinity(Value):
    """The processors that the process may run on."""

    is_quiet = True
    name = "affinity"
    at = "os.sched_getaffinity(0)"
    words = ("sched_setaffinity", "cpu_affinity")

    @staticmethod
    def get() -> frozenset[int]:
        return frozenset(_sched_getaffinity(0))

    @staticmethod
    def put(value: Any, /) -> object:
        return _sched_setaffinity(0, value)


class Priority(Value):
    """How nice the process is to others."""

    is_quiet = True
    name = "priority"
    at = "os.getpriority()"
    words = ("nice", "setpriority")

    @staticmethod
    def get() -> Any:
        return _getpriority(_THIS_PROCESS, 0)

    @staticmethod
    def put(value: Any, /) -> object:
        return _setpriority(_THIS_PROCESS, 0, value)


def process_probes() -> list[Probe]:
    """The probes of what this platform has."""
    found: list[Probe] = [Environ(), WorkingDirectory(), Umask()]
    if _find_spec("resource") is not None:
        found.append(ResourceLimits())
    if _getpriority is not None:
        found.append(Priority())
    if _sched_getaffinity is not None:
        found.append(Affinity())
    return found
