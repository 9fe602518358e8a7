"""server-filesystem through the gateway: what it says it did has happened on disk, and only there."""

from __future__ import annotations

import pytest
from gateway_process import GatewayProcess
from mcp.types import CallToolResult, TextContent

pytestmark = pytest.mark.smoke

TOOLS = {
    "read_text_file",
    "write_file",
    "edit_file",
    "list_directory",
    "search_files",
    "list_allowed_directories",
}
TEXT = "größere Töpfe\nzwei Säcke Erde\n"


def text(result: CallToolResult) -> str:
    """The one text of a result."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def test_its_tools_are_listed_with_the_prefix(gateway: GatewayProcess, mode: str) -> None:
    own = {name for name in gateway.tools(mode) if not name.startswith("postgres-")}
    assert own >= {f"files-{tool}" for tool in TOOLS}
    assert all(name.startswith("files-") for name in own)


def test_a_file_of_the_disk_is_read(gateway: GatewayProcess, mode: str) -> None:
    (gateway.shared / f"read-{mode}.txt").write_text(TEXT, "utf-8")
    read = gateway.call(mode, "files-read_text_file", {"path": f"read-{mode}.txt"})
    assert (read.is_error, text(read)) == (False, TEXT)


def test_a_file_is_written_to_the_disk(gateway: GatewayProcess, mode: str) -> None:
    path = gateway.shared / f"written-{mode}.txt"
    written = gateway.call(mode, "files-write_file", {"path": str(path), "content": TEXT})
    assert (written.is_error, text(written)) == (False, f"Successfully wrote to {path}")
    assert path.read_text("utf-8") == TEXT


def test_a_folder_is_listed_as_it_is(gateway: GatewayProcess, mode: str) -> None:
    folder = gateway.shared / f"listed-{mode}"
    (folder / "more").mkdir(parents=True)
    (folder / "a.txt").touch()
    listed = gateway.call(mode, "files-list_directory", {"path": folder.name})
    assert not listed.is_error
    assert sorted(text(listed).splitlines()) == ["[DIR] more", "[FILE] a.txt"]


@pytest.mark.parametrize("name", ["../config.yaml", "way-out/config.yaml"])
def test_what_lies_outside_is_not_read(gateway: GatewayProcess, mode: str, name: str) -> None:
    (gateway.shared / "way-out").unlink(missing_ok=True)
    (gateway.shared / "way-out").symlink_to(gateway.shared.parent)
    refused = gateway.call(mode, "files-read_text_file", {"path": name})
    assert refused.is_error
    assert text(refused).startswith("Access denied")
    assert "mcp_servers" not in text(refused)


def test_nothing_is_written_outside(gateway: GatewayProcess, mode: str) -> None:
    path = gateway.shared.parent / "outside.txt"
    refused = gateway.call(mode, "files-write_file", {"path": str(path), "content": TEXT})
    assert refused.is_error
    assert text(refused).startswith("Access denied")
    assert not path.exists()
