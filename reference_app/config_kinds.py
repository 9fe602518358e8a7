"""Kinds of configuration values: each reads one value of a file, or says what is wrong and what to write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

Kind = Callable[[Any], Any]  # returns the value as the program needs it, or raises Fault

SHOWN_CHARS = 40


class Fault(ValueError):
    """A value is not what its key needs; the message is `what is wrong; what to write`."""


def text(value: object) -> str:
    """Reads a text that is not empty."""
    if not isinstance(value, str):
        raise Fault(f"{shown(value)} is not a text; write one, in quotes if it looks like something else")
    if not value.strip():
        raise Fault("is empty; write a text, or leave the key out")
    return value


def switch(value: object) -> bool:
    """Reads true or false."""
    if not isinstance(value, bool):
        raise Fault(f"{shown(value)} is neither true nor false; write one of them")
    return value


def whole(lowest: int, highest: int | None = None) -> Kind:
    """Reads a whole number within bounds, which belong to them."""
    wanted = f"write a number from {lowest} {'on' if highest is None else f'to {highest}'}"

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise Fault(f"{shown(value)} is not a whole number; {wanted}")
        if value < lowest or (highest is not None and value > highest):
            raise Fault(f"{shown(value)} is out of bounds; {wanted}")
        return value

    return read


def seconds(value: object) -> float:
    """Reads a time of zero seconds or more."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise Fault(f"{shown(value)} is not a number; write seconds, such as 2.5")
    if not 0 <= value < float("inf"):
        raise Fault(f"{shown(value)} is no time; write seconds from 0 on")
    return float(value)


def one_of(*names: str) -> Kind:
    """Reads one of a few names, in any case."""

    def read(value: object) -> str:
        name = text(value).strip().lower()
        if name not in names:
            raise Fault(f"{shown(value)} is unknown; {advice(name, names)}")
        return name

    return read


def http_url(value: object) -> str:
    """Reads an absolute http or https URL; it is not repeated in the message, for it may hold a password."""
    url = text(value).strip()
    try:
        parts = urlsplit(url)
        is_clean = url.isprintable() and " " not in url
        is_usable = (
            is_clean and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise Fault("is not an http or https URL; write one with its host, such as http://127.0.0.1:9000")
    return url


def variable_name(value: object) -> str:
    """Reads the name of an environment variable; what is none is not repeated, for it may be the secret."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise Fault(
            "is not the name of an environment variable; write the name of the one that holds the key, "
            "never the key itself"
        )
    return value


def advice(name: str, known: Iterable[str]) -> str:
    """Returns what to write in the place of an unknown name: the nearest known one, or all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"write one of: {', '.join(names)}"


def shown(value: object) -> str:
    """Returns a value as a message shows it: on one line, and not too long."""
    kinds = {dict: "a mapping", list: "a list", type(None): "nothing", bool: str(value).lower()}
    if type(value) in kinds:
        return kinds[type(value)]
    text = repr(value)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
