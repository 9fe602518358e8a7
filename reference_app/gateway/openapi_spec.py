"""Reads an OpenAPI document: which operations it has, and which tool each becomes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reference_app import config_kinds as kinds
from reference_app.gateway.openapi_request import PLACEHOLDER, Parameter
from reference_app.gateway.openapi_schemas import Document, LeftOut, Schemas, unused

METHODS = ("get", "put", "post", "delete", "options", "head", "patch")  # TRACE would repeat our headers
JSON = "application/json"
LONGEST_NAME = 64  # of a tool: MCP allows 128, and the gateway puts a prefix before it
_STYLES = {"path": ("simple",), "query": ("form", "deepObject"), "header": ("simple",)}
# OpenAPI says that the first three are no parameters; the others are the HTTP client's alone.
_NOT_PARAMETERS = {"accept", "authorization", "content-type"} | {
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_MERGED = {"type", "properties", "required", "additionalProperties"}  # what a body may say to be merged in
_TEXTS = {"title", "description", "default", "example", "examples", "deprecated"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Body:
    """Where the JSON body comes from: one argument, or an object of those that are properties of it."""

    argument: str | None
    properties: tuple[str, ...] = ()
    is_required: bool = False


@dataclass(frozen=True)
class Operation:
    """An operation as a tool: `schemas` and `required` are those of its arguments."""

    name: str
    description: str | None
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    schemas: Mapping[str, Any]
    required: tuple[str, ...]
    definitions: Mapping[str, Any]

    def input_schema(self, given: Collection[str] = ()) -> dict[str, Any]:
        """Returns the tool's schema, without the header parameters that are `given` (in lower case)."""
        left_out = {
            each.argument for each in self.parameters if each.place == "header" and each.name.lower() in given
        }
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: each for name, each in self.schemas.items() if name not in left_out},
            "required": [name for name in self.required if name not in left_out],
            "additionalProperties": False,
        }
        if self.definitions:
            schema["$defs"] = dict(self.definitions)
        return schema


@dataclass(frozen=True)
class Spec:
    """What of an OpenAPI document is served: `base_url` is where, without a slash at the end."""

    title: str
    version: str
    base_url: str
    operations: tuple[Operation, ...]


def read_spec(path: str | Path, base_url: str | None = None) -> Spec:
    """Returns what an OpenAPI 3.0 or 3.1 document in JSON or YAML describes.

    An operation that cannot be offered is left out, and logged with the reason.

    Args:
        path: The file.
        base_url: Where the API is; by default the first server that the document names.

    Raises:
        ValueError: The document cannot be used; the message is one line with the remedy.
    """
    try:
        root = _root(path)
        document = Document(root)
        info = root.get("info")
        info = info if isinstance(info, dict) else {}
        return Spec(
            title=str(info.get("title") or "OpenAPI"),
            version=str(info.get("version") or ""),
            base_url=_base_url(root) if base_url is None else _usable("the configured URL", base_url),
            operations=tuple(_operations(document, path)),
        )
    except RecursionError:
        raise ValueError(f"{path}: it is nested too deeply; write nested parts under components") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _root(path: str | Path) -> dict[str, Any]:
    root = _parsed(_text(path))
    if isinstance(root, dict) and "swagger" in root:
        raise ValueError("is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1")
    if not isinstance(root, dict) or not str(root.get("openapi")).startswith(("3.0.", "3.1.")):
        raise ValueError("is no OpenAPI 3.0 or 3.1 document; it begins with `openapi: 3.1.0`")
    return root


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8; save the file as UTF-8") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"cannot be read: {why}; name a file that can") from None


def _parsed(text: str) -> Any:
    data = _from_json(text) if text.lstrip().startswith("{") else _from_yaml(text)
    try:
        # Names that look like numbers to YAML become text again, and what JSON does not have is refused.
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        text.encode()
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"has a value that JSON does not have: {error}; put it in quotes") from None


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"is not valid JSON: {error}; mend it there") from None


def _from_yaml(text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise ValueError(
            "is not JSON, and YAML needs yaml, which is not installed: pip install pyyaml"
        ) from None

    class Loader(yaml.SafeLoader):
        """Reads dates, and words such as `yes` and `on`, as the text that they are for JSON."""

    unwanted = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
    Loader.yaml_implicit_resolvers = {
        first: [each for each in resolvers if each[0] not in unwanted]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver(unwanted[1], re.compile("(?:true|false)$", re.IGNORECASE), list("tTfF"))
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it has a character that YAML does not allow"
        raise ValueError(f"is not valid YAML{where}: {why}; mend it there") from None


def _base_url(root: dict[str, Any]) -> str:
    servers = root.get("servers")
    if not isinstance(servers, list) or not servers or not isinstance(servers[0], dict):
        raise ValueError("names no server; configure `url`, or write one under servers")
    variables = servers[0].get("variables")
    url = str(servers[0].get("url"))
    for name, variable in (variables if isinstance(variables, dict) else {}).items():
        url = url.replace(
            f"{{{name}}}", str(variable.get("default", "") if isinstance(variable, dict) else "")
        )
    return _usable("the first of its servers", url)


def _usable(what: str, url: str) -> str:
    # The URL is not repeated: it may hold a password.
    try:
        parts = urlsplit(kinds.http_url(url))
    except kinds.Fault:
        raise ValueError(f"{what} has no absolute http or https URL; configure `url`") from None
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{what} has credentials in its URL; send them in a header, with static_headers_env")
    if parts.query or parts.fragment:
        raise ValueError(f"{what} has a query or a fragment in its URL; configure `url` without")
    return url.strip().rstrip("/")


def _operations(document: Document, file: str | Path) -> Iterator[Operation]:
    names: set[str] = set()
    reasons: list[str] = []
    for method, path, item, described in _described(document):
        where = f"{method.upper()} {path}"
        try:
            operation = _Reading(document, item, described).operation(method, path)
        except LeftOut as reason:
            reasons.append(f"{where}: {reason}")
            _log.warning("%s: %s is left out: %s", file, where, reason)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        else:
            name = unused(operation.name, names, LONGEST_NAME)
            names.add(name)
            yield replace(operation, name=name)
    if not names:
        why = f"none that can be offered ({reasons[0]})" if reasons else "none"
        raise ValueError(f"of operations it has {why}; describe them under paths")


def _described(document: Document) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    paths = document.root.get("paths")
    for path, item in (paths if isinstance(paths, dict) else {}).items():
        if not path.startswith("/"):
            continue
        try:
            item = document.follow(item)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        for method in item:
            if method in METHODS and isinstance(item[method], dict):
                yield method, path, item, item[method]


@dataclass
class _Reading:
    """One operation while it is read."""

    document: Document
    item: dict[str, Any]
    described: dict[str, Any]
    schemas: dict[str, Any] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)

    def operation(self, method: str, path: str) -> Operation:
        if "servers" in self.item or "servers" in self.described:
            raise LeftOut("it has servers of its own")
        self.plain = Schemas(self.document)
        parameters = tuple(self._parameters())
        placeholders = set(PLACEHOLDER.findall(path))
        if {each.name for each in parameters if each.place == "path"} != placeholders:
            raise LeftOut("the placeholders in its path are not its path parameters")
        operation = Operation(
            name=_tool_name(self.described.get("operationId"), method, path),
            description=self._description(),
            method=method.upper(),
            path=path,
            parameters=parameters,
            body=self._body(),
            schemas=self.schemas,
            required=tuple(self.required),
            definitions=self.plain.definitions,
        )
        _check(operation.input_schema())
        return operation

    def _description(self) -> str | None:
        texts = [self.described.get("summary"), self.described.get("description")]
        texts = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
        return "\n\n".join(dict.fromkeys(texts)) or None

    def _parameters(self) -> Iterator[Parameter]:
        # An operation's parameter takes the place of the path's with that name.
        described = {}
        for each in map(self.document.follow, [*_listed(self.item), *_listed(self.described)]):
            described[str(each.get("in")), str(each.get("name"))] = each
        for place in (*_STYLES, "cookie"):
            for (where, name), each in described.items():
                if where == place and (parameter := self._parameter(name, place, each)):
                    yield parameter

    def _parameter(self, name: str, place: str, described: dict[str, Any]) -> Parameter | None:
        if place == "header" and name.lower() in _NOT_PARAMETERS:
            return None
        is_required = place == "path" or described.get("required") is True
        try:
            style, explode, schema = self._written(described, place)
        except LeftOut as reason:
            if is_required:
                raise LeftOut(f"parameter {name!r}: {reason}") from None
            _log.warning("parameter %r is not offered: %s", name, reason)
            return None
        argument = self._argument(name, place, schema, is_required)
        return Parameter(argument, name, place, style, explode)

    def _written(self, described: dict[str, Any], place: str) -> tuple[str, bool, Any]:
        """Returns a parameter's style, whether it is exploded, and its schema."""
        if place == "cookie":
            raise LeftOut("cookies are not sent")
        if "content" in described:
            content = described["content"]
            media_type = content.get(JSON) if isinstance(content, dict) else None
            if not isinstance(media_type, dict):
                raise LeftOut(f"only {JSON} and schemas can be written there")
            style, explode, schema = "json", False, media_type.get("schema", True)
        else:
            style = described.get("style", _STYLES[place][0])
            explode = described.get("explode", style == "form") is True
            schema = described.get("schema", True)
            if style not in _STYLES[place]:
                raise LeftOut(f"style {style!r} is not supported")
        return style, explode, _told(self.plain.plain(schema), described.get("description"))

    def _argument(self, name: str, place: str, schema: Any, is_required: bool) -> str:
        argument = name if name not in self.schemas else unused(f"{name}_{place}", self.schemas)
        self.schemas[argument] = schema
        if is_required:
            self.required.append(argument)
        return argument

    def _body(self) -> Body | None:
        if "requestBody" not in self.described:
            return None
        described = self.document.follow(self.described["requestBody"])
        content = described.get("content")
        media_types = content if isinstance(content, dict) else {}
        described_json = next((media_types[each] for each in media_types if _is_json(each)), None)
        if not isinstance(described_json, dict):
            raise LeftOut(f"its body is not {JSON} but {', '.join(media_types) or 'nothing'}")
        is_required = described.get("required") is True
        schema = self.plain.plain(described_json.get("schema", True))
        if self._can_be_merged(schema, is_required):
            properties = tuple(schema.get("properties", {}))
            self.schemas |= schema.get("properties", {})
            self.required += schema.get("required", [])
            return Body(None, properties, is_required)
        argument = self._argument("body", "body", _told(schema, described.get("description")), is_required)
        return Body(argument, is_required=is_required)

    def _can_be_merged(self, schema: Any, is_required: bool) -> bool:
        """Tells whether the body is an object of known properties, none called like a parameter."""
        if not isinstance(schema, dict) or not schema.keys() <= _MERGED | _TEXTS:
            return False
        properties, required = schema.get("properties", {}), schema.get("required", [])
        return (
            schema.get("type") == "object"
            and isinstance(properties, dict)
            and bool(properties)
            and isinstance(required, list)
            and set(map(str, required)) <= properties.keys()
            and schema.get("additionalProperties", False) is False
            and (is_required or not required)
            and self.schemas.keys().isdisjoint(properties)
        )


def _listed(described: dict[str, Any]) -> list[Any]:
    parameters = described.get("parameters")
    return parameters if isinstance(parameters, list) else []


def _told(schema: Any, description: object) -> Any:
    schema = {} if schema is True else schema
    if isinstance(description, str) and isinstance(schema, dict):
        return {"description": description, **schema}
    return schema


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().lower() == JSON


def _tool_name(operation_id: object, method: str, path: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", operation_id) if isinstance(operation_id, str) else ""
    if not name.strip("_"):
        name = re.sub(r"[^A-Za-z0-9]+", "_", f"{method}_{path}").strip("_")
    return name[:LONGEST_NAME]


def _check(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator, SchemaError  # type: ignore[import-untyped]

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise LeftOut(f"a schema is not valid at {error.json_path}") from None
