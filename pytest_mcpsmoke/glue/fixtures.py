"""The fixtures: a few lines each over an object of `doubles/`, imported when a test asks for it.

All are function-scoped and none is autouse. They are sync, so that sync and async tests use them alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass
