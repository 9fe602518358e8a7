"""Bytes of memory at an address, for what a function tells only in ten microseconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any


def reader(address: int, size: int) -> Callable[[], bytes]:
    """Return a function that returns the bytes which are there when it is called: about 0.1 µs.

    Whoever asks knows that the address is mapped, and stays so. Raises ImportError where Python has no
    ctypes. Only the compiled half of ctypes is loaded: that takes half a millisecond, the whole takes two.
    """
    found: Callable[[], bytes] = memoryview((_byte() * size).from_address(address)).tobytes
    return found


@cache
def _byte() -> Any:
    core: Any = importlib.import_module("_ctypes")
    return type("Byte", (core._SimpleCData,), {"_type_": "B"})
