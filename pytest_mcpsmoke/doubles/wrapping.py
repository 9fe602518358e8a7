"""Decorators from context managers: functions of every kind, and the tests of a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

__tracebackhide__ = True  # pytest shows the line that patches, not these

T = TypeVar("T")


def wrapped(target: T, around: Callable[[], AbstractContextManager[Any]]) -> T:
    """Return a function that runs inside a new context each time, with the signature that it had.

    It stays what it was: a function, a coroutine function, a generator or an async generator, inside the
    context from its first step to its last. Of a class the methods called test… are wrapped, in place.
    Raises TypeError for anything else.
    """
    if inspect.isclass(target):
        for name in [name for name in dir(target) if name.startswith("test")]:
            method = inspect.getattr_static(target, name)
            if inspect.isfunction(method):
                setattr(target, name, wrapped(method, around))
        return target
    if not inspect.isfunction(target):
        raise TypeError(f"a patch decorates functions and classes, not a {type(target).__name__} object")
    make: Any = _function
    if inspect.iscoroutinefunction(target):
        make = _coroutine_function
    elif inspect.isasyncgenfunction(target):
        make = _async_generator
    elif inspect.isgeneratorfunction(target):
        make = _generator
    return functools.wraps(target)(make(target, around))  # type: ignore[return-value]


Around = Callable[[], AbstractContextManager[Any]]


def _function(target: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with around():
            return target(*args, **kwargs)

    return run


def _coroutine_function(target: Callable[..., Any], around: Around) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> Any:
        with around():
            return await target(*args, **kwargs)

    return run


def _generator(target: Callable[..., Any], around: Around) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with around():
            return (yield from target(*args, **kwargs))

    return run


def _async_generator(target: Callable[..., Any], around: Around) -> Callable[..., Any]:
    async def run(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with around():
            inner = target(*args, **kwargs)
            try:
                value = await anext(inner)
                while True:
                    try:
                        sent = yield value
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        value = await inner.athrow(error)
                    else:
                        value = await inner.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return run
