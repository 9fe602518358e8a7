"""The command: what it prints, its exit status, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clocks import LONG, run
from endpoints import PINGS, REFUSED, by_method, refusing, served, silent, streaming

from pytest_mcpsmoke.cli import probe
from pytest_mcpsmoke.cli.main import main
from pytest_mcpsmoke.doubles.upstream import McpUpstream
from pytest_mcpsmoke.readiness.verdict import Verdict

Printed = Callable[..., list[str]]
COMMAND = str(Path(sys.executable).parent / "mcpsmoke")
MODERN = r"streamable HTTP, protocol [\d-]+, server files, \d+\.\d\d s"


def call(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "probe", *arguments],
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **env},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def masked(text: str) -> list[str]:
    """Printed lines, without seconds."""
    return re.sub(r"\d+\.\d\d s", "0.00 s", text).splitlines()


def from_a_shell(status: int, *arguments: str) -> list[str]:
    """What the command prints, in a process of its own."""
    done = call(*arguments)
    assert (done.returncode, done.stderr) == (status, ""), done.stdout
    return masked(done.stdout)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Runs the command in this process; returns what it prints with an exit status."""

    def run(status: int, *arguments: str) -> list[str]:
        assert main(["probe", *arguments]) == status
        out, err = capsys.readouterr()
        assert err == ""
        return masked(out)

    return run


@pytest.fixture
def up() -> Iterator[McpUpstream]:
    with McpUpstream("files") as made:
        made.tool("add", result="3")
        made.tool("read", result=ValueError("no such file"))
        yield made


def test_a_catalogue(up: McpUpstream) -> None:
    url = up.http()
    head, *rest = from_a_shell(0, url, "--expect", "CATALOG=2", "--call", "add", '{"a": 1}')
    assert re.fullmatch(rf"CATALOG \(2 tools\)  {url}  {MODERN}", head)
    assert rest == ["  a catalogue of 2 tools", "  tools: add, read", "  call of add: 3"]


def test_only_pings() -> None:
    with served(by_method(streaming(b": ping\n\n" * 3, ends=True), REFUSED), "/mcp/tools") as url:
        assert from_a_shell(1, url) == [
            f"PINGS_ONLY  {url}  event stream, 0.00 s",
            "  GET was answered 200 OK text/event-stream: 3 pings, no event",
            f"  0.00 s  request   POST {url}",
            "  0.00 s  response  405 Method Not Allowed",
            f"  0.00 s  request   POST {url}",
            "  0.00 s  response  405 Method Not Allowed",
            f"  0.00 s  request   GET {url}",
            "  0.00 s  response  200 OK text/event-stream",
            "  0.00 s  comment   ping  (3 times)",
            "  wanted: CATALOG",
            "  do: it is up but has no catalogue to give: check in its log which upstream servers did not"
            " start or cannot be reached",
        ]


def test_a_refused_connection() -> None:
    with refusing() as url:
        head, detail, *rest = from_a_shell(1, url)
    assert head == f"ERROR  {url}  streamable HTTP, 0.00 s"
    assert detail.startswith("  no connection: ")
    assert rest == [
        f"  0.00 s  request   POST {url}",
        "  wanted: CATALOG",
        "  do: start the server, or check host and port",
    ]


def test_what_the_sdk_logs_stays_off_standard_error(up: McpUpstream) -> None:
    up.fault.malformed(on="tools/list")
    assert from_a_shell(1, up.http())[1] == (
        "  POST (tools/list) was answered 200 OK application/json, but with no message of MCP"
    )


class TestExpectations:
    @pytest.mark.parametrize(
        ("wanted", "status"),
        [
            (["CATALOG"], 0),
            (["CATALOG=2"], 0),
            (["CATALOG=2+"], 0),
            (["CATALOG=1+"], 0),
            (["CATALOG=1"], 1),
            (["CATALOG=3+"], 1),
            (["EMPTY_CATALOG"], 1),
            (["EMPTY_CATALOG", "CATALOG"], 0),
        ],
    )
    def test_of_a_catalogue(self, printed: Printed, up: McpUpstream, wanted: list[str], status: int) -> None:
        options = [word for each in wanted for word in ("--expect", each)]
        lines = printed(status, up.http(), *options)
        assert (f"  wanted: {' or '.join(wanted)}" in lines) is bool(status)

    def test_of_a_refusal_with_the_routes_around_it(self, printed: Printed, up: McpUpstream) -> None:
        up.tokens(good="good-token-1")
        url = up.http()
        head, detail, *rest = printed(
            1, url, "--expect", "AUTH_REQUIRED", "--protected", "/mcp", "/x", "--public", "/ui"
        )
        assert head == f"AUTH_REQUIRED  {url}  streamable HTTP, 0.00 s"
        assert detail.startswith("  POST (initialize) was answered 401 Unauthorized application/json, WWW-")
        metadata = url.removesuffix("/mcp") + "/.well-known/oauth-protected-resource"
        challenge = f'401, WWW-Authenticate: Bearer resource_metadata="{metadata}"'
        assert rest[:3] == [
            "  public /ui: not so: 401",
            f"  protected /mcp: {challenge}",
            f"  protected /x: {challenge}",
        ]
        assert printed(0, url, "--expect", "AUTH_REQUIRED", "--protected", "/mcp")

    def test_an_error_of_the_tool_is_red(self, printed: Printed, up: McpUpstream) -> None:
        lines = printed(1, up.http(), "--call", "read", "{}")
        assert lines[3] == "  call of read: error: no such file"

    def test_a_call_that_was_not_made_is_red(self, printed: Printed) -> None:
        with refusing() as url:
            lines = printed(1, url, "--expect", "ERROR", "--call", "read", "{}")
        assert lines[2] == "  call of read: error: not made"


class TestKeys:
    def test_come_from_the_environment_and_are_never_shown(self, up: McpUpstream, tmp_path: Path) -> None:
        up.tokens(good="good-token-1")
        log = tmp_path / "log.jsonl"
        done = call(up.http(), "--bearer-env", "KEY", "--json", "--log", str(log), KEY="good-token-1")
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout)["verdict"] == "CATALOG"
        assert "good-token-1" not in done.stdout + log.read_text("utf-8")

    def test_or_as_a_header(self, printed: Printed, up: McpUpstream) -> None:
        up.tokens(good="good-token-1")
        assert printed(0, up.http(), "--header", "authorization:Bearer good-token-1", "--header", "X-Team: a")
        assert up.calls[-1].entry.header("x-team") == ["a"]


def test_json(up: McpUpstream, tmp_path: Path) -> None:
    log, url = tmp_path / "log.jsonl", up.http()
    done = call(url, "--json", "--public", "/nope", "--log", str(log))
    told: dict[str, Any] = json.loads(done.stdout)
    events, seconds, protocol = told.pop("events"), told.pop("seconds"), told.pop("protocol")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (1, 1, "")
    assert told == {
        "type": "probe",
        "schema": 1,
        "url": url,
        "transport": "http",
        "verdict": "CATALOG",
        "tools": ["add", "read"],
        "server": "files",
        "detail": "a catalogue of 2 tools",
        "remedy": None,
        "call": None,
        "routes": [{"path": "/nope", "wanted": "public", "status": 404, "is_fine": False, "detail": "404"}],
        "wanted": ["CATALOG"],
        "is_as_wanted": False,
    }
    assert 0 < seconds < 60
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", protocol)
    assert [json.loads(line) for line in log.read_text("utf-8").splitlines()] == events
    assert set(events[0]) == {"at", "what", "text", "headers"}


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_an_interruption_leaves_what_was_seen(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with served(by_method(streaming(repeat=PINGS), REFUSED)) as url:
        running = subprocess.Popen(
            [COMMAND, "probe", url, "--timeout", "50", "--log", str(log)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        try:
            while not log.exists() or "comment" not in log.read_text("utf-8"):
                assert running.poll() is None, running.communicate()
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=50)
        finally:
            running.kill()
            running.wait()
    assert (running.returncode, out, err) == (1, "", "mcpsmoke probe: interrupted\n")
    assert json.loads(log.read_text("utf-8").splitlines()[0])["what"] == "request"


def test_time_is_over(printed: Printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    until_asked = SimpleNamespace(run=lambda work: run(lambda: work, is_late=log.read_text))
    monkeypatch.setattr(probe, "asyncio", until_asked)
    with silent() as url:
        lines = printed(1, url, "--timeout", str(LONG), "--log", str(log))
    assert lines[:2] == [
        f"TIMEOUT  {url}  streamable HTTP, 0.00 s",
        "  no answer to POST (server/discover)",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["mcp"], "mcp: not a URL; give one like http://127.0.0.1:8000/mcp"),
        (["http://h/", "--timeout", "0"], "--timeout 0: not a number of seconds above 0"),
        (["http://h/", "--timeout", "nan"], "--timeout nan: not a number of seconds above 0"),
        (["http://h/", "--bearer-env", "NO_SUCH"], "--bearer-env NO_SUCH: not set; export NO_SUCH=…"),
        (
            ["http://h/", "--header", "secret"],
            "--header without a colon: not a header; give one like 'X-Team: blue'",
        ),
        (["http://h/", "--header", "a b: c"], "--header 'a b': not a header; give one like 'X-Team: blue'"),
        (["http://h/", "--header", "a: b", "--header", "A: c"], "--header A: given twice; give it once"),
        (
            ["http://h/", "--header", "a: ä"],
            "a: its value is not ASCII; a header carries no other characters",
        ),
        (
            ["http://h/", "--header", "Authorization: x", "--bearer-env", "HOME"],
            "--bearer-env and --header Authorization: give one of them",
        ),
        (
            ["http://u@h/", "--bearer-env", "HOME"],
            "the URL names a user, and an Authorization is given: give one of them",
        ),
        (
            ["http://h/", "--expect", "GREEN"],
            "--expect GREEN: no such verdict; one of CATALOG, EMPTY_CATALOG, PINGS_ONLY, WRONG_METHOD,"
            " AUTH_REQUIRED, FORBIDDEN, ERROR, TIMEOUT",
        ),
        (
            ["http://h/", "--expect", "CATALOG=many"],
            "--expect CATALOG=many: a number of tools goes as CATALOG=3, or CATALOG=3+ for at least 3",
        ),
        (["http://h/", "--public", "ui"], "--public 'ui': not a path; give one like /docs"),
        (
            ["http://h/", "--call", "add", "{"],
            "--call add: the arguments are not JSON: Expecting property name enclosed in double quotes:"
            " line 1 column 2 (char 1)",
        ),
        (
            ["http://h/", "--call", "add", "[1]"],
            "--call add: the arguments are no JSON object; give one like '{\"a\": 1}'",
        ),
        (
            ["http://h/", "--log", "/no/such/log"],
            "--log /no/such/log: cannot be written: No such file or directory",
        ),
    ],
)
def test_bad_usage_is_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:

    assert main(["probe", *arguments]) == 2
    assert capsys.readouterr() == ("", f"mcpsmoke: {problem}\n")


def test_a_missing_extra_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:

    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["probe", "http://127.0.0.1:9/"]) == 2
    assert capsys.readouterr() == (
        "",
        "mcpsmoke: mcpsmoke probe needs mcp, which is not installed: pip install 'pytest-mcpsmoke[mcp]'\n",
    )


class _Stop(Exception):
    """Raised instead of probing."""


def test_help_has_examples_that_the_command_can_read(monkeypatch: pytest.MonkeyPatch) -> None:

    async def stop(*_: Any) -> None:
        raise _Stop

    monkeypatch.setattr(probe, "_probe", stop)
    monkeypatch.setenv("GATEWAY_KEY", "key-of-the-gateway")
    monkeypatch.setattr(probe, "_log", lambda path: nullcontext())
    examples = re.findall(r"^  mcpsmoke (probe http.*)$", call("--help").stdout, re.MULTILINE)
    assert len(examples) == 4
    for example in examples:
        with pytest.raises(_Stop):
            main(shlex.split(example))


def test_the_page_has_every_verdict_and_every_option() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/reference/probe.md").read_text("utf-8")
    verdicts, options = (
        page.partition(f"\n## {name}\n")[2].partition("\n## ")[0] for name in ("Verdicts", "Options")
    )
    assert re.findall(r"^\| `(\w+)` \|", verdicts, re.MULTILINE) == list(Verdict)
    told = re.findall(r"^\| `(--[\w-]+)` \|", options, re.MULTILINE)
    assert told == re.findall(r"^  (--[\w-]+)", call("--help").stdout, re.MULTILINE)
