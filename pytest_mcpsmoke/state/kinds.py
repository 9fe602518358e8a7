"""How objects are read that are more, or less, than their attributes: built-in ones and well-known classes.

Classes are matched by module and name, so that no library is imported for it.
"""

from __future__ import annotations

import functools
import gc
import itertools
import sys
import types
from ast import literal_eval
from collections.abc import Callable
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.frameworks import FRAMEWORKS
from pytest_mcpsmoke.state.loggers import logging_readers
from pytest_mcpsmoke.state.place import MISSING, Contents, kind_of, module_of, mro_of
from pytest_mcpsmoke.state.readers import (
    AttributesReader,
    PartsReader,
    Reader,
    TypeReaders,
    attributes_of,
)

PENDING_TASKS: Final = " pending tasks"  # the part of an event loop
# Parts that code changes under other names than the part's own.
WORDS_OF_PARTS: Final[dict[str, tuple[str, ...]]] = {
    PENDING_TASKS: ("create_task", "ensure_future", "start_soon", "run_coroutine_threadsafe")
}

# Objects of these modules are values, or machinery that keeps its own books.
_LEAVES: Final = frozenset(
    {"_abc", "_contextvars", "_decimal", "_frozen_importlib", "_frozen_importlib_external", "_io", "_json"}
    | {"_pytest"}
    | {
        "_sre",
        "_ssl",
        "_weakref",
        "_weakrefset",
        "abc",
        "ast",
        "codecs",
        "concurrent",
        "copyreg",
        "dataclasses",
    }
    | {"datetime", "decimal", "email", "enum", "execnet", "fractions", "hypothesis", "importlib", "inspect"}
    | {"ipaddress", "logging", "multiprocessing", "numbers", "operator", "pathlib", "pluggy", "pytest", "re"}
    | {
        "pytest_mcpsmoke",
        "selectors",
        "signal",
        "socket",
        "ssl",
        "string",
        "subprocess",
        "tempfile",
        "traceback",
    }
    | {"typing", "typing_extensions", "uuid", "warnings", "weakref", "xdist", "zipimport", "zoneinfo"}
)


def is_leaf(cls: type) -> bool:
    """Whether objects of a class are never looked into."""
    return (module_of(cls) or "").partition(".")[0] in _LEAVES


def type_readers(size: int) -> TypeReaders:
    """The readers of all types; of buffers the first `size` bytes are read."""
    found = TypeReaders(is_leaf)
    for (module, name), reader in _readers(size).items():
        found.add(module, name, reader)
    return found


def attributes(named: dict[str, str]) -> PartsReader:
    """Of an instance only these attributes count, under these labels."""
    names = {label: name for name, label in named.items()}

    def read(value: Any) -> dict[str, Any]:
        held = attributes_of(value)
        return {label: held[name] for label, name in names.items() if name in held}

    def put(value: Any, label: str, before: Any) -> None:
        attributes_of(value)[names[label]] = before

    return PartsReader(read, put, sources=_itself)


def _itself(value: Any) -> list[Any]:
    return [value]


def _nothing(value: Any) -> list[Any]:
    """What is read once and cannot change."""
    return []


def _readers(size: int) -> dict[tuple[str, str], Reader]:
    return {
        ("types", "SimpleNamespace"): AttributesReader(vars(types.SimpleNamespace)["__dict__"]),
        ("os", "_Environ"): PartsReader(
            lambda environ: {}, sources=_nothing
        ),  # the environment has a probe of its own
        ("builtins", "mappingproxy"): PartsReader(
            lambda proxy: {"": gc.get_referents(proxy)[0]}, sources=_nothing
        ),
        ("builtins", "method"): PartsReader(lambda method: {".__self__": method.__self__}, sources=_nothing),
        ("functools", "partial"): PartsReader(_partial, _put_partial),
        ("functools", "_lru_cache_wrapper"): PartsReader(_cache, _clear_cache),
        ("functools", "singledispatchmethod"): attributes({"dispatcher": ".dispatcher"}),
        ("builtins", "bytearray"): PartsReader(_whole(functools.partial(_bytes, size)), _put_bytes),
        ("array", "array"): PartsReader(_whole(functools.partial(_array, size)), _put_array),
        ("numpy", "ndarray"): PartsReader(_whole(functools.partial(_ndarray, size)), _put_ndarray),
        ("_io", "StringIO"): PartsReader(_stream, _put_stream),
        ("_io", "BytesIO"): PartsReader(_stream, _put_stream),
        ("itertools", "count"): PartsReader(_whole(_count), remake=_recount),
        ("builtins", "generator"): PartsReader(_whole(_generator)),
        **{("builtins", name): PartsReader(_whole(_left)) for name in _ITERATORS},
        ("_queue", "SimpleQueue"): PartsReader(
            lambda queue: {".qsize()": sys.modules["_queue"].SimpleQueue.qsize(queue)}
        ),
        ("_thread", "lock"): PartsReader(lambda lock: {".locked()": lock.locked()}, _put_lock),
        ("_thread", "RLock"): PartsReader(_rlock, _put_rlock),
        ("_thread", "_local"): PartsReader(_local, _put_local),
        ("_contextvars", "ContextVar"): PartsReader(_variable, _put_variable),
        ("threading", "Event"): attributes({"_flag": ".is_set()"}),
        ("threading", "Semaphore"): attributes({"_value": "._value"}),
        ("threading", "Barrier"): attributes({"_state": "._state", "_count": "._count"}),
        ("threading", "Condition"): attributes({"_lock": "._lock"}),
        ("threading", "Thread"): PartsReader(lambda thread: {}, sources=_nothing),
        ("asyncio.locks", "Event"): attributes({"_value": ".is_set()"}),
        ("asyncio.locks", "Lock"): attributes({"_locked": ".locked()"}),
        ("asyncio.locks", "Semaphore"): attributes({"_value": "._value"}),
        ("asyncio.queues", "Queue"): attributes({"_queue": "._queue"}),
        ("asyncio.events", "AbstractEventLoop"): PartsReader(_loop, _put_loop, is_entered=False),
        ("unittest.mock", "_patch"): PartsReader(lambda patch: {}, sources=_nothing),
        ("unittest.mock", "NonCallableMock"): attributes(
            {
                "_mock_call_count": ".call_count",
                "_mock_return_value": ".return_value",
                "_mock_side_effect": ".side_effect",
            }
        ),
        **logging_readers(),
        **FRAMEWORKS,
    }


def _whole(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    """The parts of something opaque: one, without a name of its own."""
    return lambda value: {"": read(value)}


# callables


def _partial(value: Any) -> dict[str, Any]:
    get = functools.partial.__dict__
    return {f".{name}": get[name].__get__(value) for name in ("func", "args", "keywords")}


def _put_partial(value: Any, label: str, before: Any) -> None:
    parts = {**_partial(value), label: before}
    set_state: Any = functools.partial.__dict__["__setstate__"]
    set_state(value, (*(parts[f".{name}"] for name in ("func", "args", "keywords")), None))


def _cache(value: Any) -> dict[str, Any]:
    info = functools._lru_cache_wrapper.cache_info(value)
    counts = ("misses", info.misses, "currsize", info.currsize)
    return {".cache_info()": counts, "": attributes_of(value).get("__wrapped__")}


def _clear_cache(value: Any, label: str, before: Any) -> None:
    functools._lru_cache_wrapper.cache_clear(value)


# buffers, streams, iterators


def _bytes(size: int, value: Any) -> Any:
    length = bytearray.__len__(value)
    first = bytes(bytearray.__getitem__(value, slice(size)))
    return first if length <= size else (length, first)


def _put_bytes(value: Any, label: str, before: Any) -> None:
    if type(before) is tuple:
        raise CannotRestore("it is too long to be kept whole")
    bytearray.__setitem__(value, slice(None), before)


def _array(size: int, value: Any) -> Any:
    array = sys.modules["array"].array
    first = array.tobytes(array.__getitem__(value, slice(size)))
    length = array.__len__(value)
    typecode = array.typecode.__get__(value)
    return (typecode, first) if length <= size else (typecode, length, first)


def _put_array(value: Any, label: str, before: tuple[str, bytes]) -> None:
    if len(before) == 3:
        raise CannotRestore("it is too long to be kept whole")
    array = sys.modules["array"].array
    array.__delitem__(value, slice(None))
    array.frombytes(value, before[1])


def _ndarray(size: int, value: Any) -> Any:
    ndarray = sys.modules["numpy"].ndarray
    plain = value if type(value) is ndarray else ndarray.view(value, ndarray)
    if plain.dtype.hasobject:
        return Contents("list", tuple(itertools.islice(plain.flat, size)))
    data = plain.tobytes() if plain.nbytes <= 8 * size else plain.ravel()[:size].tobytes()
    return (*plain.shape, plain.dtype.str, data)


def _put_ndarray(value: Any, label: str, before: Any) -> None:
    if type(before) is Contents:
        raise CannotRestore("arrays of objects are not put back")
    *shape, dtype, data = before
    fresh = sys.modules["numpy"].frombuffer(data, dtype)
    if tuple(shape) != value.shape or fresh.size != value.size:
        raise CannotRestore("the array has another shape now, or is too long to be kept whole")
    value[...] = fresh.reshape(shape)


def _stream(value: Any) -> dict[str, Any]:
    try:
        io = sys.modules["_io"]
        own = io.StringIO if any(base is io.StringIO for base in mro_of(type(value))) else io.BytesIO
        return {".getvalue()": own.getvalue(value), ".tell()": own.tell(value)}
    except ValueError:
        return {".closed": True}


def _put_stream(value: Any, label: str, before: Any) -> None:
    if label == ".closed" or before is MISSING:
        raise CannotRestore("it has been closed, and its contents are gone")
    at = value.tell()
    if label == ".getvalue()":
        value.seek(0)
        value.truncate()
        value.write(before)
        value.seek(at)
    else:
        value.seek(before)


_ITERATORS: Final = (
    "list_iterator",
    "tuple_iterator",
    "str_ascii_iterator",
    "range_iterator",
    "bytes_iterator",
)


def _count(value: Any) -> Any:
    """The next number; where it is no plain number, whatever the next object is."""
    inside = [item for item in gc.get_referents(value) if item is not itertools.count]
    return repr(value) if all(kind_of(item) in (int, float) for item in inside) else tuple(inside)


def _recount(value: Any, before: Any) -> Any:
    if type(before) is not str:
        raise CannotRestore("it counts objects that are no plain numbers")
    steps = [literal_eval(number) for number in before[len("count(") : -1].split(", ")]
    return itertools.count(*steps)


def _generator(value: Any) -> Any:
    frame = value.gi_frame
    return "finished" if frame is None else f"at line {frame.f_lineno}, instruction {frame.f_lasti}"


def _left(value: Any) -> Any:
    return f"{value.__length_hint__()} left"


# threads and contexts


def _put_lock(value: Any, label: str, before: bool) -> None:
    value.acquire(blocking=False) if before else value.release()


def _rlock(value: Any) -> dict[str, Any]:
    return {".locked()": sys.modules["_thread"].RLock.__repr__(value).startswith("<locked")}


def _put_rlock(value: Any, label: str, before: bool) -> None:
    if before:
        raise CannotRestore("who held it is not known")
    try:
        while value._is_owned():
            value.release()
    except RuntimeError as error:
        raise CannotRestore("another thread holds it") from error


def _local(value: Any) -> dict[str, Any]:
    """What the main thread sees; boundaries are in the main thread."""
    cls, local = type(value), _local_type()
    if cls is not local and any("__init__" in base.__dict__ for base in mro_of(cls) if base is not object):
        return {}  # asking might run its __init__ for this thread
    held = local.__getattribute__(value, "__dict__")
    return {f".{name}": item for name, item in dict.items(held)}


def _local_type() -> Any:
    return sys.modules["_thread"]._local


def _put_local(value: Any, label: str, before: Any) -> None:
    held = _local_type().__getattribute__(value, "__dict__")
    if before is MISSING:
        del held[label[1:]]
    else:
        held[label[1:]] = before


def _variable(value: Any) -> dict[str, Any]:
    """What the main context holds; a variable that is not set is as good as one set to its default."""
    try:
        return {".get()": value.get()}
    except LookupError:
        return {}


def _put_variable(value: Any, label: str, before: Any) -> None:
    if before is MISSING:
        raise CannotRestore("a context variable without a default cannot be unset")
    value.set(before)


def _loop(value: Any) -> dict[str, Any]:
    asyncio = sys.modules["asyncio"]
    closed = (
        asyncio.BaseEventLoop.is_closed(value)
        if isinstance(value, asyncio.BaseEventLoop)
        else value.is_closed()
    )
    tasks = () if closed else asyncio.all_tasks(value)
    named = Contents("set", tuple(task for task in tasks if type(task) is asyncio.Task))
    return {".is_closed()": closed, PENDING_TASKS: named}


def _put_loop(value: Any, label: str, before: Any) -> None:
    if label != PENDING_TASKS:
        raise CannotRestore("a closed loop cannot be opened again")
    if value.is_running():
        raise CannotRestore("the loop is running")
    asyncio = sys.modules["asyncio"]
    left = [task for task in asyncio.all_tasks(value) if not any(task is old for old in before.values)]
    for task in left:
        task.cancel()
    value.run_until_complete(asyncio.wait(left, timeout=1.0))
    if any(not task.done() for task in left):
        raise CannotRestore("a task goes on although it was cancelled")
