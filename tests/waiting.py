"""Waits for what happens beside a test, in another thread or process."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(done: Callable[[], object], seconds: float) -> None:
    """Raises AssertionError when it has not come true in that time."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done()
