"""mcpsmoke clients: what is wrong in the configurations of MCP clients, and what each client would see."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_mcpsmoke.cli.arguments import read_call, read_seconds
from pytest_mcpsmoke.cli.exits import Exit
from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:
    from pytest_mcpsmoke.readiness.configurations.model import Configuration, Server
    from pytest_mcpsmoke.readiness.matrix import Row
    from pytest_mcpsmoke.readiness.verdict import Call

CLIENTS: Final = ("codex", "claude-code", "claude-desktop", "cursor", "vscode", "open-webui")
_EXAMPLES: Final = """examples:
  mcpsmoke clients                              what stands in the usual places
  mcpsmoke clients ~/.codex/config.toml .mcp.json
  mcpsmoke clients litellm.json --as vscode --no-connect
  mcpsmoke clients .mcp.json --server litellm --call add '{"a": 1, "b": 2}' --json

exit status: 0 all green, 1 not, 2 bad usage"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "clients",
        help="check the configurations of MCP clients, and talk to their servers as they would",
        description="Read the configurations of Codex, Claude, Cursor, VS Code and Open WebUI, say what is"
        " wrong in them (file, line, key), and talk to each configured server as that client would, with its"
        " headers: initialise, list, and call if asked to.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "files", nargs="*", metavar="FILE", help="a configuration; default: those in the usual places"
    )
    parser.add_argument(
        "--as", dest="client", choices=CLIENTS, metavar="CLIENT",
        help=f"whose the files are, where their names do not tell: {', '.join(CLIENTS)}",
    )  # fmt: skip
    parser.add_argument(
        "--server", action="append", default=[], metavar="NAME", help="only this server; repeatable"
    )
    parser.add_argument(
        "--timeout", default="10", metavar="SECONDS", help="for each server, by the clock; default: 10"
    )
    parser.add_argument(
        "--call", nargs=2, metavar=("TOOL", "JSON"),
        help="call a tool of each MCP server with these arguments; an error is red",
    )  # fmt: skip
    parser.add_argument("--no-connect", action="store_true", help="read the files only")
    parser.add_argument(
        "--env-file", metavar="PATH", help="variables that the clients have beside those of this environment"
    )
    parser.add_argument(
        "--evidence", metavar="DIR", help="write clients.json, and what travelled for each row, to a folder"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Exit:
    """Read, talk, and say what was found. Raises UsageProblem; then no server was asked."""
    from pytest_mcpsmoke.readiness.matrix import NOT_ASKED, Row
    from pytest_mcpsmoke.readiness.matrix_text import as_object, is_green, matrix_lines, write_evidence

    timeout_s, call = read_seconds(options.timeout), read_call(options.call)
    configurations = _read(options)
    servers = _selected(configurations, options.server)
    rows = [Row(server, NOT_ASKED) for server in servers]
    is_asked = not options.no_connect
    is_whole = _ask(servers, rows, timeout_s, call) if is_asked else True
    if options.evidence is not None:
        write_evidence(Path(options.evidence), configurations, rows, is_asked=is_asked)
    if options.json:
        print(json.dumps(as_object(configurations, rows, is_asked=is_asked)))
    else:
        for line in matrix_lines(configurations, rows, is_asked=is_asked):
            print(line)
    if not is_whole:
        print("mcpsmoke clients: interrupted", file=sys.stderr)
    return Exit.GREEN if is_whole and is_green(configurations, rows, is_asked=is_asked) else Exit.RED


def _read(options: argparse.Namespace) -> list[Configuration]:
    from pytest_mcpsmoke.readiness.configurations.clients import client_named
    from pytest_mcpsmoke.readiness.configurations.reading import read_configuration

    environ = _environment(options.env_file)
    if options.files:
        client = client_named(options.client) if options.client else None
        return [read_configuration(Path(file), environ, client, file) for file in options.files]
    if options.client:
        raise UsageProblem("--as goes with FILE: what stands in the usual places is known")
    found = _found(environ)
    configurations = [read_configuration(path, environ, name=_shown(path)) for path in found]
    if not options.json:
        for one in configurations:
            print(f"{one.file}  {one.client}")
        print()
    return configurations


def _found(environ: dict[str, str]) -> list[Path]:
    """The configurations that stand in the usual places. Raises UsageProblem: there are none."""
    from pytest_mcpsmoke.readiness.configurations.places import is_of_interest, usual_places

    places = list(dict.fromkeys(usual_places(Path.home(), Path.cwd(), environ)))
    found = [place for place in places if is_of_interest(place)]
    if not found:
        listed = ", ".join(map(_shown, places))
        raise UsageProblem(f"no configuration of a client found: name a FILE, or write one of {listed}")
    return found


def _shown(path: Path) -> str:
    """A path as one would type it: from here, or from the home."""
    for folder, prefix in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(folder):
            return prefix + path.relative_to(folder).as_posix()
    return str(path)


def _environment(env_file: str | None) -> dict[str, str]:
    """The environment that the clients have. Raises UsageProblem."""
    environ = dict(os.environ)
    if env_file is None:
        return environ
    from pytest_mcpsmoke.readiness.configurations.env_text import read_env
    from pytest_mcpsmoke.readiness.configurations.model import Problem

    try:
        variables, faults = read_env(Path(env_file).read_text("utf-8"), environ)
    except OSError as error:
        raise UsageProblem(f"--env-file {env_file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageProblem(f"--env-file {env_file}: not UTF-8; save it as UTF-8") from None
    if faults:
        raise UsageProblem(str(Problem(f"--env-file {env_file}", *faults[0])))
    return environ | {name: item.value for name, item in variables.items()}


def _selected(configurations: list[Configuration], names: list[str]) -> list[Server]:
    """The servers of these names, or all. Raises UsageProblem: there is none of a name."""
    servers = [server for one in configurations for server in one.servers]
    known = {server.name for server in servers}
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise UsageProblem(f"--server {name}: no such server; configured: {listed}")
    return [server for server in servers if not names or server.name in names]


def _ask(servers: list[Server], rows: list[Row], timeout_s: float, call: Call | None) -> bool:
    """Fill in the rows; whether that was not interrupted."""
    from pytest_mcpsmoke.doubles.extras import need

    need("mcp", "mcp", "mcpsmoke clients")
    import anyio

    from pytest_mcpsmoke.readiness.matrix import ask_all

    async def ask() -> None:
        await ask_all(servers, rows, timeout_s=timeout_s, call=call)

    try:
        anyio.run(ask)
    except KeyboardInterrupt:
        return False
    return True
