"""What is wrong in each client's file, by whole lines, and what the good ones say."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.configurations.clients import CLIENTS, client_named
from pytest_mcpsmoke.readiness.configurations.model import Configuration, Server
from pytest_mcpsmoke.readiness.configurations.places import client_of, is_of_interest, usual_places
from pytest_mcpsmoke.readiness.configurations.reading import read_configuration

Read = Callable[..., Configuration]
SECRET = "s3cr3t-value"
ENVIRON = {"KEY": SECRET, "HOST": "gateway.test", "PATH": "/bin", "HOME": "/home/me", "OTHER": "o"}


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Read:
    """Writes a file and reads it: read(name, text, client=None)."""
    monkeypatch.chdir(tmp_path)

    def _read(name: str, text: str, client: str | None = None) -> Configuration:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), "utf-8")
        whose = client_named(client) if client else None
        found = read_configuration(path, ENVIRON, whose, name)
        told = "".join(map(str, found.problems)) + "".join(server.not_tried for server in found.servers)
        assert SECRET not in told
        assert "plain-secret" not in told
        return found

    return _read


def problems(configuration: Configuration) -> list[str]:
    return [str(problem) for problem in configuration.problems]


def only(configuration: Configuration) -> Server:
    assert problems(configuration) == []
    (server,) = configuration.servers
    return server


class TestCodex:
    def test_an_address_with_headers_from_everywhere(self, read: Read) -> None:
        server = only(
            read(
                "config.toml",
                """
                model = "gpt-5"
                [mcp_servers.litellm]
                url = "http://127.0.0.1:4000/mcp/"
                bearer_token_env_var = "KEY"
                http_headers = { "x-mcp-servers" = "postgres,filesystem" }
                env_http_headers = { "X-Tenant" = "OTHER" }
                startup_timeout_sec = 20
                enabled_tools = ["a"]
                """,
            )
        )
        assert server == Server(
            client="codex",
            name="litellm",
            file="config.toml",
            line=2,
            transport="http",
            url="http://127.0.0.1:4000/mcp/",
            headers={
                "x-mcp-servers": "postgres,filesystem",
                "X-Tenant": "o",
                "Authorization": f"Bearer {SECRET}",
            },
            secrets=(SECRET,),
        )

    def test_a_program_with_its_environment(self, read: Read, tmp_path: Path) -> None:
        server = only(
            read(
                ".codex/config.toml",
                """
                [mcp_servers.files]
                command = "npx"
                args = ["-y", "server-files"]
                env_vars = ["KEY", { name = "OTHER", source = "local" }]
                cwd = "sub"
                enabled = false
                [mcp_servers.files.env]
                LEVEL = "debug"
                """,
            )
        )
        assert (server.transport, server.command, server.args) == ("stdio", "npx", ("-y", "server-files"))
        assert server.env == {
            **{"PATH": "/bin", "HOME": "/home/me"},
            **{"KEY": SECRET, "OTHER": "o", "LEVEL": "debug"},
        }, "Codex hands on a few variables only"
        assert (server.cwd, server.is_disabled, server.secrets) == (str(tmp_path / "sub"), True, (SECRET,))

    def test_what_is_wrong(self, read: Read) -> None:
        found = read(
            "config.toml",
            """
            mcpServers = 1
            [mcp_servers.a]
            url = "127.0.0.1:4000/mcp"
            headers = { x = "y" }
            bearer_token_env_var = "NOT_SET"
            [mcp_servers.b]
            comand = "npx"
            [mcp_servers.c]
            url = "http://127.0.0.1:4000/mcp"
            bearer_token = "plain-secret"
            args = ["x"]
            env_http_headers = { "X-Key" = "NOT_SET", "X-B" = "plain-secret value" }
            http_headers = { "x-mcp-servers" = "a, ,a", "Authorization" = "Bearer plain-secret", "N" = 1 }
            [mcp_servers.d]
            command = "npx"
            url = "http://127.0.0.1:4000/mcp"
            startup_timeout_sec = "3"
            [mcp_servers.e]
            command = "npx"
            args = ["--api-key", "plain-secret", "--header=Authorization: Bearer plain-secret"]
            env = { "API_TOKEN" = "${KEY}", "B" = true }
            http_headers = { "a" = "b" }
            [mcp_servers.f]
            args = "x"
            [mcp_servers.g]
            url = "http://h/mcp"
            http_headers = { "X-Token" = "${KEY}", "x-mcp-servers" = " ", "X-MCP-Servers" = "a" }
            """,
        )
        assert problems(found) == [
            "config.toml:1: mcpServers: Codex knows no such key; write mcp_servers",
            "config.toml:3: mcp_servers.a.url: no http or https URL; write http://HOST:PORT/PATH",
            "config.toml:4: mcp_servers.a.headers: Codex knows no such key; write http_headers",
            "config.toml:5: mcp_servers.a.bearer_token_env_var: the environment variable NOT_SET is not set;"
            " set NOT_SET, or give it with --env-file",
            "config.toml:6: mcp_servers.b: neither command nor url; write one",
            "config.toml:7: mcp_servers.b.comand: Codex knows no such key; write command",
            "config.toml:10: mcp_servers.c.bearer_token: Codex refuses it;"
            " put the token into a variable, and its name into bearer_token_env_var",
            "config.toml:11: mcp_servers.c.args: does not go with url; remove it",
            "config.toml:12: mcp_servers.c.env_http_headers.X-Key: the environment variable NOT_SET"
            " is not set; set NOT_SET, or give it with --env-file",
            "config.toml:12: mcp_servers.c.env_http_headers.X-B: not the name of an environment variable;"
            " write a name, not the value",
            "config.toml:13: mcp_servers.c.http_headers.Authorization: a secret in plain text;"
            " name its variable in env_http_headers",
            "config.toml:13: mcp_servers.c.http_headers.N: not a string; write it in quotes",
            "config.toml:13: mcp_servers.c.http_headers.x-mcp-servers: entry 2 is empty; remove the comma",
            "config.toml:13: mcp_servers.c.http_headers.x-mcp-servers: entries 1 and 3 name the same server;"
            " remove one",
            "config.toml:16: mcp_servers.d.url: does not go with command; keep one of them",
            "config.toml:17: mcp_servers.d.startup_timeout_sec: not a number; write a number",
            "config.toml:20: mcp_servers.e.args[1]: a secret in plain text; name its variable in env_vars",
            "config.toml:20: mcp_servers.e.args[2]: a secret in plain text; name its variable in env_vars",
            "config.toml:21: mcp_servers.e.env.API_TOKEN: Codex does not fill in ${KEY};"
            " name the variable KEY in env_vars",
            "config.toml:21: mcp_servers.e.env.B: not a string; write it in quotes",
            "config.toml:22: mcp_servers.e.http_headers: does not go with command; remove it",
            "config.toml:24: mcp_servers.f.args: not a list of strings; write a list of strings",
            "config.toml:27: mcp_servers.g.http_headers.X-Token: Codex does not fill in ${KEY};"
            " name the variable KEY in env_http_headers",
            "config.toml:27: mcp_servers.g.http_headers.x-mcp-servers: names no server;"
            " name some, or remove the header",
            "config.toml:27: mcp_servers.g.http_headers.X-MCP-Servers: the header stands twice,"
            " as x-mcp-servers too; keep one",
        ]
        assert all(server.not_tried for server in found.servers), "each is broken, and says why"
        assert found.servers[0].not_tried == "line 3: no http or https URL"

    def test_what_is_no_toml(self, read: Read) -> None:
        found = read("config.toml", "[mcp_servers.a]\nurl = http\n")
        assert problems(found) == ["config.toml:2: no TOML: invalid value (column 7); mend it"]
        assert found.servers == ()

    def test_a_section_that_is_no_table(self, read: Read) -> None:
        found = read("config.toml", "a = 1\nmcp_servers = ['x']\n")
        assert problems(found) == ["config.toml:2: mcp_servers: not a table; write a table"]


class TestClaudeCode:
    def test_an_address_with_references(self, read: Read) -> None:
        server = only(
            read(
                ".mcp.json",
                """
                {"mcpServers": {
                  "litellm": {
                    "type": "http",
                    "url": "https://${HOST}/mcp?v=${VERSION:-2}",
                    "headers": {"Authorization": "Bearer ${KEY}", "x-mcp-servers": "postgres"}
                  }
                }}
                """,
            )
        )
        assert (server.transport, server.url) == ("http", "https://gateway.test/mcp?v=2")
        assert server.headers == {"Authorization": f"Bearer {SECRET}", "x-mcp-servers": "postgres"}
        assert (server.line, server.falls_back) == (2, False)
        assert server.hide(f"a Bearer {SECRET} and {SECRET} of postgres") == "a *** and *** of postgres"

    def test_a_program_has_the_whole_environment(self, read: Read) -> None:
        text = '{"mcpServers": {"a": {"command": "x", "args": ["${HOST}"], "env": {"API_KEY": "${KEY}"}}}}'
        server = only(read("mcp_servers.json", text))
        assert (server.client, server.transport, server.args) == ("claude-code", "stdio", ("gateway.test",))
        assert server.env == ENVIRON | {"API_KEY": SECRET}

    def test_what_is_wrong(self, read: Read) -> None:
        found = read(
            ".mcp.json",
            """
            { // one
              "mcpServers": {
                "a": {"url": "http://127.0.0.1:4000/mcp"},
                "b": {"type": "streamable", "url": "http://127.0.0.1:4000/mcp"},
                "c": {"type": "sse", "command": "x"},
                "d": {"type": "http", "url": "http://u:plain-secret@h/mcp?token=plain-secret"},
                "e": {"type": "http", "url": "http://h/mcp",
                      "headers": {"Authorization": "Bearer ${NOT_SET}", "X-Api-Key": "plain-secret",
                                  "X-Other": "${env:KEY}", "bad name": "x", "X-Long": "a\\nb"}},
                "e": {"command": "", "env": {"API_TOKEN": "plain-secret", "MAX_TOKENS": "4096", "N": 3}},
                "f": [],
                "g": {"type": "http", "url": "http://h/mcp", "headersHelper": "./x.sh", "extra": 1},
                "h": {"type": "http", "url": "http://h/mcp", "args": ["x"]},
              }
            }
            """,
        )
        assert problems(found) == [
            ".mcp.json:1: a comment (column 3); remove it: this client takes none",
            ".mcp.json:3: mcpServers.a.type: Claude Code takes a server without type for a program;"
            ' add "type": "http" or "sse"',
            ".mcp.json:4: mcpServers.b.type: Claude Code knows no such type;"
            " write one of stdio, http, streamable-http, sse",
            ".mcp.json:5: mcpServers.c.type: does not suit command; write url, or another type",
            ".mcp.json:6: mcpServers.d.url: a secret in plain text; send it in a header, from a variable",
            ".mcp.json:10: mcpServers.e: stands twice; line 7 is lost; keep one",
            ".mcp.json:10: mcpServers.e.command: is empty; name a program",
            ".mcp.json:10: mcpServers.e.env.API_TOKEN: a secret in plain text; write ${NAME}",
            ".mcp.json:10: mcpServers.e.env.N: not a string; write it in quotes",
            ".mcp.json:11: mcpServers.f: not a table; write a table",
            ".mcp.json:12: mcpServers.g.extra: Claude Code knows no such key; remove it",
            ".mcp.json:13: a trailing comma (column 64); remove it: this client takes none",
            ".mcp.json:13: mcpServers.h.args: does not go with url; remove it",
        ]
        by_name = {server.name: server for server in found.servers}
        assert by_name["d"].not_tried == "", "a secret in plain text does not keep the client from talking"
        assert (
            by_name["g"].not_tried == "headersHelper is a command of the user's, which mcpsmoke does not run"
        )
        assert by_name["h"].not_tried == "", "Claude Code goes on without it"

    def test_what_is_wrong_in_headers(self, read: Read) -> None:
        found = read(
            ".mcp.json",
            """
            {"mcpServers": {"e": {"type": "http", "url": "http://h/mcp", "headers": {
              "Authorization": "Bearer ${NOT_SET}",
              "X-Api-Key": "plain-secret",
              "X-Other": "${env:KEY:-plain-secret}",
              "bad name": "x",
              "X-Long": "a\\nb",
              "X-Placeholder-Key": "<your key>"
            }}}}
            """,
        )
        at = ".mcp.json:{}: mcpServers.e.headers.{}"
        assert problems(found) == [
            at.format(2, "Authorization") + ": the environment variable NOT_SET is not set;"
            " set NOT_SET, or give it with --env-file",
            at.format(3, "X-Api-Key") + ": a secret in plain text; write ${NAME}",
            at.format(4, "X-Other") + ": Claude Code does not fill in ${env:KEY:-…}; write ${KEY}",
            at.format(5, '"bad name"') + ": no name of a header; remove it",
            at.format(6, "X-Long") + ": a header holds plain ASCII on one line; write it so",
        ]

    def test_the_users_file_holds_servers_of_this_project_too(self, read: Read, tmp_path: Path) -> None:
        text = (
            '{"numStartups": 3, "mcpServers": {"a": {"command": "x"}},'
            f' "projects": {{"{tmp_path}": {{"mcpServers": {{"b": {{"command": "y"}}}}}}, "/else": {{}}}}}}'
        )
        found = read(".claude.json", text)
        assert problems(found) == []
        assert [server.name for server in found.servers] == ["a", "b"]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{\n'mcpServers': {}}", ".mcp.json:2: no JSON: a key in double quotes is missing (column 1);"
             ' write "key": value'),
            ("[]", ".mcp.json:1: not a table; write a table"),
            ("{}", ".mcp.json:1: no mcpServers; write it: a table of servers by name"),
            ('{\n"mcp_servers": {}}', ".mcp.json:2: mcp_servers: Claude Code knows no such key;"
             " write mcpServers"),
        ],
    )  # fmt: skip
    def test_what_is_no_configuration(self, read: Read, text: str, expected: str) -> None:
        found = read(".mcp.json", text)
        assert problems(found)[:1] == [expected] or problems(found)[1:] == [expected]
        assert found.servers == ()

    def test_what_is_not_utf8(self, tmp_path: Path) -> None:
        (tmp_path / ".mcp.json").write_bytes(b'{\n"mcpServers": "\xff"}')
        found = read_configuration(tmp_path / ".mcp.json", {}, name="x")
        assert problems(found) == ["x:2: not UTF-8; save it as UTF-8"]

    def test_a_byte_order_mark_is_fine(self, tmp_path: Path) -> None:
        (tmp_path / ".mcp.json").write_bytes(b'\xef\xbb\xbf{"mcpServers": {}}')
        assert problems(read_configuration(tmp_path / ".mcp.json", {})) == []


class TestClaudeDesktop:
    def test_a_program(self, read: Read) -> None:
        text = '{"mcpServers": {"a": {"command": "x", "args": []}}, "globalShortcut": "y"}'
        server = only(read("claude_desktop_config.json", text))
        assert (server.client, server.command) == ("claude-desktop", "x")

    def test_what_is_wrong(self, read: Read) -> None:
        found = read(
            "claude_desktop_config.json",
            """
            {"mcpServers": {
              "a": {"url": "http://h/mcp", "headers": {"a": "b"}},
              "b": {"command": "x", "args": ["${KEY}"], "env": {"TOKEN": "plain-secret"}},
              "c": {"args": ["x"]}
            }}
            """,
        )
        name = "claude_desktop_config.json"
        assert problems(found) == [
            f"{name}:2: mcpServers.a.url: Claude Desktop starts programs only, and skips a server with url;"
            " write command, or add the server as a connector",
            f"{name}:3: mcpServers.b.args[0]: Claude Desktop does not fill in ${{KEY}}; write the value",
            f"{name}:3: mcpServers.b.env.TOKEN: a secret in plain text;"
            " let the command read it from the environment or a key store",
            f"{name}:4: mcpServers.c: no command; write it",
        ]


class TestCursor:
    def test_good_ones(self, read: Read, tmp_path: Path) -> None:
        (tmp_path / "more.env").write_text("API_KEY=from-the-file\n", "utf-8")
        found = read(
            ".cursor/mcp.json",
            """
            {"mcpServers": {
              "a": {"url": "http://h/mcp", "headers": {"Authorization": "Bearer ${env:KEY}"}},
              "b": {"command": "${workspaceFolder}/x", "envFile": "${workspaceFolder}/more.env"}
            }}
            """,
        )
        assert problems(found) == []
        a, b = found.servers
        assert (a.client, a.transport, a.falls_back) == ("cursor", "http", True)
        assert a.headers == {"Authorization": f"Bearer {SECRET}"}
        assert (b.command, b.env["API_KEY"], b.cwd) == (f"{tmp_path}/x", "from-the-file", str(tmp_path))
        assert b.secrets == ("from-the-file",)

    def test_what_is_wrong(self, read: Read, tmp_path: Path) -> None:
        (tmp_path / "bad.env").write_text("A=1\nnonsense\n", "utf-8")
        found = read(
            ".cursor/mcp.json",
            """
            {"mcpServers": {
              "a": {"url": "http://h/mcp", "headers": {"X-Key": "${KEY}"}},
              "b": {"command": "x", "envFile": "nowhere.env"},
              "c": {"serverUrl": "http://h/mcp"},
              "d": {"command": "x", "envFile": "bad.env"}
            }}
            """,
        )
        assert problems(found) == [
            ".cursor/mcp.json:2: mcpServers.a.headers.X-Key: Cursor does not fill in ${KEY};"
            " write ${env:KEY}",
            ".cursor/mcp.json:3: mcpServers.b.envFile: the file cannot be read;"
            " write it, or correct the path",
            ".cursor/mcp.json:4: mcpServers.c.serverUrl: Cursor knows no such key; write url",
            ".cursor/mcp.json:4: mcpServers.c: neither command nor url; write one",
            "bad.env:2: no assignment; write NAME=value",
        ]


class TestVsCode:
    GOOD = """
        {
          // asked once, and kept
          "inputs": [{"type": "promptString", "id": "api-key", "description": "key", "password": true}],
          "servers": {
            "a": {"type": "http", "url": "http://h/mcp", "headers": {"X-Api-Key": "${input:api-key}"},},
          },
        }
        """

    def test_comments_are_fine_and_the_user_is_asked(self, read: Read) -> None:
        server = only(read(".vscode/mcp.json", self.GOOD))
        assert (server.client, server.not_tried) == ("vscode", "the user is asked for api-key")

    def test_a_variable_answers_for_the_user(self, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ENVIRON, "MCPSMOKE_INPUT_API_KEY", SECRET)
        server = only(read(".vscode/mcp.json", self.GOOD))
        assert (server.not_tried, server.headers) == ("", {"X-Api-Key": SECRET})
        assert server.secrets == (SECRET,)

    def test_settings_hold_servers_in_a_section(self, read: Read) -> None:
        section = '{"inputs": [], "servers": {"a": {"command": "x", "env": {"N": 1}}}}'
        text = f'{{"editor.fontSize": 3, "mcp": {section}}}'
        server = only(read(".vscode/settings.json", text))
        assert (server.transport, server.env["N"]) == ("stdio", "1")

    def test_sockets_are_not_tried(self, read: Read) -> None:
        text = '{"servers": {"a": {"type": "http", "url": "unix:///tmp/x.sock"}}}'
        assert only(read("mcp.json", text)).not_tried == "mcpsmoke speaks to no Unix sockets and pipes"

    def test_what_is_wrong(self, read: Read) -> None:
        found = read(
            ".vscode/mcp.json",
            """
            {
              "mcpServers": {},
              "inputs": [{"type": "promptString"}, {"id": []}],
              "servers": {
                "a": {"type": "http", "url": "http://h/mcp", "header": {}},
                "b": {"type": "stdio", "command": "x", "env": {"KEY": "${input:nobody}", "B": []}},
                "c": {"type": "stdio", "url": "http://h/mcp"}
              }
            }
            """,
        )
        assert problems(found) == [
            ".vscode/mcp.json:2: mcpServers: VS Code knows no such key; write servers",
            ".vscode/mcp.json:3: inputs[0]: an input without id; write its id",
            ".vscode/mcp.json:5: servers.a.header: VS Code knows no such key; write headers",
            ".vscode/mcp.json:6: servers.b.env.B: not a string; write it in quotes",
            ".vscode/mcp.json:6: servers.b.env.KEY: no input has the id nobody; add it to inputs",
            ".vscode/mcp.json:7: servers.c.type: does not suit url; write command, or another type",
        ]


class TestOpenWebUi:
    def test_good_ones(self, read: Read) -> None:
        found = read(
            ".env",
            """
            WEBUI_NAME=x
            OPENAI_API_BASE_URLS=http://a.test/v1;http://b.test/v1
            OPENAI_API_KEYS="${KEY};"
            TOOL_SERVER_CONNECTIONS='[
              {"type": "mcp", "url": "http://g.test/mcp", "path": "", "auth_type": "bearer",
               "key": "k-123456", "headers": {"x-mcp-servers": "postgres"}, "config": {"enable": true},
               "info": {"id": "gate"}},
              {"url": "http://t.test/time/", "path": "openapi.json", "auth_type": "none", "key": null,
               "config": {"enable": true}, "info": {"name": "time"}},
              {"url": "http://t.test", "path": "http://t.test/spec.json", "key": "k",
               "config": {"enable": false}},
              {"url": "http://t.test", "auth_type": "session", "config": {"enable": true}}
            ]'
            """,
        )
        assert problems(found) == []
        shown = [
            (server.name, server.line, server.transport, server.url, dict(server.headers), server.not_tried)
            for server in found.servers
        ]
        assert shown == [
            ("gate", 5, "http", "http://g.test/mcp",
             {"x-mcp-servers": "postgres", "Authorization": "Bearer k-123456"}, ""),
            ("time", 8, "openapi", "http://t.test/time/openapi.json", {}, ""),
            ("tools[2]", 10, "openapi", "http://t.test/spec.json", {"Authorization": "Bearer k"}, ""),
            ("tools[3]", 12, "openapi", "http://t.test/openapi.json", {}, "the user signs in (session)"),
            ("openai-1", 2, "openai", "http://a.test/v1", {"Authorization": f"Bearer {SECRET}"}, ""),
            ("openai-2", 2, "openai", "http://b.test/v1", {}, ""),
        ]  # fmt: skip
        assert [server.is_disabled for server in found.servers] == [False, False, True, False, False, False]
        assert found.servers[0].secrets == ("k-123456",)

    def test_one_address_that_is_switched_off(self, read: Read) -> None:
        text = "ENABLE_OPENAI_API=False\nOPENAI_API_BASE_URL=http://a.test/v1\nOPENAI_API_KEY=k\n"
        server = only(read("open-webui.env", text))
        assert (server.name, server.is_disabled, server.headers) == (
            "openai",
            True,
            {"Authorization": "Bearer k"},
        )

    def test_what_is_wrong(self, read: Read) -> None:
        found = read(
            ".env",
            """
            OPENAI_API_BASE_URLS=a.test/v1;http://b.test/v1
            OPENAI_API_KEYS=${NOT_SET}
            OPENAI_BASE_URL=x
            IMAGES_OPENAI_API_BASE_URL=y
            OLLAMA_API_BASE_URL=${NOT_OURS}
            TOOL_SERVER_CONNECTIONS='[
              {"type": "mcp", "url": "http://g.test/mcp", "auth_type": "bearer", "config": {"enable": true}},
              {"url": "http://t.test", "config": null, "mcpServers": {}},
              {"path": "x", "config": {}, "type": "sse", "auth_type": "magic"},
              {"type": "openapi", "config": {"enable": true}, "headers": {"x-mcp-servers": "a,a", "N": 1},
               "info": {"id": "x", "id": "y"}, "auth_type": "magic"},
              {"url": "http://t.test"}, 3
            ]'
            nonsense
            """,
        )
        tools = "TOOL_SERVER_CONNECTIONS"
        assert problems(found) == [
            ".env:1: OPENAI_API_BASE_URLS[0]: no http or https URL; write http://HOST:PORT/PATH",
            ".env:2: OPENAI_API_KEYS: ${NOT_SET} is not set; set NOT_SET, or write the value",
            ".env:3: OPENAI_BASE_URL: Open WebUI knows no such key; write OPENAI_API_BASE_URL",
            f'.env:7: {tools}[0]: Open WebUI finds an MCP server by its info.id; add "info": {{"id": "…",'
            ' "name": "…"}',
            f".env:7: {tools}[0].auth_type: no key to bear; write key, or auth_type none",
            f".env:8: {tools}[1].mcpServers: Open WebUI knows no such key; remove it",
            f".env:8: {tools}[1].config: not a table; write a table",
            f'.env:9: {tools}[2].config: without enable Open WebUI leaves the server out; add "enable": true',
            f".env:9: {tools}[2].type: Open WebUI knows no such type; write openapi or mcp",
            f".env:10: {tools}[3].headers.N: not a string; write a string",
            f".env:10: {tools}[3].headers.x-mcp-servers: entries 1 and 2 name the same server; remove one",
            f".env:10: {tools}[3]: no url; write it",
            f".env:11: {tools}[3].info.id: stands twice; line 11 is lost; keep one",
            f".env:11: {tools}[3].auth_type: Open WebUI knows no such auth_type;"
            " write one of none, bearer, session, system_oauth, oauth_2.1, oauth_2.1_static",
            f'.env:12: {tools}[4]: without config.enable Open WebUI leaves the server out; add "config":'
            ' {"enable": true}',
            f".env:12: {tools}[5]: not a table; write a table",
            ".env:14: no assignment; write NAME=value",
        ]

    def test_what_is_no_json_and_keys_that_do_not_fit(self, read: Read) -> None:
        text = "OPENAI_API_BASE_URLS=http://a\nOPENAI_API_KEYS=a;b\nTOOL_SERVER_CONNECTIONS=[{'url': 1}]\n"
        assert problems(read(".env", text)) == [
            ".env:2: OPENAI_API_KEYS: 2 keys for 1 addresses; give one for each, in their order",
            ".env:3: TOOL_SERVER_CONNECTIONS[0]: no JSON: a key in double quotes is missing (column 3);"
            ' write "key": value',
        ]
        assert problems(read(".env", "TOOL_SERVER_CONNECTIONS={}")) == [
            ".env:1: TOOL_SERVER_CONNECTIONS: not a list; write a list of tables"
        ]


class TestWhoseFileItIs:
    @pytest.mark.parametrize(
        ("name", "text", "client"),
        [
            ("x/config.toml", "", "codex"),
            (".mcp.json", "", "claude-code"),
            (".claude.json", "", "claude-code"),
            ("claude_desktop_config.json", "", "claude-desktop"),
            (".cursor/mcp.json", "", "cursor"),
            (".vscode/mcp.json", '{"mcpServers": {}}', "vscode"),
            ("Code/User/mcp.json", "", "vscode"),
            (".vscode/settings.json", "", "vscode"),
            ("mcp_servers.json", '{"mcpServers": {}}', "claude-code"),
            ("mcp.json", '{"servers" : {', "vscode"),
            (".env", "", "open-webui"),
            (".env.litellm", "", "open-webui"),
            ("open-webui.env", "", "open-webui"),
        ],
    )
    def test_name_or_content_tells(self, name: str, text: str, client: str) -> None:
        found = client_of(Path(name), text)
        assert found is not None
        assert found.name == client

    def test_neither_tells(self, read: Read) -> None:
        with pytest.raises(UsageProblem) as caught:
            read("some.json", "{}")
        assert str(caught.value) == (
            "some.json: neither name nor content tells whose configuration it is:"
            " --as codex|claude-code|claude-desktop|cursor|vscode|open-webui"
        )

    def test_it_may_be_said(self, read: Read) -> None:
        server = only(read("some.json", '{"servers": {"a": {"command": "x"}}}', client="vscode"))
        assert server.client == "vscode"

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageProblem, match=r"^x\.toml: cannot be read: No such file or directory$"):
            read_configuration(tmp_path / "x.toml", {}, name="x.toml")

    @pytest.mark.parametrize(
        ("platform", "environ", "desktop"),
        [
            ("linux", {}, "home/.config/Claude/claude_desktop_config.json"),
            ("linux", {"XDG_CONFIG_HOME": "/x"}, "/x/Claude/claude_desktop_config.json"),
            ("darwin", {}, "home/Library/Application Support/Claude/claude_desktop_config.json"),
            ("win32", {}, "home/AppData/Roaming/Claude/claude_desktop_config.json"),
            ("win32", {"APPDATA": "/a"}, "/a/Claude/claude_desktop_config.json"),
        ],
    )
    def test_usual_places(self, platform: str, environ: dict[str, str], desktop: str) -> None:
        places = usual_places(Path("home"), Path("project"), environ, platform)
        assert Path(desktop) in places
        assert places[0] == Path("home/.codex/config.toml")
        assert usual_places(Path("h"), Path("p"), {"CODEX_HOME": "/c"})[0] == Path("/c/config.toml")
        assert all(client_of(place, '{"mcpServers": {}}') for place in places), "each is recognised"

    def test_an_env_file_of_somebody_else_is_left_alone(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        assert not is_of_interest(file)
        file.write_text("OPENAI_API_KEY=x\n", "utf-8")
        assert not is_of_interest(file)
        file.write_text("A=1\nexport OPENAI_API_BASE_URL = x\n", "utf-8")
        assert is_of_interest(file)

    def test_names_are_unique(self) -> None:
        assert len({client.name for client in CLIENTS}) == len(CLIENTS) == 6
