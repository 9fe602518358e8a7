"""The command mcpsmoke clients, as a process of its own with a home of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_mcpsmoke.cli.clients import CLIENTS as NAMES
from pytest_mcpsmoke.cli.main import main
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.readiness.configurations.clients import CLIENTS

KEY = "k-0123456789"
RUN = "import sys; from pytest_mcpsmoke.cli.main import main; sys.exit(main())"
DROPPED = (
    "CODEX_HOME",
    "XDG_CONFIG_HOME",
    "APPDATA",
    "PYTHONDEVMODE",
)  # the last: asyncio tells what is slow
PLACES = (
    "~/.codex/config.toml, ~/.claude.json, ~/.config/Claude/claude_desktop_config.json, ~/.cursor/mcp.json,"
    " ~/.config/Code/User/mcp.json, ~/.config/Code/User/settings.json, .codex/config.toml, .mcp.json,"
    " mcp_servers.json, .cursor/mcp.json, .vscode/mcp.json, .vscode/settings.json, .env"
)


class Folder:
    """A project and a home, in which the command is called."""

    def __init__(self, path: Path) -> None:
        self.home = path / "home"
        self.project = path / "project"
        for folder in (self.home, self.project):
            folder.mkdir()

    def write(self, name: str, text: str, *, home: bool = False) -> None:
        path = (self.home if home else self.project) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def servers(self, name: str = ".mcp.json", **servers: Any) -> None:
        self.write(name, json.dumps({"mcpServers": servers}))

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        env = {name: value for name, value in os.environ.items() if name not in DROPPED}
        return subprocess.Popen(
            [sys.executable, "-c", RUN, "clients", *arguments],
            cwd=self.project,
            env={**env, "HOME": str(self.home), "USERPROFILE": str(self.home), **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def call(self, *arguments: str, **environ: str) -> tuple[int, str, str]:
        """Run the command; its status, and what it says, without durations."""
        with self.start(*arguments, **environ) as process:
            out, err = process.communicate(timeout=120)
        assert KEY not in out + err
        return process.returncode, re.sub(r"\d+\.\d s$", "N s", out, flags=re.MULTILINE), err


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("gateway") as made:
        made.tool("add", result="3")
        yield made


def test_the_usual_places(folder: Folder, up: McpUpstream, dead_host: str) -> None:
    up.tokens(good=KEY)
    dead = f"{dead_host}/mcp"
    codex = f'[mcp_servers.litellm]\nurl = "{up.http()}"\nbearer_token_env_var = "LITELLM_KEY"\n'
    folder.write(".codex/config.toml", codex, home=True)
    folder.servers(
        gateway={"type": "http", "url": up.http(), "headers": {"X-Key": "${NOT_SET}"}},
        keyless={"type": "sse", "url": up.sse()},
        dead={"type": "http", "url": dead},
    )
    folder.write(".env", "UNRELATED=1\n")
    status, out, err = folder.call(LITELLM_KEY=KEY)
    assert out == (
        "~/.codex/config.toml  codex\n"
        ".mcp.json  claude-code\n"
        "\n"
        ".mcp.json:1: mcpServers.gateway.headers.X-Key: the environment variable NOT_SET is not set;"
        " set NOT_SET, or give it with --env-file\n"
        "\n"
        "codex        litellm  http  CATALOG (1 tool)  N s\n"
        "claude-code  gateway  http  NOT_TRIED\n"
        "    line 1: the environment variable NOT_SET is not set\n"
        "    mend the configuration\n"
        "claude-code  keyless  sse   AUTH_REQUIRED     N s\n"
        "    GET was answered 401 Unauthorized application/json, WWW-Authenticate: Bearer"
        f' resource_metadata="{up.sse()[:-4]}/.well-known/oauth-protected-resource"\n'
        "    give the server its key: headers in .mcp.json, line 1\n"
        "claude-code  dead     http  ERROR             N s\n"
        f"    no connection: Connect call failed ('127.0.0.1', {dead[17:-4]})\n"
        "    start the server, or check host and port\n"
        "\n"
        "1 of 4 servers green; 1 problem in 2 files\n"
    )
    assert (status, err) == (1, "")


def test_all_green_with_a_call_and_variables_of_a_file(folder: Folder, up: McpUpstream) -> None:
    up.tokens(good=KEY)
    headers = {"Authorization": "Bearer ${LITELLM_KEY}", "x-mcp-servers": "postgres"}
    folder.servers(litellm={"type": "http", "url": up.http(), "headers": headers})
    folder.write("keys.env", f"LITELLM_KEY='{KEY}'\n")
    found = folder.call(".mcp.json", "--env-file", "keys.env", "--call", "add", "{}")
    assert found == (
        0,
        "claude-code  litellm  http  CATALOG (1 tool)  N s\n"
        "    add answered: 3\n"
        "\n"
        "1 of 1 server green; 0 problems in 1 file\n",
        "",
    )
    assert {tuple(request.header("x-mcp-servers")) for request in up.journal} == {("postgres",)}


def test_evidence_and_json_hold_everything_but_secrets(folder: Folder, up: McpUpstream) -> None:
    up.tokens(good=KEY)
    headers = {"Authorization": "Bearer ${LITELLM_KEY}", "x-mcp-servers": "postgres"}
    folder.servers(
        litellm={"type": "http", "url": f"{up.http()}?api_key={KEY}", "headers": headers},
        broken={"command": 3},
    )
    status, out, err = folder.call(".mcp.json", "--json", "--evidence", "proof/run", LITELLM_KEY=KEY)
    assert (status, err) == (1, "")
    shown = json.loads(out)
    seconds = [row.pop("seconds") for row in shown["rows"]]
    assert seconds[0] > 0 == seconds[1]
    where = {"client": "claude-code", "file": ".mcp.json", "line": 1, "call": None}
    assert shown == {
        "type": "clients",
        "schema": 1,
        "is_green": False,
        "files": [{"file": ".mcp.json", "client": "claude-code"}],
        "problems": [
            {
                "file": ".mcp.json",
                "line": 1,
                "key": "mcpServers.litellm.url",
                "text": "a secret in plain text",
                "remedy": "send it in a header, from a variable",
            },
            {
                "file": ".mcp.json",
                "line": 1,
                "key": "mcpServers.broken.command",
                "text": "not a string",
                "remedy": "write a string",
            },
        ],
        "rows": [
            {
                **where,
                "server": "litellm",
                "transport": "http",
                "url": f"{up.http()}?api_key=***",
                "headers": {"Authorization": "***", "x-mcp-servers": "***"},
                "verdict": "CATALOG",
                "offered": 1,
                "detail": "a catalogue of 1 tool",
                "remedy": None,
                "is_green": True,
            },
            {
                **where,
                "server": "broken",
                "transport": None,
                "url": None,
                "headers": {},
                "verdict": "NOT_TRIED",
                "offered": None,
                "detail": "line 1: not a string",
                "remedy": "mend the configuration",
                "is_green": False,
            },
        ],
    }
    proof = folder.project / "proof" / "run"
    files = {path.relative_to(proof).as_posix(): path.read_text("utf-8") for path in proof.rglob("*.*")}
    assert sorted(files) == [
        "clients.json",
        "events/01-claude-code-litellm.jsonl",
        "events/02-claude-code-broken.jsonl",
    ]
    assert json.loads(files["clients.json"])["problems"] == shown["problems"]
    events = [json.loads(line) for line in files["events/01-claude-code-litellm.jsonl"].splitlines()]
    assert events[0]["what"] == "request"
    assert "x-mcp-servers: ***" in events[0]["headers"]
    assert not any(KEY in text or "postgres" in text for text in files.values())


def test_reading_only(folder: Folder) -> None:
    folder.servers(a={"command": "no-such-program"}, b={"type": "http", "url": "http://127.0.0.1:9/mcp"})
    assert folder.call(".mcp.json", "--no-connect") == (
        0,
        "claude-code  a  stdio  NOT_ASKED\n"
        "claude-code  b  http   NOT_ASKED\n"
        "\n"
        "2 servers, none asked; 0 problems in 1 file\n",
        "",
    )


def test_chosen_servers_of_a_file_with_any_name(folder: Folder, dead_host: str) -> None:
    folder.write(
        "team.json", f'{{"servers": {{"a": {{"url": "{dead_host}/mcp"}}, "b": {{"command": "x"}}}}}}'
    )
    status, out, _ = folder.call("team.json", "--as", "vscode", "--server", "a")
    assert (status, out.splitlines()[0]) == (1, "vscode  a  http  ERROR  N s")
    assert out.splitlines()[-1] == "0 of 1 server green; 0 problems in 1 file"


def test_nothing_configured_is_not_green(folder: Folder) -> None:
    folder.servers()
    expected = (1, "no server is configured; 0 problems in 1 file\n", "")
    assert folder.call(".mcp.json") == expected
    assert folder.call(".mcp.json", "--no-connect") == expected


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is POSIX's")
def test_an_interruption_leaves_what_was_found(folder: Folder, up: McpUpstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        port = listener.getsockname()[1]
        folder.servers(silent={"type": "http", "url": f"http://127.0.0.1:{port}/mcp"})
        with folder.start(".mcp.json", "--timeout", "100") as process:
            line, _ = listener.accept()  # it is being asked
            with line:
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (1, "mcpsmoke clients: interrupted\n")
    assert out == (
        "claude-code  silent  http  NOT_TRIED\n"
        "    interrupted\n"
        "    run it again\n"
        "\n"
        "0 of 1 server green; 0 problems in 1 file\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], f"no configuration of a client found: name a FILE, or write one of {PLACES}"),
        (["nowhere.json"], "nowhere.json: cannot be read: No such file or directory"),
        (
            ["some.json"],
            "some.json: neither name nor content tells whose configuration it is:"
            " --as codex|claude-code|claude-desktop|cursor|vscode|open-webui",
        ),
        (["--as", "codex"], "--as goes with FILE: what stands in the usual places is known"),
        (
            ["some.json", "--as", "cursor", "--server", "x"],
            "--server x: no such server; configured: a, b",
        ),
        (["some.json", "--timeout", "0"], "--timeout 0: not a number of seconds above 0"),
        (["some.json", "--call", "t", "[]"], "--call t: the arguments are no JSON object;"
         ' give one like \'{"a": 1}\''),
        (["some.json", "--env-file", "no"], "--env-file no: cannot be read: No such file or directory"),
        (["some.json", "--env-file", "bad.env"], "--env-file bad.env:2: no assignment; write NAME=value"),
        (
            ["some.json", "--as", "cursor", "--no-connect", "--evidence", "some.json"],
            "--evidence some.json: cannot be written: Not a directory",
        ),
    ],
)  # fmt: skip
def test_bad_usage(
    folder: Folder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    complaint: str,
) -> None:
    if arguments:
        folder.write("some.json", '{"mcpServers" : {"b": {"command": "x"}, "a": {"command": "x"}}}')
        if "--as" not in arguments:
            folder.write("some.json", "{}")
        folder.write("bad.env", "A=1\nb\n")
    monkeypatch.chdir(folder.project)
    monkeypatch.setenv("HOME", str(folder.home))
    for name in DROPPED:
        monkeypatch.delenv(name, raising=False)
    status = main(["clients", *arguments])
    assert (status, *capsys.readouterr()) == (2, "", f"mcpsmoke: {complaint}\n")


def test_what_needs_the_extra_names_it(folder: Folder) -> None:
    folder.servers(a={"command": "x"})
    without = "import sys\nfor name in ('mcp', 'anyio', 'httpx', 'httpx2'): sys.modules[name] = None\n"
    for arguments, status, said in (
        (["--no-connect"], 0, "1 server, none asked; 0 problems in 1 file"),
        (
            [],
            2,
            "mcpsmoke: mcpsmoke clients needs mcp, which is not installed:"
            " pip install 'pytest-mcpsmoke[mcp]'",
        ),
    ):
        command = [sys.executable, "-c", without + RUN, "clients", ".mcp.json", *arguments]
        done = subprocess.run(
            command, cwd=folder.project, capture_output=True, encoding="utf-8", timeout=60, check=False
        )
        assert (done.returncode, (done.stdout + done.stderr).splitlines()[-1]) == (status, said)


def test_names_of_clients_are_those_of_the_readers() -> None:
    assert tuple(client.name for client in CLIENTS) == NAMES


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from pytest_mcpsmoke.cli.main import main\n"
        "try: main(['clients', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = ('mcp', 'httpx', 'httpx2', 'anyio', 'tomllib', 'pytest_mcpsmoke.readiness')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.splitlines()[-1] == "[]"
