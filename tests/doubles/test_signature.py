"""Schemas of tools, read from functions' signatures."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict

import pytest

from pytest_mcpsmoke.doubles.signature import description_of, parameters_of, schema_of


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    depth: int
    name: NotRequired[str]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {}),
        (Any, {}),
        (object, {}),
        (list, {"type": "array"}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Mapping[str, Any], {"type": "object", "additionalProperties": {}}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Colour, {"enum": ["red", "blue"]}),
        (int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (Optional[str], {"anyOf": [{"type": "string"}, {"type": "null"}]}),  # noqa: UP045
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
        (
            Point,
            {
                "type": "object",
                "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
                "required": ["x"],
            },
        ),
        (
            Options,
            {
                "type": "object",
                "properties": {"depth": {"type": "integer"}, "name": {"type": "string"}},
                "required": ["depth"],
            },
        ),
    ],
    ids=str,
)
def test_a_type_has_its_schema(hint: Any, schema: dict[str, Any]) -> None:
    assert schema_of(hint) == schema


def test_a_default_makes_an_argument_optional_and_is_told_where_json_can() -> None:
    def search(query: str, limit: int = 10, *, where: Point = Point(0), anything=None) -> str:  # type: ignore[no-untyped-def]  # noqa: B008
        return ""

    schema = parameters_of(search)
    assert schema["required"] == ["query"]
    assert schema["properties"]["limit"] == {"type": "integer", "default": 10}
    assert "default" not in schema["properties"]["where"]
    assert schema["properties"]["anything"] == {"default": None}


def positional(a: int, /) -> None: ...
def variadic(*parts: int) -> None: ...
def keywords(**rest: int) -> None: ...


@pytest.mark.parametrize("function", [positional, variadic, keywords])
def test_arguments_without_names_are_refused(function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match=rf"^{function.__name__}\(.+\): a tool's arguments have names"):
        parameters_of(function)


def test_the_description_is_the_docstring_s_first_paragraph() -> None:
    def tool() -> None:
        """Say the time,
        in UTC.

        Not a word of this.
        """

    assert description_of(tool) == "Say the time, in UTC."
    assert description_of(lambda: None) == ""
