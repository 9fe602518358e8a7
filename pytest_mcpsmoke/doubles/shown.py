"""What travelled, as text: headers, targets and bodies, readable and without their secrets."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from pytest_mcpsmoke.state.describe import is_secret_name, redact_value

HIDDEN: Final = "***"
LIMIT: Final = 600  # characters shown of one body
_SECRET_HEADER: Final = r"(?i)auth|session|signature|[-_]key$"  # beyond what is secret under any name
_SCHEMES: Final = ("basic", "bearer", "digest", "negotiate")


def show_header(name: str | bytes, value: str | bytes) -> str:
    """Show a header as `Name: value`; the value of a telling name is hidden, but not its scheme."""
    name, value = (text_of(part) if isinstance(part, bytes) else part for part in (name, value))
    return f"{name}: {show_value(name, value)}"


def show_value(name: str, value: str) -> str:
    """Show the value of a header; where the name suggests a credential, only its scheme is shown."""
    if not is_secret_name(name) and re.search(_SECRET_HEADER, name) is None:
        return redact_value(value)
    scheme, _, rest = value.partition(" ")
    return f"{scheme} {HIDDEN}" if rest and scheme.lower() in _SCHEMES else HIDDEN


def text_of(raw: bytes) -> str:
    """A header's name or value as text: UTF-8, or else Latin-1, which every byte fits."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def show_target(target: str) -> str:
    """Show a request's target; values of telling names in its query are hidden."""
    return redact_value(target)


def show_body(body: bytes) -> str:
    """Show a body on one line: JSON without what stands under telling names, else its text."""
    try:
        text = json.dumps(without_secrets(json.loads(body)), ensure_ascii=False)
    except (ValueError, RecursionError):
        text = redact_value(body.decode("utf-8", "backslashreplace"))
    text = text.replace("\r", "\\r").replace("\n", "\\n")
    return text if len(text) <= LIMIT else f"{text[:LIMIT]}… ({len(body):,} bytes)"


def without_secrets(value: Any) -> Any:
    """Copy a JSON value without what stands under telling names or looks like a credential."""
    if isinstance(value, str):
        return redact_value(value)
    if isinstance(value, list):
        if len(value) == 2 and _tells(value[0]):  # a pair, as of headers
            return [value[0], HIDDEN]
        flags = [False, *(_tells(item) and item[:1] == "-" and "=" not in item for item in value)]
        return [HIDDEN if flag else without_secrets(item) for flag, item in zip(flags, value, strict=False)]
    if isinstance(value, dict):
        named = _tells(value.get("name")) and "value" in value  # {"name": "Authorization", "value": …}
        return {
            key: HIDDEN if is_secret_name(key) or (named and key == "value") else without_secrets(item)
            for key, item in value.items()
        }
    return value


def _tells(name: object) -> bool:
    return isinstance(name, str) and is_secret_name(name)
