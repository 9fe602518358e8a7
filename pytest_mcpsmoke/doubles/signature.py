"""JSON schemas of functions' parameters, as tools are published with them."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

_KINDS: Final[dict[Any, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    tuple: "array",
    set: "array",
    Sequence: "array",
    dict: "object",
    Mapping: "object",
}


def openai_tool(name: str, description: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """An OpenAI tool object, as it stands in a catalogue."""
    function = {"name": name, "description": description, "parameters": dict(parameters)}
    return {"type": "function", "function": function}


def description_of(function: Callable[..., Any]) -> str:
    """The first paragraph of the docstring, on one line."""
    return " ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split())


def parameters_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The JSON schema of a function's keyword arguments (JSON Schema 2020-12, an object).

    Annotations give the types; an `Annotated[…, "text"]` describes; a default makes optional. What has no
    annotation, or one that JSON has no word for, may be anything.

    Raises:
        TypeError: A parameter is positional-only or variadic: a tool's arguments have names.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(
                f"{function.__qualname__}({parameter}): a tool's arguments have names; take them as keywords"
            )
        properties[name] = schema_of(hints.get(name, Any))
        if parameter.default is parameter.empty:
            required.append(name)
        elif _is_json(parameter.default):
            properties[name]["default"] = parameter.default
    return {"type": "object", "properties": properties, "required": required}


def schema_of(hint: Any) -> dict[str, Any]:
    """The JSON schema of a type; `{}`, which allows anything, for one that JSON has no word for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        texts = [note for note in arguments[1:] if isinstance(note, str)]
        return {**schema_of(arguments[0]), **({"description": texts[0]} if texts else {})}
    if origin in (typing.Required, typing.NotRequired):
        return schema_of(arguments[0])
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(part) for part in arguments]}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if dataclasses.is_dataclass(hint) or typing.is_typeddict(hint):
        return _record(hint)
    kind = _KINDS.get(origin or hint)
    if kind == "array":
        items = [part for part in arguments[:1] if part is not Ellipsis]
        return {"type": kind, **({"items": schema_of(items[0])} if items else {})}
    if kind == "object" and len(arguments) == 2:
        return {"type": kind, "additionalProperties": schema_of(arguments[1])}
    return {"type": kind} if kind else {}


def _record(hint: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(hint, include_extras=True)
    if dataclasses.is_dataclass(hint):
        fields = {field.name: field for field in dataclasses.fields(hint)}
        missing = dataclasses.MISSING
        required = [n for n, f in fields.items() if f.default is missing and f.default_factory is missing]
    else:
        # Not __required_keys__: postponed annotations leave it wrong.
        fields = hints
        origins = {name: typing.get_origin(part) for name, part in hints.items()}
        required = [n for n, o in origins.items() if o is typing.Required]
        if hint.__total__:
            required = [n for n, o in origins.items() if o is not typing.NotRequired]
    return {
        "type": "object",
        "properties": {name: schema_of(hints[name]) for name in fields},
        "required": required,
    }


def _is_json(value: object) -> bool:
    return value is None or type(value) in (str, int, float, bool)
