"""What the OpenAPI document says of the gateway's own routes."""

from __future__ import annotations

from typing import Any

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a header twice, or what the protocol or a hook's policy refuses"},
    401: {"description": "no key, an unknown one, or an upstream that does not take the client's token"},
    403: {"description": "an upstream forbids this to the client's token"},
}
NO_KEY: dict[int | str, dict[str, Any]] = {
    401: {"description": "no key, or an unknown one, where one is needed"}
}
EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
}
TOOLS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": EVENT}},
        "description": "`event: tools` with the catalogue, or `event: error`; then comments to keep it alive",
    },
    **REFUSALS,
}
JSON_RPC = {"type": "object", "required": ["jsonrpc", "method"]}
MCP_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/json": {"schema": {}}, "text/event-stream": {"schema": EVENT}},
        "description": "the answer, as JSON or as events",
    },
    "4XX": {"description": "what the key, the probe, a hook or the protocol refuses"},
}
MCP_DOCUMENTED: dict[str, dict[str, Any]] = {
    "POST": {
        "responses": {**MCP_ANSWERS, 202: {"description": "a notification was taken"}},
        "openapi_extra": {"requestBody": {"content": {"application/json": {"schema": JSON_RPC}}}},
    },
    "GET": {"responses": MCP_ANSWERS},
    "DELETE": {"responses": MCP_ANSWERS},
}
