"""The only place where values become text: bounded, redacted, and without running user code."""

from __future__ import annotations

import re
import types
from typing import Any, Final

from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    is_class,
    is_module,
    kind_of,
    module_dict,
    qualname_of,
    text_of,
)

LIMIT: Final = 80  # characters of one described value
_READ: Final = 1_000  # of a text: what is cut before it is redacted may hold half a credential
_ITEMS: Final = 4  # items shown of a container
_DEPTH: Final = 3
_HIDDEN: Final = "***"

# Texts, not compiled patterns: most runs never need them, and `re` keeps what it has compiled.
_SECRET_WORDS: Final = (
    r"token|secret|passw|passphrase|api[-_]?key|access[-_]?key|private[-_]?key|authori[sz]ation|credential"
    r"|cookie|bearer|jwt|dsn|(?<![a-z])(?:pw|pwd|pass)(?![a-z_])"
)
_SECRET_NAME: Final = rf"(?i)({_SECRET_WORDS})"
_SECRET_TEXT: Final = (
    r"(?ix) \b(bearer|basic)\s+[^\s\x22\x27]{6,} | \bsk-[\w-]{8,}"
    r" | \b(ghp|gho|ghs|github_pat|xox[abprs]|glpat)[-_][\w-]{8,}"
    r" | \bAKIA[0-9A-Z]{12,} | \beyJ[\w-]{10,}\.[\w-]+ | ://[^/\s@\x22\x27]+@ | -----BEGIN\ [A-Z ]*PRIVATE"
)
# name=value, name: value, as in queries, headers and settings
_SECRET_PAIR: Final = (
    rf"(?i)((?<!\w)[\w.-]*(?:{_SECRET_WORDS})[\w.-]*[\x22\x27]?\s*[=:]\s*[\x22\x27]?)[^&;\x22\x27\n]+"
)
_STRING: Final = r"""(?s)('''|\"\"\"|'|")(?:\\.|(?!\1).)*\1"""


def is_secret_name(name: str) -> bool:
    """Whether a name suggests that its value must not be shown."""
    return re.search(_SECRET_NAME, name) is not None


def redact(text: str) -> str:
    """Replace what looks like a credential inside a text."""
    return re.sub(_SECRET_TEXT, _HIDDEN, text)


def redact_value(text: str) -> str:
    """Replace what looks like a credential inside a value, pairs of a name and a secret among it."""
    return redact(re.sub(_SECRET_PAIR, rf"\1{_HIDDEN}", text[:_READ]))


def redact_source(line: str, place: str) -> str:
    """Hide all string literals of a source line where the place or anything in the line names a secret."""
    if is_secret_name(place) or is_secret_name(line):
        names = {place.rpartition(".")[2], *re.findall(r"\['([^']*)'\]", place)}
        line = re.sub(_STRING, lambda found: found[0] if found[0][1:-1] in names else f'"{_HIDDEN}"', line)
    return redact(line)


def describe(value: object, name: str = "") -> str:
    """Describe a value in at most 80 characters; values under secret names are hidden."""
    if value is MISSING:
        return "(nothing)"
    hide = is_secret_name(name) and not (
        is_class(value) or is_module(value) or callable_kind(value) or value is None
    )
    text = f"{_type_name(value)} {_HIDDEN}" if hide else _describe(value, _DEPTH)
    return text if len(text) <= LIMIT else text[: LIMIT - 1] + "…"


def describe_pair(before: object, after: object, name: str) -> tuple[str, str]:
    """Describe what stood there and what stands there now; where both look alike, from where they differ."""
    texts = describe(before, name), describe(after, name)
    if texts[0] != texts[1] or _HIDDEN in texts[0]:
        return texts
    if type(before) is Contents and type(after) is Contents and before.kind in ("list", "deque"):
        both = before.values, after.values
        pairs = zip(*both, strict=False)
        at = next((i for i, (one, other) in enumerate(pairs) if one is not other), min(map(len, both)))
        shown = [describe(values[at], name) if at < len(values) else "(nothing)" for values in both]
        return f"{len(both[0])} items, [{at}] {shown[0]}", f"{len(both[1])} items, [{at}] {shown[1]}"
    if type(before) is str and type(after) is str:
        one, other = redact_value(before), redact_value(after)
        at = next(
            (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
        )
        start = max(0, at - 10)
        return describe("…" + one[start:], name), describe("…" + other[start:], name)
    return texts


def callable_kind(value: object) -> str | None:
    """What kind of function a value is, None when it is none."""
    kinds: dict[Any, str] = {
        types.FunctionType: "function",
        types.BuiltinFunctionType: "built-in function",
        types.MethodType: "method",
        staticmethod: "static method",
        classmethod: "class method",
        property: "property",
    }
    return kinds.get(kind_of(value))


def _type_name(value: object) -> str:
    return str(qualname_of(type(value))).rpartition(".<locals>.")[2]


def _function_name(value: Any) -> str:
    if type(value) is property:
        value = value.fget
    elif kind_of(value) in (staticmethod, classmethod, types.MethodType):
        value = value.__func__
    name = value.__name__ if kind_of(value) in (types.FunctionType, types.BuiltinFunctionType) else None
    return text_of(name) or _type_name(value)


def _describe(value: Any, depth: int) -> str:
    if is_class(value):
        return f"class {str(qualname_of(value)).rpartition('.<locals>.')[2]}"
    if is_module(value):
        return f"module {text_of(module_dict(value).get('__name__')) or '?'}"
    kind = callable_kind(value)
    if kind is not None:
        return f"{kind} {_function_name(value)}"
    return _describe_data(value, depth)


def _describe_data(value: Any, depth: int) -> str:
    cls = kind_of(value)
    if cls is _Hidden:
        return _HIDDEN
    if cls is str:
        return repr(_shortened(redact_value(value[:_READ])))
    if cls is bytes:
        return redact_value(repr(value[:_READ]))
    if cls is int and value.bit_length() > 200:
        return f"int of {value.bit_length()} bits"
    if cls in (int, float, complex, bool, type(None), type(...)):
        return repr(value)
    if cls in (list, tuple, set, frozenset):
        return _describe_items(value, depth)
    if cls is dict:
        return _describe_dict(value, depth)
    if cls is Contents:
        return _describe_contents(value, depth)
    return f"{_type_name(value)} object"


class _Hidden:
    """Stands for a value that is not shown."""


def _without_secrets(value: Any) -> Any:
    """A pair such as a header, or the arguments of a command, without what follows a telling name."""
    is_pair = 1 < len(value) <= _ITEMS and _is_secret_key(value[0])
    hidden = [
        at > 0 and ((is_pair and at < _ITEMS) or _is_flag(value[at - 1]))
        for at in range(min(len(value), _ITEMS))
    ]
    if not any(hidden):
        return value
    return type(value)(
        [*(_Hidden() if hide else item for hide, item in zip(hidden, value, strict=False)), *value[_ITEMS:]]
    )


def _is_flag(value: object) -> bool:
    """Whether a text is a command's option whose value, the next text, must not be shown."""
    return type(value) is str and value[:1] == "-" and "=" not in value and _is_secret_key(value)


def _is_secret_key(key: object) -> bool:
    """Whether a key, or the first of a pair, suggests that what goes with it must not be shown."""
    if type(key) is bytes:
        key = key.decode("latin-1")
    return type(key) is str and len(key) < _READ and is_secret_name(key)


def _shortened(text: str) -> str:
    return text if len(text) <= LIMIT else text[:LIMIT] + "…"


def _describe_items(value: Any, depth: int) -> str:
    cls = type(value)
    if cls in (list, tuple):
        value = _without_secrets(value)
    brackets: dict[Any, tuple[str, str]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}")}
    opening, closing = brackets.get(cls, ("frozenset({", "})"))
    if not value:
        return f"{cls.__name__}()" if cls in (set, frozenset) else opening + closing
    if depth == 0:
        return f"{opening}…{closing}"
    shown = [_describe(item, depth - 1) for _, item in zip(range(_ITEMS), tuple(value), strict=False)]
    more = f", … {len(value) - _ITEMS} more" if len(value) > _ITEMS else ""
    comma = "," if cls is tuple and len(value) == 1 else ""
    return f"{opening}{', '.join(shown)}{comma}{more}{closing}"


def _describe_contents(value: Contents, depth: int) -> str:
    if value.kind == "set" and not value.values:
        return "set()"
    if value.kind in ("list", "set"):
        text = _describe_items(list(value.values), depth)
        return "{" + text[1:-1] + "}" if value.kind == "set" else text
    if value.kind.endswith("values"):  # of a dict, without their keys: some may be secret
        return value.kind
    return f"{value.kind}: {_describe_items(list(value.values), depth)}"


def _describe_dict(value: dict[Any, Any], depth: int) -> str:
    if not value:
        return "{}"
    if depth == 0:
        return "{…}"
    shown = []
    for _, (key, item) in zip(range(_ITEMS), tuple(value.items()), strict=False):
        hidden = _is_secret_key(key)
        shown.append(f"{_describe(key, depth - 1)}: {_HIDDEN if hidden else _describe(item, depth - 1)}")
    more = f", … {len(value) - _ITEMS} more" if len(value) > _ITEMS else ""
    return "{" + ", ".join(shown) + more + "}"
