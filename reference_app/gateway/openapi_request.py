"""Writes the arguments of a call into a path, a query and headers, as OpenAPI's styles say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from reference_app.headers import check_headers

PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_Encode = Callable[[str], str]
_ENCODED: _Encode = partial(quote, safe="")
_IN_PATH = "/:@!$&'()*+,;=~%"  # what the document itself may write in a path (RFC 3986 `pchar`)


@dataclass(frozen=True)
class Parameter:
    """A parameter of an operation: what it is called, and how its value is written where.

    `argument` is its name among the tool's arguments, `name` the one on the wire, `place` path, query or
    header, and `style` simple, form, deepObject or json.
    """

    argument: str
    name: str
    place: str
    style: str
    explode: bool


def path_of(template: str, parameters: Iterable[Parameter], arguments: Mapping[str, Any]) -> str:
    """Returns the path with each placeholder filled, every value inside of its own segment.

    Raises:
        ValueError: A value cannot be written, or would leave its segment: empty, "." or "..".
    """
    values = {each.name: each for each in parameters if each.place == "path"}
    return "/".join(_segment(segment, values, arguments) for segment in template.split("/"))


def _segment(segment: str, parameters: Mapping[str, Parameter], arguments: Mapping[str, Any]) -> str:
    first, *rest = PLACEHOLDER.split(segment)
    text = quote(first, safe=_IN_PATH)
    for name, literal in zip(rest[::2], rest[1::2], strict=True):
        parameter = parameters[name]
        value = _written(parameter, arguments[parameter.argument], _ENCODED)
        text += value + quote(literal, safe=_IN_PATH)
    if rest and text in ("", ".", ".."):
        raise ValueError(f"argument {parameters[rest[0]].argument!r}: a path cannot hold {text!r}")
    return text


def query_of(parameters: Iterable[Parameter], arguments: Mapping[str, Any]) -> str:
    """Returns the query, "" for none; an argument that is null or missing is not in it.

    Raises:
        ValueError: A value cannot be written in a query.
    """
    pairs: list[str] = []
    for parameter in parameters:
        value = arguments.get(parameter.argument)
        if parameter.place == "query" and value is not None:
            pairs += _pairs(parameter, value)
    return "&".join(pairs)


def _pairs(parameter: Parameter, value: Any) -> list[str]:
    name = _ENCODED(parameter.name)
    scalar = partial(_scalar, parameter)
    if parameter.style == "deepObject" and isinstance(value, dict):
        return [
            f"{_ENCODED(f'{parameter.name}[{key}]')}={_ENCODED(scalar(each))}" for key, each in value.items()
        ]
    if parameter.style == "form" and parameter.explode and isinstance(value, dict):
        return [f"{_ENCODED(key)}={_ENCODED(scalar(each))}" for key, each in value.items()]
    if parameter.style == "form" and parameter.explode and isinstance(value, list):
        return [f"{name}={_ENCODED(scalar(each))}" for each in value]
    if value in ([], {}):
        return []
    return [f"{name}={_written(parameter, value, _ENCODED)}"]


def headers_of(parameters: Iterable[Parameter], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Returns the headers; an argument that is null or missing is not among them.

    Raises:
        ValueError: A value may not stand in a header; the message does not repeat it.
    """
    headers: dict[str, str] = {}
    for parameter in parameters:
        value = arguments.get(parameter.argument)
        if parameter.place == "header" and value is not None:
            headers |= _header(parameter, value)
    return headers


def _header(parameter: Parameter, value: Any) -> dict[str, str]:
    try:
        return check_headers({parameter.name: _written(parameter, value, str)})
    except ValueError as error:
        raise ValueError(f"argument {parameter.argument!r}: {error}") from None


def _written(parameter: Parameter, value: Any, encode: _Encode) -> str:
    """Returns a value in one piece: lists and objects with commas, or as JSON."""
    if parameter.style == "json":
        return encode(json.dumps(value))
    scalar = partial(_scalar, parameter)
    if isinstance(value, list):
        return ",".join(encode(scalar(each)) for each in value)
    if isinstance(value, dict):
        between = "=" if parameter.explode else ","
        return ",".join(f"{encode(key)}{between}{encode(scalar(each))}" for key, each in value.items())
    return encode(scalar(value))


def _scalar(parameter: Parameter, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError(
        f"argument {parameter.argument!r}: the {parameter.place} cannot hold {_kind(value)} there"
    )


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list"}.get(type(value), "null")
