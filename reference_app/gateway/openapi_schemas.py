"""Follows the references of an OpenAPI document, and turns its schemas into JSON Schema 2020-12."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

# Where a keyword holds a schema, a list of them, or one for each name: elsewhere (an enum, an example, a
# property that is called "$ref") stands data, which is left as it is.
_ONE = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "dependentSchemas", "patternProperties", "properties")
_DROPPED = ("discriminator", "externalDocs", "xml")  # say nothing to a validator, and may hold references
_UNSUPPORTED = ("$anchor", "$dynamicAnchor", "$dynamicRef", "$id")  # each changes what a reference means
_ANNOTATIONS = {
    "default",
    "deprecated",
    "description",
    "example",
    "examples",
    "readOnly",
    "title",
    "writeOnly",
}
_MOST_COPIES = 500  # of referred schemas in one tool; the rest stand once, under `$defs`


class LeftOut(Exception):
    """An operation that cannot be offered as a tool; the text is why."""


class Document:
    """A parsed OpenAPI document, in which local references lead from one part to another."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.is_3_0 = str(root.get("openapi")).startswith("3.0")

    def at(self, reference: object) -> Any:
        """Returns what a reference such as `#/components/schemas/Pet` names (RFC 6901).

        Raises:
            ValueError: It names nothing, or something in another document.
        """
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise ValueError(
                f"$ref {reference!r} leads out of the document; bundle all parts into one file, and "
                "write #/components/…"
            )
        node: Any = self.root
        for token in unquote(reference[1:]).split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            try:
                node = node[int(key)] if isinstance(node, list) else node[key]
            except (IndexError, KeyError, TypeError, ValueError):
                raise ValueError(
                    f"$ref {reference!r} leads nowhere; add what it names, or mend its spelling"
                ) from None
        return node

    def follow(self, node: object) -> dict[str, Any]:
        """Returns the object itself where a reference to it may stand.

        Raises:
            ValueError: A reference leads nowhere, out of the document, or back to itself, or to no object.
        """
        seen: list[object] = []
        while isinstance(node, dict) and "$ref" in node:
            reference = node["$ref"]
            if reference in seen:
                raise ValueError(f"$ref {reference!r} leads back to itself; write there what is meant")
            seen.append(reference)
            node = self.at(reference)
        if not isinstance(node, dict):
            raise ValueError("a mapping is missing; write one, as the OpenAPI specification shows it")
        return node


class Schemas:
    """The schemas of one tool, without references but those that recursion needs.

    Attributes:
        definitions: What `#/$defs/NAME` in a schema refers to; it belongs to the root of the tool's schema.
    """

    def __init__(self, document: Document) -> None:
        self.definitions: dict[str, Any] = {}
        self._document = document
        self._names: dict[str, str] = {}  # of references that have a definition
        self._open: list[str] = []  # references whose copies are being made
        self._copies = 0

    def plain(self, schema: object) -> Any:
        """Returns a schema as JSON Schema 2020-12.

        What only answers hold (`readOnly`) is neither offered nor required.

        Raises:
            LeftOut: The schema is none, or has a keyword that is not supported.
            ValueError: A reference leads nowhere, or out of the document.
        """
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise LeftOut("a schema is not a mapping")
        if "$ref" in schema:
            return self._referred(schema)
        if found := next((keyword for keyword in _UNSUPPORTED if keyword in schema), None):
            raise LeftOut(f"a schema has {found}, which is not supported")
        result = dict(self._keywords(schema))
        _drop_read_only(result)
        return _modern(result) if self._document.is_3_0 else result

    def _keywords(self, schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for keyword, value in schema.items():
            if keyword in _ONE:
                yield keyword, self.plain(value)
            elif keyword in _LIST and isinstance(value, list):
                yield keyword, [self.plain(each) for each in value]
            elif keyword in _NAMED and isinstance(value, dict):
                yield keyword, {name: self.plain(each) for name, each in value.items()}
            elif keyword not in _DROPPED and not (keyword == "pattern" and not _is_pattern(value)):
                yield keyword, value

    def _referred(self, schema: dict[str, Any]) -> Any:
        target = self._copy(schema["$ref"])
        beside = {} if self._document.is_3_0 else {**schema}  # 3.0 ignores what stands beside a reference
        beside.pop("$ref", None)
        if not beside:
            return target
        rest = self.plain(beside)
        if isinstance(target, dict) and rest.keys() <= _ANNOTATIONS:
            return {**target, **rest}
        return {"allOf": [target, rest]}

    def _copy(self, reference: Any) -> Any:
        target = self._document.at(reference)
        self._copies += 1
        if reference in self._open or self._copies > _MOST_COPIES:
            return {"$ref": f"#/$defs/{self._defined(reference, target)}"}
        return self._opened(reference, target)

    def _opened(self, reference: str, target: object) -> Any:
        self._open.append(reference)
        try:
            return self.plain(target)
        finally:
            self._open.pop()

    def _defined(self, reference: str, target: object) -> str:
        if reference not in self._names:
            base = re.sub(r"[^A-Za-z0-9_.-]", "_", reference.rpartition("/")[2]) or "_"
            name = unused(base, self.definitions)
            self._names[reference] = name
            self.definitions[name] = {}  # takes the name while the rest is looked at
            self.definitions[name] = self._opened(reference, target)
        return self._names[reference]


def unused(base: str, taken: Any, longest: int = 128) -> str:
    """Returns the name, or with `_2`, `_3`, … behind it when it is taken; cut to the longest length."""
    name, number = base[:longest], 1
    while name in taken:
        number += 1
        suffix = f"_{number}"
        name = base[: longest - len(suffix)] + suffix
    return name


def _drop_read_only(schema: dict[str, Any]) -> None:
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return
    dropped = {
        name for name, each in properties.items() if isinstance(each, dict) and each.get("readOnly") is True
    }
    if dropped:
        schema["properties"] = {name: each for name, each in properties.items() if name not in dropped}
        if isinstance(required := schema.get("required"), list):
            schema["required"] = [name for name in required if name not in dropped]


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns an OpenAPI 3.0 schema with JSON Schema's words for what 3.0 says in its own."""
    for exclusive, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and limit in schema:
            schema[exclusive] = schema.pop(limit)
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def _is_pattern(value: object) -> bool:
    # ECMA's patterns are not all Python's: what cannot be checked here, the API itself checks.
    try:
        return isinstance(value, str) and re.compile(value) is not None
    except (re.error, RecursionError, OverflowError):
        return False
