"""mcpsmoke probe: says what answers at a URL, and whether that is what was wanted."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from pytest_mcpsmoke.cli.arguments import read_call, read_seconds
from pytest_mcpsmoke.cli.exits import Exit
from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:
    from pytest_mcpsmoke.readiness.events import Event
    from pytest_mcpsmoke.readiness.routes import Route
    from pytest_mcpsmoke.readiness.verdict import Call, Probed

_DESCRIPTION: Final = """Speak MCP to a URL, over streamable HTTP or SSE, with the official SDK, and say what
answers: CATALOG, EMPTY_CATALOG, PINGS_ONLY, WRONG_METHOD, AUTH_REQUIRED, FORBIDDEN,
ERROR or TIMEOUT, with what was seen and what to do next."""
_EXAMPLES: Final = """examples:
  mcpsmoke probe http://127.0.0.1:8000/mcp
  mcpsmoke probe https://gateway.example/mcp --bearer-env GATEWAY_KEY --expect CATALOG=3+
  mcpsmoke probe https://gateway.example/mcp --expect AUTH_REQUIRED --public /ui /docs --protected /mcp
  mcpsmoke probe http://127.0.0.1:8000/mcp --call add '{"a": 1, "b": 2}' --log probe.jsonl --json

exit status: 0 as wanted, 1 not, 2 bad usage"""
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # the name of a header, RFC 9110


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "probe",
        help="say what answers at a URL: a catalogue, only pings, …",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="http:// or https://, with the path of MCP")
    parser.add_argument("--transport", choices=("auto", "http", "sse"), default="auto", help="default: auto")
    parser.add_argument(
        "--timeout", default="10", metavar="SECONDS", help="for the whole probe, by the clock; default: 10"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="'NAME: VALUE'", help="send a header; repeatable"
    )
    parser.add_argument("--bearer-env", metavar="VAR", help="send the key that an environment variable holds")
    parser.add_argument(
        "--expect",
        action="append",
        metavar="VERDICT",
        help="what is green; CATALOG=3: exactly 3 tools, CATALOG=3+: at least 3;"
        " repeat for alternatives; default: CATALOG",
    )
    for name, text in (("public", "answer below 400"), ("protected", "answer 401 with WWW-Authenticate")):
        parser.add_argument(
            f"--{name}", nargs="+", action="extend", default=[], metavar="PATH",
            help=f"paths that have to {text} without a key",
        )  # fmt: skip
    parser.add_argument(
        "--call", nargs=2, metavar=("TOOL", "JSON"), help="call a tool with these arguments; an error is red"
    )
    parser.add_argument("--log", metavar="PATH", help="write what travelled, one JSON object a line")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(run=run)


class Expected(NamedTuple):
    """One verdict that is green."""

    text: str
    verdict: str
    least: int | None
    most: int | None

    @classmethod
    def of(cls, text: str) -> Expected:
        """Read `VERDICT`, `VERDICT=N` or `VERDICT=N+`. Raises UsageProblem."""
        from pytest_mcpsmoke.readiness.verdict import Verdict

        verdict, sign, number = text.partition("=")
        if verdict not in Verdict.__members__:
            raise UsageProblem(f"--expect {text}: no such verdict; one of {', '.join(Verdict)}")
        if not sign:
            return cls(text, verdict, None, None)
        found = re.fullmatch(r"(\d{1,9})(\+?)", number)
        if found is None or verdict != Verdict.CATALOG:
            raise UsageProblem(
                f"--expect {text}: a number of tools goes as CATALOG=3, or CATALOG=3+ for at least 3"
            )
        least = int(found[1])
        return cls(text, verdict, least, None if found[2] else least)

    def fits(self, probed: Probed) -> bool:
        """Whether this is what was found."""
        if probed.verdict != self.verdict:
            return False
        return (self.least or 0) <= len(probed.tools) and (
            self.most is None or len(probed.tools) <= self.most
        )


def run(options: argparse.Namespace) -> Exit:
    """Probe, and say what was found. Raises UsageProblem; then nothing was asked."""
    from pytest_mcpsmoke.readiness.probing import check_url
    from pytest_mcpsmoke.readiness.routes import check_path
    from pytest_mcpsmoke.readiness.telling import as_object, probe_lines

    check_url(options.url)
    wanted = [Expected.of(text) for text in options.expect or ["CATALOG"]]
    for name in ("public", "protected"):
        for path in getattr(options, name):
            check_path(path, name)
    headers, call, timeout_s = _headers(options), read_call(options.call), read_seconds(options.timeout)
    with _log(options.log) as on_event:
        try:
            probed, routes = asyncio.run(_probe(options, headers, call, timeout_s, on_event))
        except KeyboardInterrupt:
            print("mcpsmoke probe: interrupted", file=sys.stderr)
            return Exit.RED
    is_called = probed.call is None or not probed.call.is_error
    is_green = any(each.fits(probed) for each in wanted) and is_called and all(one.is_fine for one in routes)
    told = [each.text for each in wanted]
    if options.json:
        print(json.dumps(as_object(probed, told, routes, is_green), ensure_ascii=False))
    else:
        print("\n".join(probe_lines(probed, told, routes, is_green)))
    return Exit.GREEN if is_green else Exit.RED


async def _probe(
    options: argparse.Namespace,
    headers: dict[str, str],
    call: Call | None,
    timeout_s: float,
    on_event: Callable[[Event], object] | None,
) -> tuple[Probed, list[Route]]:
    from pytest_mcpsmoke.readiness.probing import probe
    from pytest_mcpsmoke.readiness.routes import check_routes

    probed = await probe(
        options.url,
        headers=headers,
        transport=options.transport,
        timeout_s=timeout_s,
        call=call,
        on_event=on_event,
    )
    return probed, await check_routes(options.url, options.public, options.protected, timeout_s=timeout_s)


def _headers(options: argparse.Namespace) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in options.header:
        name, sign, value = text.partition(":")
        if not sign or not _TOKEN.fullmatch(name) or not value.strip().isprintable():
            raise UsageProblem(f"--header {_name(text)}: not a header; give one like 'X-Team: blue'")
        if name.lower() in map(str.lower, headers):
            raise UsageProblem(f"--header {name}: given twice; give it once")
        headers[name] = value.strip()
    if options.bearer_env is not None:
        if "authorization" in map(str.lower, headers):
            raise UsageProblem("--bearer-env and --header Authorization: give one of them")
        key = os.environ.get(options.bearer_env, "").strip()
        if not key or not key.isprintable():
            raise UsageProblem(f"--bearer-env {options.bearer_env}: not set; export {options.bearer_env}=…")
        headers["Authorization"] = f"Bearer {key}"
    if "@" in urlsplit(options.url).netloc and "authorization" in map(str.lower, headers):
        raise UsageProblem("the URL names a user, and an Authorization is given: give one of them")
    for name, value in headers.items():
        if not value.isascii():
            raise UsageProblem(f"{name}: its value is not ASCII; a header carries no other characters")
    return headers


def _name(text: str) -> str:
    """The name of a header only: what looks like none may still hold a key."""
    return repr(text.partition(":")[0][:40]) if ":" in text else "without a colon"


@contextmanager
def _log(path: str | None) -> Iterator[Callable[[Event], object] | None]:
    """Give what writes an event to the log as it happens, so that an interruption leaves what was seen."""
    from pytest_mcpsmoke.readiness.telling import event_object

    if path is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
        except OSError as error:
            raise UsageProblem(f"--log {path}: cannot be written: {error.strerror}") from error
        yield lambda event: print(json.dumps(event_object(event)), file=file, flush=True)
