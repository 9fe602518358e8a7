"""A proxy that may have no upstream yet."""

UPSTREAM = None
NAME = "proxy"


def call(tool):
    return f"{UPSTREAM}/{tool}" if UPSTREAM else "no upstream"
