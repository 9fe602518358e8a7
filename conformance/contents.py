"""What stays as it is: tools with a fixed answer, resources, prompts, schemas that have to arrive whole."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Annotated, Any, Final

from mcp.server.mcpserver import UserMessage
from mcp.types import AudioContent, EmbeddedResource, ImageContent, TextContent, TextResourceContents
from pydantic import Field

from pytest_mcpsmoke.doubles.upstream import McpUpstream

SIMPLE_TEXT: Final = "This is a simple text response for testing."
ERROR_TEXT: Final = "This tool intentionally returns an error for testing"

SCHEMA_2020_12: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def offer(up: McpUpstream) -> None:
    """Put all of it on an upstream."""
    _tools(up)
    _resources(up)
    _prompts(up)


def _tools(up: McpUpstream) -> None:
    image = ImageContent(type="image", data=_base64(_PNG), mime_type="image/png")
    audio = AudioContent(type="audio", data=_base64(_WAV), mime_type="audio/wav")
    mixed = _embedded("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json")
    answers: dict[str, Any] = {
        "test_simple_text": SIMPLE_TEXT,
        "test_image_content": [image],
        "test_audio_content": [audio],
        "test_embedded_resource": [
            _embedded("test://embedded-resource", "This is an embedded resource content.")
        ],
        "test_multiple_content_types": [_text("Multiple content types test:"), image, mixed],
        "test_error_handling": RuntimeError(ERROR_TEXT),
    }
    for name, answer in answers.items():
        up.tool(name, result=answer, description=f"Answers {name} of the suite, always the same")
    up.tool(
        "json_schema_2020_12_tool",
        result="taken",
        schema=SCHEMA_2020_12,
        description="Has a schema that uses what JSON Schema 2020-12 has",
    )

    @up.tool
    def test_header_parameter(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})], query: str = ""
    ) -> str:
        """Take a parameter that protocol 2026-07-28 repeats in a header."""
        return f"{query} in {region}"


def _resources(up: McpUpstream) -> None:
    up.resource("test://static-text", "This is the content of the static text resource.")
    up.resource("test://static-binary", _PNG, mime_type="image/png")
    up.resource("test://watched-resource", "This is watched.")
    up.resource("test://template/{id}/data", _template, mime_type="application/json")


def _template(id: str) -> str:
    return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _prompts(up: McpUpstream) -> None:
    @up.prompt
    def test_simple_prompt() -> str:
        """Ask without arguments."""
        return "This is a simple prompt for testing."

    @up.prompt
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Ask with both arguments."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @up.prompt
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        """Ask about a resource that comes with the question."""
        resource = _embedded(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]

    @up.prompt
    def test_prompt_with_image() -> list[UserMessage]:
        """Ask about an image that comes with the question."""
        image = ImageContent(type="image", data=_base64(_PNG), mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    inside = TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return EmbeddedResource(type="resource", resource=inside)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# One red pixel; a tenth of a millisecond of silence: 8 kHz, one channel, 8 bits.
_PNG: Final = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    + _chunk(b"IEND", b"")
)
_WAV: Final = (
    b"RIFF"
    + struct.pack("<I", 37)
    + b"WAVEfmt "
    + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
    + b"data"
    + struct.pack("<IB", 1, 0x80)
)
