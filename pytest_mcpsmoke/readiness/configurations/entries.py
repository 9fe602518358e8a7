"""Servers as Codex, Claude, Cursor and VS Code write them: one table each, with `command` or `url`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Final

from pytest_mcpsmoke.doubles.shown import HIDDEN, show_value
from pytest_mcpsmoke.readiness.configurations.checker import Checker
from pytest_mcpsmoke.readiness.configurations.clients import Client
from pytest_mcpsmoke.readiness.configurations.env_text import read_env
from pytest_mcpsmoke.readiness.configurations.located import Located, Path
from pytest_mcpsmoke.readiness.configurations.model import Problem, Server, is_telling
from pytest_mcpsmoke.readiness.configurations.transport import transport_of

# What Codex hands to a server of its own environment, beside env and env_vars.
_CODEX_ENVIRONMENT: Final = (
    *("HOME", "LOGNAME", "PATH", "SHELL", "USER", "__CF_USER_TEXT_ENCODING", "LANG", "LC_ALL", "TERM"),
    *("TMPDIR", "TZ", "SYSTEMROOT", "SYSTEMDRIVE", "USERNAME", "USERPROFILE", "APPDATA", "LOCALAPPDATA"),
    *("COMSPEC", "PATHEXT", "PROGRAMFILES", "PROGRAMDATA", "TEMP", "TMP"),
)


class EntryReader:
    """Reads the servers of one file."""

    def __init__(self, checker: Checker, environ: Mapping[str, str], folder: FilePath) -> None:
        self._check = checker
        self._client = checker.client
        self._environ = environ
        self._folder = folder

    def server(self, name: str, entry: Located, path: Path) -> Server:
        """Read one server; what is wrong goes to the checker."""
        self._check.begin()
        server = Server(self._client.name, name, self._check.file, entry.line)
        if not self._check.kind(entry, path, "table"):
            return self._finished(server)
        table = self._checked(entry.value, path)
        transport = transport_of(table, entry, path, self._check)
        if transport == "stdio":
            server = self._program(server, table, path)
        elif transport:
            server = self._address(server._replace(transport=transport), table, path)
        enabled = table.get("enabled")
        return self._finished(server._replace(is_disabled=enabled is not None and enabled.value is False))

    def _finished(self, server: Server) -> Server:
        return server._replace(
            not_tried=next(iter(self._check.not_tried), ""), secrets=tuple(sorted(self._check.secrets))
        )

    def _checked(self, table: dict[str, Located], path: Path) -> dict[str, Located]:
        """The items of a table whose keys are known and whose values are of their kinds."""
        client = self._client
        if client.name == "codex" and "bearer_token" in table:
            line = table["bearer_token"].line
            remedy = "put the token into a variable, and its name into bearer_token_env_var"
            self._check.note(line, (*path, "bearer_token"), "Codex refuses it", remedy, is_fatal=True)
            table = {key: item for key, item in table.items() if key != "bearer_token"}
        no_address = not client.http and "url" in table
        keys = client.keys
        asked = {k: item for k, item in table.items() if not (no_address and k in ("url", "headers"))}
        self._check.known(asked, path, keys)
        return {
            key: item
            for key, item in table.items()
            if (key in keys and self._check.kind(item, (*path, key), keys[key]))
            or (no_address and key == "url")
        }

    def _program(self, server: Server, table: dict[str, Located], path: Path) -> Server:
        check = self._check
        command = check.text(table["command"], (*path, "command"))
        if not command:
            check.note(table["command"].line, (*path, "command"), "is empty", "name a program", is_fatal=True)
        items = table["args"].value if "args" in table else []
        args = tuple(check.text(item, (*path, "args", at)) for at, item in enumerate(items))
        check.arguments(items, (*path, "args"), self._remedy("env"))
        cwd = self._folder / (check.text(table["cwd"], (*path, "cwd")) if "cwd" in table else "")
        env = self._inherited() | self._env_file(table, path) | self._variables(table, path)
        return server._replace(transport="stdio", command=command, args=args, env=env, cwd=str(cwd))

    def _inherited(self) -> dict[str, str]:
        if self._client.name != "codex":
            return dict(self._environ)
        return {name: self._environ[name] for name in _CODEX_ENVIRONMENT if name in self._environ}

    def _env_file(self, table: dict[str, Located], path: Path) -> dict[str, str]:
        """The variables of `envFile`."""
        if "envFile" not in table:
            return {}
        item = table["envFile"]
        name = self._check.text(item, (*path, "envFile"))
        file = self._folder / name
        try:
            found, faults = read_env(file.read_text("utf-8"), self._environ)
        except (OSError, ValueError):
            text = "the file cannot be read"
            self._check.note(
                item.line, (*path, "envFile"), text, "write it, or correct the path", is_fatal=True
            )
            return {}
        self._check.problems += [Problem(name, *fault) for fault in faults]
        for variable, one in found.items():
            if is_telling(variable):
                self._check.keep(one.value)
        return {variable: one.value for variable, one in found.items()}

    def _variables(self, table: dict[str, Located], path: Path) -> dict[str, str]:
        """The variables of `env`, and those that Codex passes on by `env_vars`."""
        env: dict[str, str] = {}
        for name, item in (table["env"].value if "env" in table else {}).items():
            where = (*path, "env", name)
            if isinstance(item.value, str):
                env[name] = self._check.text(item, where)
                self._check.secret(name, item, where, self._remedy("env"), env[name])
            elif not (self._client.name == "vscode" and isinstance(item.value, (int, float, type(None)))):
                self._check.note(item.line, where, "not a string", "write it in quotes", is_fatal=True)
            elif item.value is not None:
                env[name] = str(item.value)
        for at, item in enumerate(table["env_vars"].value if "env_vars" in table else []):
            env |= self._passed_on(item, (*path, "env_vars", at))
        return env

    def _passed_on(self, item: Located, path: Path) -> dict[str, str]:
        named = item.value.get("name") if isinstance(item.value, dict) else item
        if named is None or not isinstance(named.value, str):
            self._check.note(item.line, path, "not the name of a variable", "write a string", is_fatal=True)
            return {}
        value = self._variable(named, path, named.value)
        return {} if value is None else {named.value: value}

    def _variable(self, item: Located, path: Path, becomes: str) -> str | None:
        """The value of the environment variable that a text names; None, and a problem, when it has none.

        `becomes` is the name of the header or variable that the value is given to.
        """
        value = self._environ.get(item.value)
        if not value:
            text = f"the environment variable {item.value} is not set"
            remedy = f"set {item.value}, or give it with --env-file"
            if not re.fullmatch(r"[A-Za-z_]\w*", item.value):  # the value itself, most likely: not shown
                text, remedy = "not the name of an environment variable", "write a name, not the value"
            self._check.note(item.line, path, text, remedy, is_fatal=True)
            return None
        if is_telling(item.value) or show_value(becomes, "x") == HIDDEN:
            self._check.keep(value)
        return value

    def _address(self, server: Server, table: dict[str, Located], path: Path) -> Server:
        if "headersHelper" in table:
            self._check.not_tried.append(
                "headersHelper is a command of the user's, which mcpsmoke does not run"
            )
        return server._replace(
            url=self._url(table["url"], (*path, "url")),
            headers=self._headers(table, path),
            falls_back=self._client.falls_back,
        )

    def _url(self, item: Located, path: Path) -> str:
        """The URL, filled in; "" where it is none: what stands there instead may be a key."""
        before = len(self._check.not_tried)
        url = self._check.text(item, path)
        if len(self._check.not_tried) > before:
            return ""
        if self._client.name == "vscode" and url.startswith(("unix://", "pipe://")):
            self._check.not_tried.append("mcpsmoke speaks to no Unix sockets and pipes")
            return ""
        return url if self._check.url(item, path, url) else ""

    def _headers(self, table: dict[str, Located], path: Path) -> dict[str, str]:
        key = self._client.headers
        headers: dict[str, str] = {}
        lines: dict[str, Located] = dict(table[key].value) if key in table else {}
        for name, item in lines.items():
            where = (*path, key, name)
            if isinstance(item.value, str):
                headers[name] = self._check.text(item, where)
                self._check.secret(name, item, where, self._remedy("headers"), headers[name])
            else:
                self._check.note(item.line, where, "not a string", "write it in quotes", is_fatal=True)
        self._check.headers(headers, lines, (*path, key))
        return headers | self._from_variables(table, path)

    def _from_variables(self, table: dict[str, Located], path: Path) -> dict[str, str]:
        """The headers whose values Codex takes from variables."""
        headers: dict[str, str] = {}
        named: dict[str, Any] = table["env_http_headers"].value if "env_http_headers" in table else {}
        for name, item in named.items():
            where = (*path, "env_http_headers", name)
            if not isinstance(item.value, str):
                self._check.note(item.line, where, "not a string", "name a variable", is_fatal=True)
            elif (value := self._variable(item, where, name)) is not None:
                headers[name] = value
        self._check.headers(headers, named, (*path, "env_http_headers"))
        if "bearer_token_env_var" in table:
            item, where = table["bearer_token_env_var"], (*path, "bearer_token_env_var")
            token = self._variable(item, where, "Authorization")
            headers |= self._check.bearer(token or "", item.line, where)
        return headers

    def _remedy(self, where: str) -> str:
        return remedy_for_secret(self._client, where)


def remedy_for_secret(client: Client, where: str) -> str:
    """How a client takes a secret that does not stand in its file; `where` is "env" or "headers"."""
    if client.takes_inputs:
        return "write ${input:ID} or ${env:NAME}"
    if client.expands == "editor":
        return "write ${env:NAME}"
    if client.expands == "shell":
        return "write ${NAME}"
    if client.name == "codex":
        return "name its variable in env_vars" if where == "env" else "name its variable in env_http_headers"
    return "let the command read it from the environment or a key store"
