"""Rows of the matrix against real servers: what each client sends, and what it would see."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from clocks import LONG, run
from endpoints import SDK_CHILD, SOON, answering, event, served, silent, streaming

from pytest_mcpsmoke.doubles.loopback import App
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.readiness.configurations.model import Server
from pytest_mcpsmoke.readiness.configurations.reading import read_configuration
from pytest_mcpsmoke.readiness.matrix import AT_ONCE, Row, ask, ask_all
from pytest_mcpsmoke.readiness.matrix_text import as_object, is_green, matrix_lines
from pytest_mcpsmoke.readiness.verdict import Call, Called

KEY = "k-0123456789"
SELECTION = "postgres, filesystem"


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("gateway") as made:
        made.tool("postgres_query", result="3")
        made.tool("read", result="text")
        yield made


def rows(servers: list[Server], timeout_s: float = LONG, call: Call | None = None) -> list[Row]:
    found: list[Row] = []
    anyio.run(lambda: ask_all(servers, found, timeout_s=timeout_s, call=call))
    return found


def configured(tmp_path: Path, name: str, text: str, **environ: str) -> list[Server]:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    found = read_configuration(path, {**os.environ, **environ}, name=name)
    assert found.problems == ()
    return list(found.servers)


def seen(row: Row) -> tuple[Any, ...]:
    return (row.verdict, row.offered, row.is_green)


def sent(up: McpUpstream, name: str) -> set[tuple[str, ...]]:
    """The values of a header, of all requests that arrived."""
    return {tuple(request.header(name)) for request in up.journal}


class TestHeadersArrive:
    """With tokens asked for, so that every request has to bear what was configured."""

    def check(self, up: McpUpstream, servers: list[Server], **more: str) -> Row:
        up.tokens(good=KEY)
        (row,) = rows(servers)
        assert seen(row) == ("CATALOG", 2, True)
        assert len(up.journal) >= 2
        assert sent(up, "x-mcp-servers") == {(SELECTION,)}
        assert sent(up, "authorization") == {(f"Bearer {KEY}",)}
        for name, value in more.items():
            assert sent(up, name.replace("_", "-")) == {(value,)}
        told = (
            repr([event for event in row.events])
            + json.dumps(as_object([], [row], is_asked=True))
            + "".join(matrix_lines([], [row], is_asked=True))
        )
        assert KEY not in told
        assert SELECTION not in told
        assert any("x-mcp-servers: ***" in event.headers for event in row.events)
        return row

    def test_of_codex(self, up: McpUpstream, tmp_path: Path) -> None:
        text = f"""
            [mcp_servers.litellm]
            url = "{up.http()}"
            bearer_token_env_var = "LITELLM_KEY"
            http_headers = {{ "x-mcp-servers" = "{SELECTION}" }}
            env_http_headers = {{ "X-Team" = "TEAM" }}
            """
        servers = configured(tmp_path, "config.toml", text, LITELLM_KEY=KEY, TEAM="blue")
        self.check(up, servers, x_team="blue")

    def test_of_claude_code_over_sse(self, up: McpUpstream, tmp_path: Path) -> None:
        headers = {"Authorization": "Bearer ${LITELLM_KEY}", "x-mcp-servers": SELECTION}
        entry = {"type": "sse", "url": up.sse(), "headers": headers}
        text = json.dumps({"mcpServers": {"litellm": entry}})
        row = self.check(up, configured(tmp_path, ".mcp.json", text, LITELLM_KEY=KEY))
        assert row.server.transport == "sse"

    @pytest.mark.parametrize("transport", ["http", "sse"])
    def test_of_vscode_which_falls_back(self, up: McpUpstream, tmp_path: Path, transport: str) -> None:
        headers = {"Authorization": "Bearer ${input:key}", "x-mcp-servers": SELECTION}
        url = up.http() if transport == "http" else up.sse()
        entry = {"type": "http", "url": url, "headers": headers}
        text = json.dumps({"inputs": [{"type": "promptString", "id": "key"}], "servers": {"litellm": entry}})
        self.check(up, configured(tmp_path, ".vscode/mcp.json", text, MCPSMOKE_INPUT_KEY=KEY))

    def test_of_open_webui(self, up: McpUpstream, tmp_path: Path) -> None:
        entry = {
            **{"type": "mcp", "url": up.http(), "auth_type": "bearer", "key": KEY},
            **{"headers": {"x-mcp-servers": SELECTION}, "config": {"enable": True}, "info": {"id": "g"}},
        }
        text = f"TOOL_SERVER_CONNECTIONS='{json.dumps([entry])}'\n"
        self.check(up, configured(tmp_path, ".env", text))


class TestWhatAClientWouldSee:
    def test_codex_does_not_fall_back_to_sse(self, up: McpUpstream) -> None:
        codex = Server("codex", "a", "f", 1, "http", up.sse())
        cursor = codex._replace(client="cursor", falls_back=True)
        assert [seen(row) for row in rows([codex, cursor])] == [
            ("WRONG_METHOD", None, False),
            ("CATALOG", 2, True),
        ]

    def test_a_server_that_wants_a_key(self, up: McpUpstream) -> None:
        up.tokens(good=KEY, forbidden="guest-key")
        url = up.http()
        without = Server("codex", "a", "f", 1, "http", url)
        wrong = without._replace(headers={"Authorization": "Bearer wrong-key"}, secrets=("wrong-key",))
        guest = without._replace(headers={"Authorization": "Bearer guest-key"}, secrets=("guest-key",))
        found = rows([without, wrong, guest])
        assert [row.verdict for row in found] == ["AUTH_REQUIRED", "AUTH_REQUIRED", "FORBIDDEN"]
        assert all(row.detail and row.remedy for row in found)
        assert "wrong-key" not in repr([row._replace(server=without) for row in found])

    def test_a_dead_url_and_one_that_is_silent(self, dead_host: str) -> None:
        with silent() as url:
            dead = Server("codex", "dead", "f", 1, "http", f"{dead_host}/mcp")
            quiet = dead._replace(url=url)
            found = [*rows([dead]), *rows([quiet], timeout_s=SOON)]
        assert [row.verdict for row in found] == ["ERROR", "TIMEOUT"]

    def test_a_plain_event_stream_is_no_catalogue_for_a_client(self) -> None:
        """What a gateway's /mcp/tools sends, and no MCP client reads."""
        tools = event("tools", [{"name": "a"}])
        with served(streaming(tools)) as url:
            (row,) = rows([Server("vscode", "a", "f", 1, "sse", url)])
        assert (row.verdict, row.is_green) == ("ERROR", False)
        assert row.detail.endswith("vscode reads no such stream")

    def test_a_tool_is_called(self, up: McpUpstream) -> None:
        server = Server("codex", "a", "f", 1, "http", up.http(), secrets=("text",))
        (row,) = rows([server], call=Call("read", {}))
        assert (row.call, row.is_green) == (Called("read", False, "***"), True)
        (row,) = rows([server], call=Call("nothing", {}))
        assert (row.verdict, row.is_green) == ("CATALOG", False), "a call that fails is red"
        assert up.tool_calls[0].params["name"] == "read"

    def test_what_is_not_tried(self) -> None:
        broken = Server("codex", "a", "f", 1, not_tried="line 3: no command")
        asks = broken._replace(not_tried="the user is asked for key")
        off = broken._replace(is_disabled=True)
        found = rows([broken, asks, off])
        assert [(row.verdict, row.detail, row.remedy, row.is_green) for row in found] == [
            ("NOT_TRIED", "line 3: no command", "mend the configuration", False),
            (
                "NOT_TRIED",
                "the user is asked for key",
                "answer for the user with a variable MCPSMOKE_INPUT_ID",
                False,
            ),
            ("DISABLED", "switched off in the configuration", "", None),
        ]
        assert not is_green([], found[2:], is_asked=True), "nothing was asked, so nothing is green"
        assert is_green([], found[2:], is_asked=False)
        assert not is_green([], [], is_asked=False)


class TestAProgram:
    def test_a_real_one(self, tmp_path: Path) -> None:
        (tmp_path / "server.py").write_text(SDK_CHILD, "utf-8")
        entry = {"command": sys.executable, "args": ["server.py"]}
        text = json.dumps({"mcpServers": {"add": entry}})
        (row,) = rows(configured(tmp_path, ".mcp.json", text), call=Call("add", {"a": 1, "b": 2}))
        assert seen(row) == ("CATALOG", 1, True)
        assert row.call == Called("add", False, "3")

    def test_it_gets_its_environment_and_folder(self, up: McpUpstream, tmp_path: Path) -> None:
        command = up.stdio()
        text = f"""
            [mcp_servers.a]
            command = {json.dumps(command.command)}
            args = {json.dumps(command.args)}
            env_vars = ["UPSTREAM_KEY"]
            [mcp_servers.a.env]
            LEVEL = "debug"
            """
        servers = configured(tmp_path, ".codex/config.toml", text, UPSTREAM_KEY=KEY, NOT_PASSED_ON="x")
        (row,) = rows(servers)
        assert seen(row) == ("CATALOG", 2, True)
        (child,) = up.children
        assert child.env["UPSTREAM_KEY"] == KEY
        assert child.env["LEVEL"] == "debug"
        assert "NOT_PASSED_ON" not in child.env
        assert child.cwd == str(tmp_path)
        assert KEY not in repr(row._replace(server=row.server._replace(env={}, secrets=())))

    def test_one_that_hangs_is_ended_with_its_children(self) -> None:
        lines: list[socket.socket] = []

        def has_a_child() -> bool:
            if not lines and _has_come(listener):
                lines.append(listener.accept()[0])
            return bool(lines) and _has_come(lines[0])

        with socket.create_server(("127.0.0.1", 0)) as listener:
            code = (
                "import socket, subprocess, sys, time\n"
                f"line = socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}))\n"
                "line.set_inheritable(True)\n"
                "nap = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
                "subprocess.Popen(nap, close_fds=False)\n"
                "line.sendall(b'.')\n"
                "time.sleep(600)\n"
            )
            server = Server("codex", "a", "f", 1, "stdio", command=sys.executable, args=("-c", code))
            row = run(lambda: ask(server, timeout_s=LONG), is_late=has_a_child)
        (line,) = lines
        with line:
            line.settimeout(LONG)
            assert (line.recv(1), line.recv(1)) == (b".", b""), "nobody holds the other end any more"
        assert (row.verdict, row.is_green) == ("TIMEOUT", False)

    def test_one_that_does_not_exist(self) -> None:
        (row,) = rows([Server("codex", "a", "f", 1, "stdio", command="no-such-program-anywhere")])
        assert (row.verdict, row.is_green) == ("ERROR", False)


def _has_come(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


JSON = {"content_type": "application/json"}
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/a": {"get": {"operationId": "a"}, "post": {"operationId": "b"}, "parameters": []},
        "/b": {"get": {}},
    },
}
MODELS = {"data": [{"id": "gpt"}]}


def answering_json(value: Any) -> App:
    return answering(200, json.dumps(value).encode(), **JSON)


class TestPlainHttp:
    """What Open WebUI fetches from servers that speak no MCP."""

    @pytest.mark.parametrize(
        ("transport", "app", "expected"),
        [
            ("openapi", answering_json(DOCUMENT), ("CATALOG", 2, True)),
            ("openapi", answering_json({"paths": {}}), ("EMPTY_CATALOG", 0, False)),
            ("openapi", answering_json(MODELS), ("ERROR", None, False)),
            ("openapi", answering(200, b"openapi: 3.1.0"), ("ERROR", None, False)),
            ("openai", answering_json(MODELS), ("CATALOG", 1, True)),
            ("openai", answering_json({"data": []}), ("EMPTY_CATALOG", 0, False)),
            ("openai", answering_json(DOCUMENT), ("ERROR", None, False)),
            ("openai", answering(401), ("AUTH_REQUIRED", None, False)),
            ("openai", answering(403), ("FORBIDDEN", None, False)),
            ("openai", answering(404), ("ERROR", None, False)),
            ("openai", answering(405), ("WRONG_METHOD", None, False)),
            ("openai", answering(500, b"boom"), ("ERROR", None, False)),
            ("openai", answering(307, location="/v1/models"), ("ERROR", None, False)),
            ("openai", answering(307, location="http://elsewhere.test/v1"), ("ERROR", None, False)),
        ],
    )
    def test_verdicts(self, transport: str, app: App, expected: tuple[Any, ...]) -> None:
        with served(app, "/v1") as url:
            (row,) = rows([Server("open-webui", "a", "f", 1, transport, url)])
        assert seen(row) == expected
        assert row.is_green or row.remedy

    def test_the_key_and_the_path_are_what_is_asked(self) -> None:
        asked = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            asked.append((scope["path"], dict(scope["headers"])[b"authorization"]))
            if scope["path"] == "/v1/models":
                await answering(307, location="/v1/all")(scope, receive, send)
            else:
                await answering_json(MODELS)(scope, receive, send)

        with served(app, "/v1/") as url:
            headers = {"Authorization": f"Bearer {KEY}"}
            server = Server("open-webui", "a", "f", 1, "openai", url, headers, secrets=(KEY,))
            (row,) = rows([server])
        assert seen(row) == ("CATALOG", 1, True)
        token = f"Bearer {KEY}".encode()
        assert asked == [("/v1/models", token), ("/v1/all", token)]
        assert [event.what for event in row.events] == ["request", "response"] * 2 + ["body"]
        assert KEY not in repr(row.events)

    def test_what_does_not_answer(self, dead_host: str) -> None:
        dead = Server("open-webui", "a", "f", 1, "openai", f"{dead_host}/v1")
        with silent() as url:
            quiet = dead._replace(transport="openapi", url=url)
            found = [*rows([dead]), *rows([quiet], timeout_s=SOON)]
        assert [row.verdict for row in found] == ["ERROR", "TIMEOUT"]
        assert [row.remedy for row in found] == [
            "start the server, or check its address",
            "check that the process behind the address is alive, or give it more time with --timeout",
        ]


def test_at_most_so_many_at_once() -> None:
    now = most = 0
    many = asyncio.Event()  # as many as there may be are there

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == AT_ONCE:
            many.set()
        await many.wait()
        await anyio.sleep(0.02)
        now -= 1
        await answering_json(MODELS)(scope, receive, send)

    with served(app) as url:
        found = rows([Server("open-webui", str(at), "f", at, "openai", url) for at in range(3 * AT_ONCE)])
    assert [row.server.line for row in found] == list(range(3 * AT_ONCE)), "in their order"
    assert all(row.is_green for row in found)
    assert most == AT_ONCE


def test_what_was_found_stays_when_it_is_cut_off(up: McpUpstream) -> None:
    found: list[Row] = []

    async def cut() -> None:
        with silent() as url:
            servers = [Server("codex", "a", "f", 1, "http", address) for address in (up.http(), url)]
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: ask_all(servers, found, timeout_s=LONG))
                with anyio.fail_after(LONG):
                    while not found or found[0].verdict == "NOT_TRIED":
                        await anyio.sleep(0.01)
                group.cancel_scope.cancel()

    anyio.run(cut)
    assert [(row.verdict, row.detail) for row in found] == [
        ("CATALOG", "a catalogue of 2 tools"),
        ("NOT_TRIED", "interrupted"),
    ]


def test_lines_of_a_matrix() -> None:
    server = Server("codex", "litellm", "f", 1, "http")
    shown = [
        Row(server, "CATALOG", 12, seconds=0.31),
        Row(
            server._replace(client="open-webui", name="openai", transport="openai"), "CATALOG", 1, "model", 1
        ),
        Row(server._replace(name="a\nb"), "ERROR", None, "tool", 0.04, "no connection", "start the server"),
        Row(server, "CATALOG", 1, call=Called("add", True, "boom")),
        Row(server, "DISABLED"),
        Row(server._replace(transport=""), "NOT_TRIED", detail="line 1: no url"),
    ]
    assert list(matrix_lines([], shown, is_asked=True)) == [
        "codex       litellm  http    CATALOG (12 tools)  0.3 s",
        "open-webui  openai   openai  CATALOG (1 model)   1.0 s",
        'codex       "a\\nb"   http    ERROR               0.0 s',
        "    no connection",
        "    start the server",
        "codex       litellm  http    CATALOG (1 tool)    0.0 s",
        "    add failed: boom",
        "codex       litellm  http    DISABLED",
        "codex       litellm  -       NOT_TRIED",
        "    line 1: no url",
        "",
        "2 of 5 servers green; 0 problems in 0 files",
    ]
