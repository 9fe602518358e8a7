"""An API with an OpenAPI document as an MCP server: which tools it has, what they send, what comes back."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote

import httpx2
import pytest
from fastapi import FastAPI, Header, Query, Response
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, MCPError, types
from pydantic import BaseModel

from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from reference_app.gateway.openapi import LARGEST_ANSWER, Spec, read_spec, server
from reference_app.gateway.openapi_request import Parameter, headers_of, path_of, query_of

pytestmark = pytest.mark.smoke

Answer = Callable[[httpx2.Request], httpx2.Response]
Write = Callable[..., Spec]
ERAS = ("legacy", "2026-07-28")
BASE = "http://api.test/v1"


def document(paths: dict[str, Any], version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    return {
        "openapi": version,
        "info": {"title": "Pets", "version": "7"},
        "servers": [{"url": BASE}],
        "paths": paths,
        **more,
    }


def one(operation: dict[str, Any], path: str = "/pets", method: str = "get", **more: Any) -> dict[str, Any]:
    return document({path: {method: {"operationId": "op", **operation}}}, **more)


def parameter(name: str, place: str = "query", **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}, **more}


def body(schema: dict[str, Any], is_required: bool = True) -> dict[str, Any]:
    return {"requestBody": {"required": is_required, "content": {"application/json": {"schema": schema}}}}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "api.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    return write


@pytest.fixture
def spec(write: Callable[[Any], Path]) -> Write:
    return lambda content, *base_url: read_spec(write(content), *base_url)


def schema_of(spec: Spec, name: str = "op") -> dict[str, Any]:
    [found] = [operation.input_schema() for operation in spec.operations if operation.name == name]
    return found


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A path for a document, and one of a real framework."""
    return tmp_path_factory.mktemp("shop") / "api.json", json.dumps(pet_shop().openapi())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=3),
    lambda each: (
        st.lists(each, max_size=2) | st.dictionaries(st.sampled_from(["$ref", "in", "x", "type"]), each)
    ),
    max_leaves=4,
)


class Api:
    """An API that keeps what it is sent and answers what it is told to."""

    def __init__(self, answer: Answer | None = None, **client: Any) -> None:
        self.requests: list[httpx2.Request] = []
        self._answer = answer or (lambda _: httpx2.Response(200, json={"ok": True}))
        self._client = client

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self._answer(request)

    def call(
        self, spec: Spec, arguments: dict[str, Any] | None = None, times: int = 1, name: str = "op"
    ) -> Any:
        async def run() -> Any:
            async with (
                httpx2.AsyncClient(transport=httpx2.MockTransport(self._handle), **self._client) as client,
                Client(server(spec, spec.base_url, client)) as mcp,
            ):
                try:
                    return [await mcp.call_tool(name, arguments) for _ in range(times)][-1]
                except MCPError as error:
                    return error

        return asyncio.run(run())

    @property
    def request(self) -> httpx2.Request:
        [request] = self.requests
        return request


def text(result: Any) -> str:
    [content] = result.content
    return str(content.text)


class TestReading:
    """What a document becomes, and what is said of one that cannot be used."""

    def test_an_operation_becomes_a_tool(self, spec: Write) -> None:
        operation = {
            "operationId": "list pets",
            "summary": "Lists pets.",
            "description": "All of them.",
            "parameters": [
                parameter("limit", schema={"type": "integer"}, description="How many."),
                parameter("X-Tenant", "header", required=True),
            ],
        }
        shared = [parameter("owner", "path"), parameter("limit", required=True)]
        found = spec(document({"/owners/{owner}/pets": {"parameters": shared, "get": operation}}))
        assert (found.title, found.version, found.base_url) == ("Pets", "7", BASE)
        [tool] = found.operations
        assert (tool.name, tool.method, tool.path) == ("list_pets", "GET", "/owners/{owner}/pets")
        assert tool.description == "Lists pets.\n\nAll of them."
        assert tool.input_schema() == {
            "type": "object",
            "properties": {
                "owner": {"type": "string"},
                "limit": {"description": "How many.", "type": "integer"},
                "X-Tenant": {"type": "string"},
            },
            "required": ["owner", "X-Tenant"],
            "additionalProperties": False,
        }

    def test_yaml_says_the_same_as_json(self, write: Callable[[Any], Path]) -> None:
        found = read_spec(
            write(
                """
                openapi: 3.0.3
                info: {title: Pets, version: 2026-01-02}
                servers: [{url: "https://{where}.test/api/", variables: {where: {default: eu}}}]
                paths:
                  /pets:
                    get:
                      parameters:
                      - {name: on, in: query, schema: {type: string, enum: [yes, no, 2026-01-02]}}
                      - {name: flag, in: query, schema: {type: boolean, default: true}}
                      responses: {200: {description: fine}}
                """
            )
        )
        assert (found.version, found.base_url) == ("2026-01-02", "https://eu.test/api")
        assert schema_of(found, "get_pets")["properties"] == {
            "on": {"type": "string", "enum": ["yes", "no", "2026-01-02"]},
            "flag": {"type": "boolean", "default": True},
        }

    def test_names_are_fit_for_mcp_and_never_taken_twice(self, spec: Write) -> None:
        names = ["a/b c", "a_b_c", "\u00e4", None, "x" * 99, "x" * 98]
        paths = {
            f"/p{i}/{{q}}": {"post": {"operationId": n, "parameters": [parameter("q", "path")]}}
            for i, n in enumerate(names)
        }
        assert [each.name for each in spec(document(paths)).operations] == [
            "a_b_c",
            "a_b_c_2",
            "post_p2_q",
            "post_p3_q",
            "x" * 64,
            "x" * 62 + "_2",
        ]

    def test_properties_of_the_body_stand_beside_the_parameters(self, spec: Write) -> None:
        pet = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {}}}
        schema = schema_of(spec(one({"parameters": [parameter("dry")], **body(pet)}, method="post")))
        assert list(schema["properties"]) == ["dry", "name", "age"]
        assert schema["required"] == ["name"]

    @pytest.mark.parametrize(
        ("schema", "is_required"),
        [
            ({"type": "object", "properties": {"dry": {}}}, True),  # collides
            ({"type": "array", "items": {"type": "string"}}, True),
            ({"type": "object", "properties": {"a": {}}, "additionalProperties": True}, True),
            ({"type": "object", "properties": {"a": {}}, "required": ["b"]}, True),
            ({"anyOf": [{"type": "object", "properties": {"a": {}}}]}, True),
            ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
            ({"type": "object"}, True),
        ],
    )
    def test_any_other_body_is_one_argument(
        self, spec: Write, schema: dict[str, Any], is_required: bool
    ) -> None:
        found = schema_of(
            spec(one({"parameters": [parameter("dry")], **body(schema, is_required)}, method="put"))
        )
        assert found["properties"] == {"dry": {"type": "string"}, "body": schema}
        assert found["required"] == ["body"] * is_required

    def test_two_parameters_of_one_name_are_told_apart(self, spec: Write) -> None:
        both = [parameter("id"), parameter("id", "path")]
        found = spec(one({"parameters": both, **body({"type": "array"})}, path="/{id}", method="put"))
        assert list(schema_of(found)["properties"]) == ["id", "id_query", "body"]
        api = Api()
        api.call(found, {"id": "p", "id_query": "q", "body": []})
        assert api.request.url.raw_path == b"/v1/p?id=q"

    def test_references_are_resolved(self, spec: Write) -> None:
        components = {
            "parameters": {
                "Limit": parameter("limit", schema={"$ref": "#/components/schemas/Count~1Number"})
            },
            "schemas": {
                "Count/Number": {"type": "integer", "minimum": 1},
                "Pet": {
                    "type": "object",
                    "properties": {"n": {"$ref": "#/components/schemas/Count~1Number", "title": "N"}},
                },
            },
            "requestBodies": {"Pet": body({"$ref": "#/components/schemas/Pet"})["requestBody"]},
        }
        operation = {
            "parameters": [{"$ref": "#/components/parameters/Limit"}],
            "requestBody": {"$ref": "#/components/requestBodies/Pet"},
        }
        assert schema_of(spec(one(operation, method="post", components=components)))["properties"] == {
            "limit": {"type": "integer", "minimum": 1},
            "n": {"type": "integer", "minimum": 1, "title": "N"},
        }

    def test_a_recursive_schema_keeps_a_definition(self, spec: Write) -> None:
        node = {
            "type": "object",
            "properties": {"kids": {"type": "array", "items": {"$ref": "#/components/schemas/N"}}},
        }
        found = spec(one(body(node), method="post", components={"schemas": {"N": node}}))
        local = {"type": "array", "items": {"$ref": "#/$defs/N"}}
        assert schema_of(found)["$defs"] == {"N": {"type": "object", "properties": {"kids": local}}}
        api = Api()
        assert not api.call(found, {"kids": [{"kids": []}]}).is_error
        assert "argument 'kids[0].kids'" in text(api.call(found, {"kids": [{"kids": 1}]}))

    def test_references_that_double_at_each_step_stay_small(self, spec: Write) -> None:
        schemas: dict[str, Any] = {"S0": {"type": "string"}}
        for i in range(1, 40):
            reference = {"$ref": f"#/components/schemas/S{i - 1}"}
            schemas[f"S{i}"] = {"type": "object", "properties": {"a": reference, "b": reference}}
        found = spec(
            one(body({"$ref": "#/components/schemas/S39"}), method="post", components={"schemas": schemas})
        )
        assert len(json.dumps(schema_of(found))) < 100_000
        value: Any = "leaf"
        for _ in range(38):
            value = {"a": value}
        assert not Api().call(found, {"a": value}).is_error
        assert Api().call(found, {"a": {"b": 1}}).is_error

    def test_what_3_0_says_in_its_own_words(self, spec: Write) -> None:
        schema = {
            "nullable": {"type": "string", "nullable": True, "enum": ["a"]},
            "above": {
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 9,
                "exclusiveMaximum": False,
            },
            "data": {"default": {"nullable": True, "$ref": "text"}, "discriminator": {"propertyName": "x"}},
        }
        operation = body({"type": "object", "properties": schema})
        assert schema_of(spec(one(operation, method="post", version="3.0.3")))["properties"] == {
            "nullable": {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
            "above": {"type": "number", "exclusiveMinimum": 0, "maximum": 9},
            "data": {"default": {"nullable": True, "$ref": "text"}},
        }

    def test_what_only_answers_hold_is_not_asked_for(self, spec: Write) -> None:
        pet = {"type": "object", "required": ["id", "n"], "properties": {"id": {"readOnly": True}, "n": {}}}
        schema = schema_of(spec(one(body(pet), method="post")))
        assert (list(schema["properties"]), schema["required"]) == (["n"], ["n"])

    def test_a_pattern_that_is_not_pythons_is_the_apis_to_check(self, spec: Write) -> None:
        schemas = [parameter("a", schema={"pattern": r"^\p{L}+$"}), parameter("b", schema={"pattern": "^b$"})]
        found = spec(one({"parameters": schemas}))
        assert schema_of(found)["properties"] == {"a": {}, "b": {"pattern": "^b$"}}

    @pytest.mark.parametrize(
        ("operation", "reason"),
        [
            (
                {"parameters": [parameter("s", "cookie", required=True)]},
                "parameter 's': cookies are not sent",
            ),
            (
                {"requestBody": {"content": {"text/csv": {}, "multipart/form-data": {}}}},
                "its body is not application/json but text/csv, multipart/form-data",
            ),
            (
                {"parameters": [parameter("q", required=True, style="pipeDelimited")]},
                "parameter 'q': style 'pipeDelimited' is not supported",
            ),
            (
                {"parameters": [parameter("q", required=True, content={"text/csv": {}})]},
                "parameter 'q': only application/json and schemas can be written there",
            ),
            (
                {"parameters": [parameter("id", "path")]},
                "the placeholders in its path are not its path parameters",
            ),
            ({"servers": [{"url": "http://elsewhere.test"}]}, "it has servers of its own"),
            (body({"$dynamicRef": "#x"}), "a schema has $dynamicRef, which is not supported"),
            (
                body({"patternProperties": {"(": {}}}),
                "a schema has patternProperties with a pattern that Python cannot read",
            ),
            (body({"type": "strin"}), "a schema is not valid at $.properties.body.type"),
            (body({"properties": {"a": 1}}), "a schema is not a mapping"),
        ],
    )
    def test_what_cannot_be_offered_is_left_out_and_logged(
        self, spec: Write, caplog: pytest.LogCaptureFixture, operation: dict[str, Any], reason: str
    ) -> None:
        paths = {
            "/a": {"post": operation},
            "/b": {"get": {"operationId": "b"}, "trace": {"operationId": "t"}},
        }
        assert [each.name for each in spec(document(paths)).operations] == ["b"]
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().endswith(f"api.json: POST /a is left out: {reason}")

    def test_an_optional_parameter_that_cannot_be_sent_is_not_offered(
        self, spec: Write, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = spec(one({"parameters": [parameter("s", "cookie"), parameter("q")]}))
        assert list(schema_of(found)["properties"]) == ["q"]
        assert caplog.messages == ["parameter 's' is not offered: cookies are not sent"]

    @pytest.mark.parametrize(
        "name", ["Authorization", "HOST", "Content-Length", "Transfer-Encoding", "Cookie"]
    )
    def test_headers_that_are_not_the_callers_are_no_parameters(self, spec: Write, name: str) -> None:
        found = spec(one({"parameters": [parameter(name, "header", required=True)]}))
        assert schema_of(found)["properties"] == {}

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ('{"openapi": ', "is not valid JSON: Expecting value: line 1 column 13 (char 12); mend it there"),
            (
                "a: [1",
                "is not valid YAML in line 1: expected ',' or ']', but got '<stream end>'; mend it there",
            ),
            ("&a [*a]", "has a value that JSON does not have: Circular reference detected; put it in quotes"),
            (
                "openapi: .nan",
                "has a value that JSON does not have: Out of range float values are not JSON compliant",
            ),
            ("just text", "is no OpenAPI 3.0 or 3.1 document; it begins with `openapi: 3.1.0`"),
            ({"openapi": "3.2.0"}, "is no OpenAPI 3.0 or 3.1 document; it begins with `openapi: 3.1.0`"),
            ({"swagger": "2.0"}, "is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1"),
            (document({}), "of operations it has none; describe them under paths"),
            (
                one({"servers": []}),
                "of operations it has none that can be offered (GET /pets: it has servers of its own); "
                "describe them under paths",
            ),
            (
                {**one({}), "servers": []},
                "names no server; configure `url`, or write one under servers",
            ),
            (
                {**one({}), "servers": [{"url": "/api"}]},
                "the first of its servers has no absolute http or https URL; configure `url`",
            ),
            (
                {**one({}), "servers": [{"url": "http://me:secret@api.test"}]},
                "the first of its servers has credentials in its URL; send them in a header, "
                "with static_headers_env",
            ),
            (
                one(body({"$ref": "#/components/schemas/Pet"})),
                "GET /pets: $ref '#/components/schemas/Pet' leads nowhere; "
                "add what it names, or mend its spelling",
            ),
            (
                one(body({"$ref": "pet.yaml#/Pet"})),
                "GET /pets: $ref 'pet.yaml#/Pet' leads out of the document; bundle all parts into one file, "
                "and write #/components/\u2026",
            ),
            (
                document({"/pets": {"$ref": "#/paths/~1pets"}}),
                "/pets: $ref '#/paths/~1pets' leads back to itself; write there what is meant",
            ),
            ("[" * 3000, "it is nested too deeply; write nested parts under components"),
        ],
    )
    def test_a_document_that_cannot_be_used_is_told_in_one_line(
        self, write: Callable[[Any], Path], content: Any, problem: str
    ) -> None:
        path = write(content)
        with pytest.raises(ValueError) as caught:
            read_spec(path)
        assert str(caught.value).startswith(f"{path}: {problem}")
        assert "\n" not in str(caught.value)

    @given(st.data())
    def test_whatever_stands_in_a_document_it_is_read_or_refused_in_one_line(
        self, shop: tuple[Path, str], data: st.DataObject
    ) -> None:
        path, whole = shop
        changed = json.loads(whole)
        node: Any = changed
        while True:
            key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            if not node[key] or not isinstance(node[key], dict | list) or data.draw(st.booleans()):
                break
            node = node[key]
        node[key] = data.draw(ANYTHING)
        path.write_text(json.dumps(changed), "utf-8")
        try:
            assert read_spec(path, BASE).operations
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"none\.yaml: cannot be read: No such file or directory; name a file"
        ):
            read_spec(tmp_path / "none.yaml")
        (tmp_path / "api.yaml").write_bytes(b"\xff")
        with pytest.raises(ValueError, match=r"api\.yaml: is not UTF-8; save the file as UTF-8"):
            read_spec(tmp_path / "api.yaml")

    def test_yaml_without_its_package(
        self, write: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "yaml", None)
        with pytest.raises(ValueError, match="YAML needs yaml, which is not installed: pip install pyyaml"):
            read_spec(write("openapi: 3.1.0"))

    def test_a_configured_url_takes_the_place_of_the_servers(self, spec: Write) -> None:
        assert spec({**one({}), "servers": []}, "http://here.test/v2/").base_url == "http://here.test/v2"
        for rest in ("?key=s3cret", "?", "#top", "{version}"):
            with pytest.raises(
                ValueError, match="the configured URL has a query, a fragment or an open"
            ) as caught:
                spec(one({}), f"http://here.test/{rest}")
            assert "s3cret" not in str(caught.value)


def styled(place: str, style: str = "simple", explode: bool = False, name: str = "p") -> Parameter:
    return Parameter("p", name, place, style, explode)


class TestWriting:
    """Where arguments go: nothing of a value can be taken for something else."""

    @given(st.text(), st.text())
    def test_a_path_value_stays_in_its_segment(self, first: str, second: str) -> None:
        parameters = [Parameter(name, name, "path", "simple", False) for name in ("a", "b")]
        arguments = {"a": first, "b": second}
        if first in ("", ".", "..") or not all(map(is_text, (first, second))):
            return
        path = path_of("/x/{a}/y-{b}", parameters, arguments)
        raw = httpx2.URL(BASE + path).raw_path.decode()
        empty, version, x, a, b = raw.split("/")
        assert (empty, version, x, unquote(a), unquote(b)) == ("", "v1", "x", first, f"y-{second}")

    @pytest.mark.parametrize("value", ["", ".", "..", []])
    def test_a_path_value_that_is_no_segment_is_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match="argument 'p': a path cannot hold"):
            path_of("/x/{p}/y", [styled("path")], {"p": value})

    def test_two_values_cannot_make_dots_together(self) -> None:
        parameters = [Parameter(name, name, "path", "simple", False) for name in ("a", "b")]
        with pytest.raises(ValueError, match=r"argument 'a': a path cannot hold '\.\.'"):
            path_of("/{a}{b}", parameters, {"a": ".", "b": "."})

    @given(st.text(min_size=1), st.lists(st.text()))
    def test_each_item_of_an_exploded_list_is_a_pair(self, name: str, values: list[str]) -> None:
        if not all(map(is_text, [name, *values])):
            return
        query = query_of([styled("query", "form", True, name)], {"p": values})
        parsed = parse_qsl(httpx2.URL(f"{BASE}?{query}").query.decode(), keep_blank_values=True)
        assert parsed == [(name, value) for value in values]

    @given(st.lists(st.text(), min_size=1), st.dictionaries(st.text(), st.text()))
    def test_values_do_not_leak_out_of_lists_and_objects(
        self, items: list[str], entries: dict[str, str]
    ) -> None:
        if not all(map(is_text, [*items, *entries, *entries.values()])):
            return
        joined = query_of([styled("query", "form", False)], {"p": items})
        assert [unquote(item) for item in joined.removeprefix("p=").split(",")] == items
        deep = query_of([styled("query", "deepObject", True)], {"p": entries})
        assert parse_qsl(deep, keep_blank_values=True) == [
            (f"p[{key}]", value) for key, value in entries.items()
        ]

    @pytest.mark.parametrize(
        ("style", "explode", "value", "query"),
        [
            ("form", True, True, "p=true"),
            ("form", True, 1.5, "p=1.5"),
            ("form", True, None, ""),
            ("form", True, {"a": 1, "b": "&"}, "a=1&b=%26"),
            ("form", False, {"a": 1, "b": ","}, "p=a,1,b,%2C"),
            ("form", False, [], ""),
            ("json", False, {"a": [1]}, "p=%7B%22a%22%3A%20%5B1%5D%7D"),
        ],
    )
    def test_query_styles(self, style: str, explode: bool, value: Any, query: str) -> None:
        assert query_of([styled("query", style, explode)], {"p": value}) == query

    def test_an_object_in_a_path_and_a_list_in_a_header(self) -> None:
        value = {"a": 1, "b": "x/y"}
        assert path_of("/{p}", [styled("path")], {"p": value}) == "/a,1,b,x%2Fy"
        assert path_of("/{p}", [styled("path", explode=True)], {"p": value}) == "/a=1,b=x%2Fy"
        assert headers_of([styled("header", name="X-P")], {"p": ["a", 1]}) == {"X-P": "a,1"}

    @pytest.mark.parametrize(("value", "kind"), [([[]], "a list"), ([{}], "an object"), ([None], "null")])
    def test_what_a_query_has_no_words_for(self, value: Any, kind: str) -> None:
        with pytest.raises(ValueError, match=f"argument 'p': the query cannot hold {kind} there"):
            query_of([styled("query", "form", True)], {"p": value})

    @pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "\u00e4", "a\x00"])
    def test_a_header_value_cannot_bring_another_header(self, value: str) -> None:
        with pytest.raises(
            ValueError, match="argument 'p': the value of header 'X-P' has a control or non-ASCII"
        ) as caught:
            headers_of([styled("header", name="X-P")], {"p": value})
        assert value not in str(caught.value)


def is_text(value: str) -> bool:
    """Whether it can be sent at all: half a surrogate pair cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


class TestCalling:
    """What is sent for a call: exactly one request, and nothing of what is not the caller's to say."""

    def test_arguments_go_where_they_belong(self, spec: Write) -> None:
        api = Api(headers={"Authorization": "Bearer s3cret"})
        places = [parameter("id", "path"), parameter("q"), parameter("X-Trace", "header")]
        schema = {"type": "object", "properties": {"name": {"type": "string"}}}
        found = spec(one({"parameters": places, **body(schema)}, "/pets/{id}", "put"))
        result = api.call(found, {"id": "../a b", "q": "1&2", "X-Trace": "t", "name": "\u00e4"})
        assert (text(result), result.structured_content) == ('{"ok":true}', {"ok": True})
        assert api.request.method == "PUT"
        assert api.request.url.raw_path == b"/v1/pets/..%2Fa%20b?q=1%262"
        assert json.loads(api.request.content) == {"name": "\u00e4"}
        sent = {
            name: api.request.headers.get_list(name) for name in ("Content-Type", "X-Trace", "Authorization")
        }
        assert sent == {
            "Content-Type": ["application/json"],
            "X-Trace": ["t"],
            "Authorization": ["Bearer s3cret"],
        }

    @pytest.mark.parametrize(
        ("is_required", "arguments", "content"),
        [(True, {}, b"{}"), (False, {}, b""), (False, {"a": None}, b'{"a": null}')],
    )
    def test_a_body_is_sent_when_it_is_given_or_required(
        self, spec: Write, is_required: bool, arguments: dict[str, Any], content: bytes
    ) -> None:
        api = Api()
        schema = {"type": "object", "properties": {"a": {}}}
        assert not api.call(spec(one(body(schema, is_required), method="post")), arguments).is_error
        assert api.request.content == content
        assert ("Content-Type" in api.request.headers) == bool(content)

    def test_an_optional_body_that_is_one_argument(self, spec: Write) -> None:
        api = Api()
        found = spec(one(body({}, is_required=False), method="post"))
        api.call(found, {})
        api.call(found, {"body": None})
        assert [request.content for request in api.requests] == [b"", b"null"]

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            ({"limit": "s3cret"}, "argument 'limit': does not fit type: \"integer\""),
            ({"limit": 1, "tags": ["a", 2]}, "argument 'tags[1]': does not fit type: \"string\""),
            ({}, "arguments: 'limit' is a required property"),
            (
                {"limit": 1, "Limit": "s3cret"},
                "arguments: Additional properties are not allowed ('Limit' was unexpected)",
            ),
            (
                {"limit": 1, "tags": ["\ud800"]},
                "argument 'tags': has half a surrogate pair, NaN or Infinity",
            ),
        ],
    )
    def test_arguments_that_do_not_fit_are_not_sent(
        self, spec: Write, arguments: dict[str, Any], problem: str
    ) -> None:
        limit = parameter("limit", required=True, schema={"type": "integer"})
        tags = parameter("tags", schema={"type": "array", "items": {"type": "string"}})
        api = Api()
        result = api.call(spec(one({"parameters": [limit, tags]})), arguments)
        assert (result.is_error, text(result), api.requests) == (True, problem, [])

    def test_a_schema_that_is_only_itself_is_an_error_of_the_call(self, spec: Write) -> None:
        schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
        found = spec(
            one(body({"$ref": "#/components/schemas/A"}), method="post", components={"schemas": schemas})
        )
        assert text(Api().call(found, {"body": 1})) == "the arguments are nested too deeply to be checked"

    def test_a_header_of_the_client_is_not_the_callers(self, spec: Write) -> None:
        found = spec(one({"parameters": [parameter("X-Tenant", "header", required=True)]}))
        api = Api(headers={"x-tenant": "ours"})
        assert not api.call(found, {}).is_error
        assert api.request.headers.get_list("X-Tenant") == ["ours"]
        refused = api.call(found, {"X-Tenant": "theirs"})
        assert "('X-Tenant' was unexpected)" in text(refused)
        assert len(api.requests) == 1

    def test_a_content_type_of_the_client_stays(self, spec: Write) -> None:
        api = Api(headers={"Content-Type": "application/vnd.pets+json"})
        api.call(spec(one(body({}), method="post")), {"body": 1})
        assert api.request.headers.get_list("Content-Type") == ["application/vnd.pets+json"]

    def test_a_url_that_is_too_long_is_an_error_of_the_call(self, spec: Write) -> None:
        api = Api()
        result = api.call(spec(one({"parameters": [parameter("q")]})), {"q": "x" * 100_000})
        assert text(result) == "the arguments make a URL that is too long to be sent"
        assert api.requests == []

    def test_cookies_of_an_answer_are_not_sent_with_the_next_call(self, spec: Write) -> None:
        api = Api(
            lambda _: httpx2.Response(200, headers={"Set-Cookie": "session=1"}), headers={"Cookie": "ours=1"}
        )
        api.call(spec(one({})), times=2)
        assert [request.headers.get_list("Cookie") for request in api.requests] == [["ours=1"], ["ours=1"]]
        api = Api(lambda _: httpx2.Response(200, headers={"Set-Cookie": "session=1"}))
        api.call(spec(one({})), times=2)
        assert [request.headers.get_list("Cookie") for request in api.requests] == [[], []]

    def test_an_unknown_tool_is_an_error_of_the_protocol(self, spec: Write) -> None:
        problem = Api().call(spec(one({})), name="nope")
        assert isinstance(problem, MCPError)
        assert (problem.code, problem.message) == (types.INVALID_PARAMS, "Unknown tool: nope")


class TestAnswering:
    """What becomes of the API's answer."""

    @staticmethod
    def answered(spec: Write, *arguments: Any, **options: Any) -> Any:
        api = Api(lambda _: httpx2.Response(*arguments, **options))
        result = api.call(spec(one({})))
        assert len(api.requests) == 1
        return result

    @pytest.mark.parametrize(
        ("kind", "content", "shown", "structured"),
        [
            ("application/json", b'{"a": 1}', '{"a": 1}', {"a": 1}),
            ("application/problem+json; charset=utf-8", b'{"a": 1}', '{"a": 1}', {"a": 1}),
            ("application/json", b"[1]", "[1]", None),
            ("application/json", b"{", "{", None),
            ("application/json", b'{"a": NaN}', '{"a": NaN}', None),
            ("application/json", b'{"a": "\\ud800"}', '{"a": "\\ud800"}', None),
            ("application/json", b"[" * 50_000, "[" * 50_000, None),
            ("text/plain; charset=latin-1", b"\xe4", "\u00e4", None),
            ("text/plain; charset=hex", b"\xc3\xa4", "\u00e4", None),
            ("text/plain; charset=utf-7", b"+2AA-", "?", None),
            ("image/svg+xml", b"<svg/>", "<svg/>", None),
            ("", b"plain", "plain", None),
        ],
    )
    def test_json_and_text(self, spec: Write, kind: str, content: bytes, shown: str, structured: Any) -> None:
        result = self.answered(spec, 200, content=content, headers={"Content-Type": kind} if kind else {})
        assert (result.is_error, text(result), result.structured_content) == (False, shown, structured)

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [
            ("image/png", {"type": "image", "mime_type": "image/png"}),
            ("audio/ogg", {"type": "audio", "mime_type": "audio/ogg"}),
        ],
    )
    def test_images_and_sounds(self, spec: Write, kind: str, expected: dict[str, str]) -> None:
        [content] = self.answered(spec, 200, content=b"\xff\x00", headers={"Content-Type": kind}).content
        assert content.model_dump(exclude_none=True) == {
            **expected,
            "data": base64.b64encode(b"\xff\x00").decode(),
        }

    @pytest.mark.parametrize("kind", ["application/pdf", ""])
    def test_other_bytes_are_a_blob(self, spec: Write, kind: str) -> None:
        headers = {"Content-Type": kind} if kind else {}
        [content] = self.answered(spec, 200, content=b"\xff\x00", headers=headers).content
        assert content.resource.model_dump(exclude_none=True) == {
            "uri": "openapi:op",
            "mime_type": kind or "application/octet-stream",
            "blob": base64.b64encode(b"\xff\x00").decode(),
        }

    def test_nothing(self, spec: Write) -> None:
        assert text(self.answered(spec, 204)) == "HTTP 204"

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
    def test_an_error_status_is_an_error_of_the_tool(self, spec: Write, status: int) -> None:
        result = self.answered(spec, status, text="x" * 1000, headers={"Retry-After": "0"})
        assert (result.is_error, text(result)) == (True, f"HTTP {status}: " + "x" * 256)

    def test_a_redirect_is_not_followed(self, spec: Write) -> None:
        result = self.answered(spec, 302, headers={"Location": "http://elsewhere.test/?token=s3cret"})
        assert (result.is_error, text(result)) == (True, "HTTP 302: redirects are not followed")

    def test_the_largest_answer_and_one_that_is_larger(self, spec: Write) -> None:
        assert len(text(self.answered(spec, 200, text="x" * LARGEST_ANSWER))) == LARGEST_ANSWER
        packed = gzip.compress(b"x" * (LARGEST_ANSWER + 1))
        result = self.answered(
            spec, 200, content=packed, headers={"Content-Encoding": "gzip", "Content-Type": "text/plain"}
        )
        assert (result.is_error, text(result)) == (True, f"the answer is larger than {LARGEST_ANSWER} bytes")

    @pytest.mark.parametrize(
        ("status", "shown"),
        [(200, f"the answer is larger than {LARGEST_ANSWER} bytes"), (500, f"HTTP 500: {'x' * 256}")],
    )
    def test_of_an_endless_answer_no_more_is_read_than_is_needed(
        self, spec: Write, status: int, shown: str
    ) -> None:
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            while sent < 3 * LARGEST_ANSWER:  # endless enough, and the test ends when it fails
                sent += 65536
                yield b"x" * 65536

        result = self.answered(spec, status, content=chunks())
        assert (text(result), sent) == (shown, LARGEST_ANSWER + 65536)

    @pytest.mark.parametrize(
        ("error", "told"),
        [
            (httpx2.ConnectError, "the API cannot be reached, or broke off: ConnectError"),
            (httpx2.ReadError, "the API cannot be reached, or broke off: ReadError"),
            (httpx2.ReadTimeout, "the API did not answer in time"),
        ],
    )
    def test_a_broken_connection_is_told_without_the_url(
        self, spec: Write, error: type[httpx2.TransportError], told: str
    ) -> None:
        def broken(_: httpx2.Request) -> httpx2.Response:
            raise error("http://me:s3cret@api.test failed")

        api = Api(broken)
        result = api.call(spec(one({})))
        assert (result.is_error, text(result), len(api.requests)) == (True, told, 1)


Tags = Annotated[list[str], Query()]
Trace = Annotated[str | None, Header()]


class Pet(BaseModel):
    name: str
    friends: list[Pet] = []


def pet_shop() -> FastAPI:
    app = FastAPI()

    @app.get("/pets/{name}", operation_id="show")
    def show(name: str, tag: Tags = [], x_trace: Trace = None) -> dict[str, Any]:  # noqa: B006
        return {"name": name, "tag": tag, "trace": x_trace}

    @app.get("/files/{path:path}", operation_id="file")
    def file(path: str) -> dict[str, str]:
        return {"path": path}

    @app.post("/pets", operation_id="add", status_code=201)
    def add(pet: Pet, dry_run: bool = False) -> dict[str, Any]:
        return {"pet": pet, "dry_run": dry_run}

    @app.put("/names", operation_id="rename")
    def rename(names: dict[str, str]) -> list[str]:
        return sorted(names.values())

    @app.delete("/pets/{number}", operation_id="remove", status_code=204)
    def remove(number: int) -> None:
        return None

    @app.get("/photo", operation_id="photo")
    def photo() -> Response:
        return Response(b"\x89PNG", media_type="image/png")

    return app


CALLS: dict[str, tuple[dict[str, Any], Any]] = {
    "show": (
        {"name": "\u00e4 &?#%2e+", "tag": ["a,b", "c&d=e"], "x-trace": "t1"},
        {"name": "\u00e4 &?#%2e+", "tag": ["a,b", "c&d=e"], "trace": "t1"},
    ),
    "file": ({"path": "../a/b c"}, {"path": "../a/b c"}),
    "add": (
        {"name": "a", "friends": [{"name": "b"}], "dry_run": True},
        {"pet": {"name": "a", "friends": [{"name": "b", "friends": []}]}, "dry_run": True},
    ),
    "rename": ({"body": {"x": "b", "y": "a"}}, '["a","b"]'),
    "remove": ({"number": 3}, "HTTP 204"),
    "photo": ({}, base64.b64encode(b"\x89PNG").decode()),
}


@pytest.mark.parametrize("era", ERAS)
def test_an_api_on_loopback_with_the_document_that_fastapi_makes(
    write: Callable[[Any], Path], era: Any
) -> None:
    app = pet_shop()
    path = write(app.openapi())

    async def run(url: str) -> dict[str, Any]:
        spec = read_spec(path, url)
        async with (
            httpx2.AsyncClient(headers={"X-Env": "A"}) as client,
            Client(server(spec, spec.base_url, client), mode=era) as mcp,
        ):
            tools = [tool.name for tool in (await mcp.list_tools()).tools]
            return {name: await mcp.call_tool(name, CALLS[name][0]) for name in tools}

    with LoopbackServer(app) as api:
        results = asyncio.run(run(api.url))
    assert not [result for result in results.values() if result.is_error]
    shown = {name: each.structured_content or told(each) for name, each in results.items()}
    assert shown == {name: expected for name, (_, expected) in CALLS.items()}
    assert [request.header("X-Env") for request in api.journal] == [["A"]] * len(CALLS)


def told(result: Any) -> str:
    [content] = result.content
    return str(content.data if content.type == "image" else content.text)
