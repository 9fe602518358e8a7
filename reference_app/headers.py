"""Merges the HTTP headers for a tool server: those of the environment, then the request's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from reference_app.defects import Defect, is_planted

ENV_HEADERS = "MINI_AGENT_TOOL_HTTP_HEADERS"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 `token`
_FRAMING = {
    "content-length",
    "transfer-encoding",
}  # the HTTP client's: a second opinion smuggles requests
_BAD_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\U0010ffff]")  # nor anything that is not ASCII


def merge_headers(*weakest_first: Mapping[str, str]) -> dict[str, str]:
    """Returns one header set in which each name stands once, whatever its case; the last one wins.

    The winner keeps its own casing: `{"x-env": "A"}` then `{"X-Env": "B"}` gives `{"X-Env": "B"}`.
    """
    merged: dict[str, tuple[str, str]] = {}
    for headers in weakest_first:
        for name, value in headers.items():
            merged[name if is_planted(Defect.TWO_CASINGS) else name.lower()] = (name, value)
    return dict(merged.values())


def parse_headers(text: str) -> dict[str, str]:
    """Returns the headers in a JSON object of strings; empty text is an empty set.

    Raises:
        ValueError: The text is no such object, or a name or value may not stand in a header. The message
            never repeats the text, which holds credentials.
    """
    if not text.strip():
        return {}
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("not valid JSON") from None
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        raise ValueError("not a JSON object of strings")
    return check_headers(headers)


def is_header_value(text: str) -> bool:
    """Whether a text may stand behind a header's name; a line break would smuggle in a second header."""
    return not _BAD_IN_VALUE.search(text)


def check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Returns the headers without the blanks around their values, which are no part of them.

    Raises:
        ValueError: A name or value may not stand in a header, or the header says where the body ends.
    """
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name")
        if name.lower() in _FRAMING:
            raise ValueError(f"header {name!r} says where the body ends; it cannot be set")
        if not is_header_value(value):
            raise ValueError(f"the value of header {name!r} has a control or non-ASCII character")
    return {name: value.strip(" \t") for name, value in headers.items()}
