"""The TLS settings that all HTTP clients of the app share."""

from __future__ import annotations

import ssl
from functools import cache

from httpx import create_ssl_context


@cache
def tls() -> ssl.SSLContext:
    """Returns the one context: reading the certificates takes 25 ms, in which the event loop stands still."""
    return create_ssl_context()
