"""The upstream's tools, kept in a file from run to run."""

from pathlib import Path

CACHE = Path(__file__).with_name("catalog.txt")
CLIENTS = []


def refresh():
    CACHE.write_text("search fetch", encoding="utf-8")


def cached():
    if not CACHE.exists():
        refresh()
        return []
    return CACHE.read_text(encoding="utf-8").split()
