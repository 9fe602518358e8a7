"""Which upstream is asked."""

UPSTREAMS = ["near", "far"]
DOWN = None
PINNED = None
NOTES = []


def choose():
    if PINNED:
        return PINNED
    return next(name for name in UPSTREAMS if name != DOWN)
