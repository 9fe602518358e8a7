"""Reads a configuration, whosever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.configurations.checker import Checker
from pytest_mcpsmoke.readiness.configurations.clients import CLIENTS, Client
from pytest_mcpsmoke.readiness.configurations.entries import EntryReader
from pytest_mcpsmoke.readiness.configurations.env_text import read_env
from pytest_mcpsmoke.readiness.configurations.json_text import read_json
from pytest_mcpsmoke.readiness.configurations.located import Fault, Located, Unreadable, at
from pytest_mcpsmoke.readiness.configurations.model import Configuration, Server
from pytest_mcpsmoke.readiness.configurations.open_webui import NAMES, servers_of
from pytest_mcpsmoke.readiness.configurations.places import client_of, project_of
from pytest_mcpsmoke.readiness.configurations.toml_text import read_toml
from pytest_mcpsmoke.readiness.configurations.variables import Variables, inputs_of

# Files that hold more than servers, so that there may be none.
_OF_MORE: Final = ("settings.json", ".claude.json", "claude_desktop_config.json")


def read_configuration(
    path: Path, environ: Mapping[str, str], client: Client | None = None, name: str | None = None
) -> Configuration:
    """Read a file: the servers that it configures, and what is wrong in it.

    Args:
        path: The file.
        environ: The environment of the client, in which references are looked up.
        client: Whose file it is; told by its name and content when left out.
        name: What the file is called in problems; the path when left out.

    Raises:
        UsageProblem: The file cannot be read, or nobody knows whose it is.
    """
    name = name or str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageProblem(f"{name}: cannot be read: {error.strerror}") from None
    text = raw.decode("utf-8-sig", "replace")
    client = client or client_of(path.absolute(), text)
    if client is None:
        names = "|".join(one.name for one in CLIENTS)
        raise UsageProblem(f"{name}: neither name nor content tells whose configuration it is: --as {names}")
    project = project_of(path.absolute(), Path.home(), Path.cwd())
    check = Checker(name, client, Variables(client.expands, environ, project, client.takes_inputs))
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        check.add([Fault(line, "", "not UTF-8", "save it as UTF-8")])
        return Configuration(name, client.name, (), tuple(check.problems))
    try:
        servers = _servers(path, text, check, environ, project)
    except Unreadable as error:
        check.add([error.fault])
        servers = []
    order = sorted(check.problems, key=lambda problem: (problem.file != name, problem.file, problem.line))
    return Configuration(name, client.name, tuple(servers), tuple(order))


def _servers(
    path: Path, text: str, check: Checker, environ: Mapping[str, str], project: Path
) -> list[Server]:
    client = check.client
    if client.notation == "env":
        variables, faults = read_env(text, environ)
        check.add(fault for fault in faults if fault.key in ("", *NAMES))  # the others are not ours to judge
        return servers_of(variables, check)
    if client.notation == "toml":
        root = read_toml(text)
    else:
        root, faults = read_json(text, is_relaxed=client.notation == "jsonc")
        check.add(faults)
    if not check.kind(root, (), "table"):
        return []
    reader = EntryReader(check, environ, project)
    servers: list[Server] = []
    for section in _sections(path, root, client):
        table = at(root, section)
        if table is not None and check.kind(table, section, "table"):
            servers += [reader.server(name, entry, (*section, name)) for name, entry in table.value.items()]
    _check_beside(path, root, check)
    return servers


def _sections(path: Path, root: Located, client: Client) -> list[tuple[str, ...]]:
    """Where tables of servers stand."""
    if _is_settings(path, root, client):
        return [("mcp", *client.section)]
    if path.name == ".claude.json":  # beside the user's, those of a project
        return [client.section, ("projects", str(Path.cwd()), *client.section)]
    return [client.section]


def _is_settings(path: Path, root: Located, client: Client) -> bool:
    """Whether these are VS Code's settings, which hold servers in a section."""
    return client.name == "vscode" and (
        path.name == "settings.json" or ("mcp" in root.value and "servers" not in root.value)
    )


def _check_beside(path: Path, root: Located, check: Checker) -> None:
    """Check what stands beside the servers: keys that are meant to be the section, and inputs."""
    client = check.client
    around = ("mcp",) if _is_settings(path, root, client) else ()
    top = at(root, around)
    if top is None or not isinstance(top.value, dict):
        return
    beside = (client.section[0], *(client.beside or ()))
    check.known(top.value, around, beside, near=0.7, is_open=client.beside is None)
    if client.is_json and path.name not in _OF_MORE and client.section[0] not in top.value:
        check.note(top.line, around, f"no {client.section[0]}", "write it: a table of servers by name")
    if client.takes_inputs:
        _check_inputs(top, around, check)


def _check_inputs(top: Located, around: tuple[str, ...], check: Checker) -> None:
    """Check that every input that is referred to is declared."""
    inputs = top.value.get("inputs")
    declared: set[object] = set()
    if inputs is not None and check.kind(inputs, (*around, "inputs"), "list"):
        ids = [at(item, ("id",)) for item in inputs.value]
        declared = {item.value for item in ids if item is not None and isinstance(item.value, str)}
        for index, (item, found) in enumerate(zip(inputs.value, ids, strict=True)):
            if found is None:
                check.note(item.line, (*around, "inputs", index), "an input without id", "write its id")
    _check_references(top, around, declared, check)


def _check_references(
    item: Located, path: tuple[str | int, ...], declared: set[object], check: Checker
) -> None:
    if isinstance(item.value, dict):
        for name, inner in item.value.items():
            _check_references(inner, (*path, name), declared, check)
    elif isinstance(item.value, list):
        for index, inner in enumerate(item.value):
            _check_references(inner, (*path, index), declared, check)
    elif isinstance(item.value, str):
        for reference in inputs_of(item.value):
            if reference not in declared:
                check.note(item.line, path, f"no input has the id {reference}", "add it to inputs")
