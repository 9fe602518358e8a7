"""The token that the gateway sends upstream; read once."""

import functools
import os

HEADER = "Authorization"


@functools.lru_cache
def token():
    return os.environ.get("UPSTREAM_TOKEN", "")


def headers():
    return {HEADER: f"Bearer {token()}"} if token() else {}  # the write
