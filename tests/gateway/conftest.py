"""The gateway's suite: keeps what the developer has set away from it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Appended, never inserted: the checkout must not shadow an installed pytest_mcpsmoke.
ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps loopback requests away from a configured proxy."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
