"""Kinds of configuration values: each reads one value of a file, or says what is wrong and what to write."""

from __future__ import annotations

import difflib
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reference_app.headers import check_headers, is_header_value

Kind = Callable[[Any], Any]  # returns the value as the program needs it, or raises Fault

SHOWN_CHARS = 40


class Fault(ValueError):
    """A value is not what its key needs; the message is `what is wrong; what to write`.

    `place` leads from the section that was checked to the key concerned: names, and numbers in lists.
    """

    def __init__(self, message: str, *place: str | int) -> None:
        super().__init__(message)
        self.place = place


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
    if not 0 <= value <= sys.float_info.max:
        raise Fault(f"{shown(value)} is no time; write seconds from 0 on")
    return float(value)


def some_seconds(value: object) -> float:
    """Reads a time that is longer than none."""
    if not (time := seconds(value)):
        raise Fault("0 leaves no time; write seconds above 0")
    return time


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


def set_variable(value: object) -> str:
    """Reads the name of an environment variable that has a value now, which is not repeated."""
    name = variable_name(value)
    if not os.environ.get(name, "").strip():
        state = "is empty" if name in os.environ else "is not set"
        raise Fault(f"the environment variable {name} {state}; set it before the app starts")
    return name


def header_variable(value: object) -> str:
    """Reads the name of an environment variable whose value is sent in a header."""
    name = set_variable(value)
    if not is_header_value(os.environ[name].strip()):
        raise Fault(
            f"the environment variable {name} has a control or non-ASCII character; "
            "set it to what may stand in a header"
        )
    return name


def any_text(value: object) -> str:
    """Reads a text as a process is given it, also the empty one; it is not repeated: it may be a secret."""
    if not isinstance(value, str):
        raise Fault("is not a text; put it in quotes")
    if re.search("[\0\ud800-\udfff]", value):
        raise Fault("has a character that no process can be given; leave it out")
    return value


def header_name(value: object) -> str:
    """Reads the name of an HTTP header, but of none that says where the body ends."""
    name = text(value)
    try:
        check_headers({name: ""})
    except ValueError as error:
        raise Fault(f"{error}; write the name of a header that may be sent") from None
    return name


def header_value(value: object) -> str:
    """Reads the value of an HTTP header without the blanks around it; it is not repeated."""
    if not isinstance(value, str):
        raise Fault("is not a text; put the header's value in quotes")
    if not is_header_value(value):
        raise Fault("has a control or non-ASCII character; write what may stand in an HTTP request")
    return value.strip(" \t")


def name(value: object) -> str:
    """Reads a name that may stand in a header's list, and before a hyphen."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9_.]", value):
        raise Fault(
            f"{shown(value)} is not a name; write letters, digits, '_', '.' and '-', no '-' at the end"
        )
    return value


def prefix(value: object) -> str:
    """Reads a name, or the empty text for no prefix at all."""
    return "" if value == "" else name(value)


def import_path(value: object) -> str:
    """Reads `package.module:function`; whether it can be imported is not looked at."""
    module, _, function = text(value).partition(":")
    if not all(part.isidentifier() for path in (module, function) for part in path.split(".")):
        raise Fault(f"{shown(value)} is not an import path; write one like package.module:function")
    return f"{module}:{function}"


def json_scalar(value: object) -> object:
    """Reads a value that JSON has too."""
    is_too_big = isinstance(value, int) and value.bit_length() > 64
    if is_too_big or (isinstance(value, float) and not math.isfinite(value)):
        raise Fault(f"{shown(value)} is no number that JSON can carry; put it in quotes")
    if not isinstance(value, str | int | float | bool | None):
        raise Fault(f"is of type {type(value).__name__}, which JSON does not have; put it in quotes")
    return value


def readable_file(path: Path) -> str:
    """Reads the path of a file that can be read now."""
    try:
        if not path.is_file() and path.exists():  # opening a pipe would wait
            raise OSError("it is no file")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Fault(
            f"cannot be read: {why}; name a file, seen from the folder of the configuration"
        ) from None
    return str(path)


def folder(path: Path) -> str:
    """Reads the path of a folder that exists."""
    try:
        is_folder = path.is_dir()
    except ValueError:  # a NUL in it
        is_folder = False
    if not is_folder:
        raise Fault("is no folder; name one, seen from the folder of the configuration")
    return str(path)


def advice(name: str, known: Iterable[str]) -> str:
    """Returns what to write in the place of an unknown name: the nearest known one, or all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"write one of: {', '.join(names)}"


def readable(name: str) -> str:
    """Returns a name as it is, or as `shown` does where it would break the line."""
    return name if name.isprintable() and 0 < len(name) <= SHOWN_CHARS else shown(name)


def shown(value: object) -> str:
    """Returns a value as a message shows it: on one line, and not too long."""
    kinds = {dict: "a mapping", list: "a list", type(None): "nothing", bool: str(value).lower()}
    if type(value) in kinds:
        return kinds[type(value)]
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than some thousand digits
        return "a very long number"
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"
