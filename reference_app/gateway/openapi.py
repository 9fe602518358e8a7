"""Serves an API that an OpenAPI document describes as an MCP server, in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx2
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
from mcp import MCPError, types
from mcp.server.lowlevel import Server

from reference_app.gateway.openapi_request import headers_of, path_of, query_of
from reference_app.gateway.openapi_spec import JSON, Operation, Spec, read_spec

__all__ = ["Spec", "read_spec", "server"]

ERROR_BODY_CHARS = 256
LARGEST_ANSWER = 1024 * 1024  # bytes, decompressed
_TOLD_AS_THEY_ARE = ("required", "additionalProperties", "dependentRequired")  # names only, never values


def server(spec: Spec, base_url: str, client: httpx2.AsyncClient) -> Server[Any]:
    """Returns an MCP server whose tools are the operations of the API.

    Each call sends exactly one request: nothing is sent again, no redirect is followed, no cookie is kept.

    Args:
        spec: The operations.
        base_url: Where the API is, such as `http://127.0.0.1:9000/v1`.
        client: What sends; a header that it has is not the caller's to give.
    """
    operations = {operation.name: operation for operation in spec.operations}
    given = {name.lower() for name in client.headers}

    async def list_tools(_context: Any, _params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(operation, given) for operation in spec.operations])

    async def call_tool(_context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        operation = operations.get(params.name)
        if operation is None:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        arguments = params.arguments or {}
        try:
            _check(arguments, operation.input_schema(given))
            request = _request(client, base_url.rstrip("/"), operation, arguments)
        except ValueError as problem:
            return _error(str(problem))
        return await _answer(client, request, operation.name)

    return Server(spec.title, version=spec.version, on_list_tools=list_tools, on_call_tool=call_tool)


def _tool(operation: Operation, given: set[str]) -> types.Tool:
    return types.Tool(
        name=operation.name, description=operation.description, input_schema=operation.input_schema(given)
    )


def _check(arguments: Mapping[str, Any], schema: dict[str, Any]) -> None:
    """Raises ValueError, which names the argument but never its value, for what cannot be sent."""
    for name, value in arguments.items():
        try:
            json.dumps({name: value}, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            raise ValueError(
                f"argument {name!r}: has half a surrogate pair, NaN or Infinity, or is nested too deeply"
            ) from None
    try:
        error = best_match(Draft202012Validator(schema).iter_errors(arguments))
    except RecursionError:
        raise ValueError("the arguments are nested too deeply to be checked") from None
    if error is None:
        return
    place = error.json_path.removeprefix("$").removeprefix(".")
    what = f"argument {place!r}: " if place else "arguments: "
    if error.validator in _TOLD_AS_THEY_ARE:
        raise ValueError(what + error.message)
    wanted = json.dumps(error.validator_value, ensure_ascii=False)
    raise ValueError(f"{what}does not fit {error.validator}: {wanted[:ERROR_BODY_CHARS]}")


def _request(
    client: httpx2.AsyncClient, base_url: str, operation: Operation, arguments: Mapping[str, Any]
) -> httpx2.Request:
    query = query_of(operation.parameters, arguments)
    url = base_url + path_of(operation.path, operation.parameters, arguments) + (f"?{query}" if query else "")
    headers = headers_of(operation.parameters, arguments)
    content = _content(operation, arguments)
    if content is not None and "content-type" not in client.headers:
        headers["Content-Type"] = JSON
    try:
        request = client.build_request(operation.method, url, headers=headers, content=content)
    except httpx2.InvalidURL:
        raise ValueError("the arguments make a URL that is too long to be sent") from None
    _forget_cookies(client, request)
    return request


def _content(operation: Operation, arguments: Mapping[str, Any]) -> bytes | None:
    body = operation.body
    if body is None:
        return None
    value: Any = {name: arguments[name] for name in body.properties if name in arguments}
    is_sent = bool(value) or body.is_required
    if body.argument is not None:
        value, is_sent = arguments.get(body.argument), body.argument in arguments
    return json.dumps(value, ensure_ascii=False).encode() if is_sent else None


def _forget_cookies(client: httpx2.AsyncClient, request: httpx2.Request) -> None:
    # The client keeps the cookies of each answer: those of one call are no business of the next one.
    request.headers.pop("Cookie", None)
    if "Cookie" in client.headers:
        request.headers["Cookie"] = client.headers["Cookie"]


async def _answer(client: httpx2.AsyncClient, request: httpx2.Request, tool: str) -> types.CallToolResult:
    try:
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            data = await _bounded(response)
        finally:
            await response.aclose()
    except httpx2.TimeoutException:
        return _error("the API did not answer in time")
    except httpx2.RequestError as error:  # its text may hold the URL
        return _error(f"the API cannot be reached, or broke off: {type(error).__name__}")
    status = response.status_code
    if status >= 400:
        return _error(f"HTTP {status}: {_text(response, data)[:ERROR_BODY_CHARS]}")
    if status >= 300:
        return _error(f"HTTP {status}: redirects are not followed")
    if len(data) > LARGEST_ANSWER:
        return _error(f"the answer is larger than {LARGEST_ANSWER} bytes")
    return _result(response, data, tool)


async def _bounded(response: httpx2.Response) -> bytes:
    """Returns the body, or when it is too large, what of it shows that."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > LARGEST_ANSWER:
            break
    return bytes(data)


def _result(response: httpx2.Response, data: bytes, tool: str) -> types.CallToolResult:
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if not data:
        return _content_only(types.TextContent(text=f"HTTP {response.status_code}"))
    if kind == JSON or kind.endswith("+json"):
        text = _text(response, data)
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=_object(text))
    if _is_text(kind, response, data):
        return _content_only(types.TextContent(text=_text(response, data)))
    blob = base64.b64encode(data).decode()
    if kind.startswith("image/"):
        return _content_only(types.ImageContent(data=blob, mime_type=kind))
    if kind.startswith("audio/"):
        return _content_only(types.AudioContent(data=blob, mime_type=kind))
    resource = types.BlobResourceContents(
        uri=f"openapi:{quote(tool)}", mime_type=kind or "application/octet-stream", blob=blob
    )
    return _content_only(types.EmbeddedResource(resource=resource))


def _content_only(content: types.ContentBlock) -> types.CallToolResult:
    return types.CallToolResult(content=[content])


def _object(text: str) -> dict[str, Any] | None:
    """Returns the JSON object that the text is, if it is one that can be passed on as it is."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_text(kind: str, response: httpx2.Response, data: bytes) -> bool:
    if not kind:
        return _is_utf8(data)
    is_xml = kind == "application/xml" or kind.endswith("+xml")
    return is_xml or kind.startswith("text/") or response.charset_encoding is not None


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _text(response: httpx2.Response, data: bytes) -> str:
    try:
        text = data.decode(response.charset_encoding or "utf-8", "replace")
    except (LookupError, ValueError):  # not a charset, whatever the API calls it
        text = data.decode("utf-8", "replace")
    return text.encode("utf-8", "replace").decode()  # UTF-7 and its like can hold half a surrogate pair


def _error(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)
