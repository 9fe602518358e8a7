"""What travelled, as text: headers, targets and bodies, readable and without their secrets."""

from __future__ import annotations

import json
from typing import Any, Final

from pytest_mcpsmoke.state.describe import is_secret_name, redact_value

HIDDEN: Final = "***"
LIMIT: Final = 600  # characters shown of one body
_SCHEMES: Final = ("basic", "bearer", "digest", "negotiate")


def show_header(name: str, value: str) -> str:
    """Show a header as `Name: value`; of a credential only its scheme is shown."""
    if not is_secret_name(name):
        return f"{name}: {redact_value(value)}"
    scheme, _, rest = value.partition(" ")
    return f"{name}: {scheme} {HIDDEN}" if rest and scheme.lower() in _SCHEMES else f"{name}: {HIDDEN}"


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
