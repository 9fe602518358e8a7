"""A proxy that may have no upstream yet."""

UPSTREAM = None
RETRIES = 2


def call(tool):
    return f"{UPSTREAM}/{tool}" if UPSTREAM else "no upstream"
