"""What the suites of the readiness floor share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def dead_host() -> Iterator[str]:
    """An address that refuses: "http://127.0.0.1:PORT", a port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield "http://{}:{}".format(*taken.getsockname())
