"""The environment of Open WebUI: tool servers as JSON in a variable, and OpenAI-compatible addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_mcpsmoke.readiness.configurations.checker import Checker
from pytest_mcpsmoke.readiness.configurations.json_text import read_json
from pytest_mcpsmoke.readiness.configurations.located import Located, Path, Unreadable, at
from pytest_mcpsmoke.readiness.configurations.model import Server
from pytest_mcpsmoke.state.describe import redact_value

TOOLS: Final = "TOOL_SERVER_CONNECTIONS"
_URL, _URLS = "OPENAI_API_BASE_URL", "OPENAI_API_BASE_URLS"
_KEY, _KEYS = "OPENAI_API_KEY", "OPENAI_API_KEYS"
NAMES: Final = (TOOLS, _URL, _URLS, _KEY, _KEYS, "ENABLE_OPENAI_API", "OPENAI_API_CONFIGS")
_DEFAULT_URL: Final = "https://api.openai.com/v1"

_FIELDS: Final = {
    "url": "text",
    "path": "text",
    "type": "text",
    "auth_type": "text",
    "headers": "headers",
    "key": "text",
    "config": "table",
    "info": "table",
    "spec_type": "text",
    "spec": "any",
}
_TYPES: Final = {"openapi": "openapi", "mcp": "http"}
_SIGN_IN: Final = ("session", "system_oauth", "oauth_2.1", "oauth_2.1_static")


def servers_of(variables: Mapping[str, Located], check: Checker) -> list[Server]:
    """Read the servers of an environment; what is wrong goes to the checker."""
    odd = {name: item for name, item in variables.items() if not name.endswith(NAMES)}
    check.known(odd, (), NAMES, near=0.86, is_open=True)
    return _Reader(check).tools(variables) + _Reader(check).models(variables)


class _Reader:
    def __init__(self, check: Checker) -> None:
        self._check = check

    def models(self, variables: Mapping[str, Located]) -> list[Server]:
        """The OpenAI-compatible addresses, each with the key of the same rank."""
        name = _URLS if _is_set(variables, _URLS) else _URL
        if not _is_set(variables, name):
            return []
        urls = [url.strip() for url in variables[name].value.split(";")]
        key_name = _KEYS if _is_set(variables, _KEYS) else _KEY
        keys = variables[key_name].value.split(";") if _is_set(variables, key_name) else []
        if keys and len(keys) != len(urls):
            text = f"{len(keys)} keys for {len(urls)} addresses"
            self._check.note(variables[key_name].line, (key_name,), text, "give one for each, in their order")
        switch = variables.get("ENABLE_OPENAI_API")
        is_off = switch is not None and switch.value.strip().lower() != "true"
        keys += [""] * (len(urls) - len(keys))
        servers = []
        for rank, (url, key) in enumerate(zip(urls, keys, strict=False), 1):
            server = self._server("openai" if len(urls) == 1 else f"openai-{rank}", variables[name])
            path: Path = (name,) if len(urls) == 1 else (name, rank - 1)
            servers.append(
                self._model(server._replace(is_disabled=is_off), path, url or _DEFAULT_URL, key.strip())
            )
        return servers

    def _model(self, server: Server, path: Path, url: str, key: str) -> Server:
        self._check.begin()
        if not self._check.url(Located(url, server.line), path, url):
            url = ""
        headers = self._check.bearer(key, server.line, path)
        return self._finished(server._replace(transport="openai", url=url, headers=headers))

    def tools(self, variables: Mapping[str, Located]) -> list[Server]:
        """The tool servers."""
        if not _is_set(variables, TOOLS):
            return []
        item = variables[TOOLS]
        try:
            root, faults = read_json(item.value, first_line=item.line)
        except Unreadable as error:
            fault = error.fault
            key = f"{TOOLS}{'.' if fault.key and not fault.key.startswith('[') else ''}{fault.key}"
            self._check.add([fault._replace(key=key)])
            return []
        self._check.add(fault._replace(key=f"{TOOLS}{fault.key}") for fault in faults)
        if not isinstance(root.value, list):
            self._check.note(root.line, (TOOLS,), "not a list", "write a list of tables")
            return []
        return [self._tool(entry, (TOOLS, rank), rank) for rank, entry in enumerate(root.value)]

    def _tool(self, entry: Located, path: Path, rank: int) -> Server:
        self._check.begin()
        if not self._check.kind(entry, path, "table"):
            return self._finished(self._server(f"tools[{rank}]", entry))
        given = {key: item for key, item in entry.value.items() if item.value is not None or key == "config"}
        self._check.known(given, path, _FIELDS)
        table = {
            key: item
            for key, item in given.items()
            if key in _FIELDS and self._check.kind(item, (*path, key), _FIELDS[key])
        }
        server = self._server(self._name(table, rank), entry)
        server = server._replace(is_disabled=self._is_off(table, entry, path))
        return self._finished(self._reached(server, table, entry, path))

    def _name(self, table: Mapping[str, Located], rank: int) -> str:
        root = Located(dict(table), 0)
        named = [at(root, ("info", key)) for key in ("id", "name")]
        texts = [
            item.value for item in named if item is not None and isinstance(item.value, str) and item.value
        ]
        return texts[0] if texts else f"tools[{rank}]"

    def _is_off(self, table: Mapping[str, Located], entry: Located, path: Path) -> bool:
        switch = at(Located(dict(table), 0), ("config", "enable"))
        if switch is None and "config" not in entry.value:
            text = "without config.enable Open WebUI leaves the server out"
            self._check.note(entry.line, path, text, 'add "config": {"enable": true}', is_fatal=True)
        elif switch is None and "config" in table:
            line = table["config"].line
            text = "without enable Open WebUI leaves the server out"
            self._check.note(line, (*path, "config"), text, 'add "enable": true', is_fatal=True)
        return switch is not None and switch.value is False

    def _reached(self, server: Server, table: Mapping[str, Located], entry: Located, path: Path) -> Server:
        """The server with its address and headers."""
        kind = table["type"].value if "type" in table else "openapi"
        if kind not in _TYPES:
            line = table["type"].line
            text = "Open WebUI knows no such type"
            self._check.note(line, (*path, "type"), text, "write openapi or mcp", is_fatal=True)
            return server
        if kind == "mcp" and server.name == f"tools[{path[-1]}]":
            text = "Open WebUI finds an MCP server by its info.id"
            self._check.note(entry.line, path, text, 'add "info": {"id": "…", "name": "…"}')
        server = server._replace(transport=_TYPES[kind], headers=self._headers(table, kind, path))
        if "spec_type" in table and table["spec_type"].value == "json":
            self._check.not_tried.append("its specification stands in the file")
        if "url" not in table:
            self._check.note(entry.line, path, "no url", "write it", is_fatal=True)
            return server
        url: str = table["url"].value
        if not self._check.url(table["url"], (*path, "url"), url):
            return server
        where = table["path"].value if "path" in table else "openapi.json"
        if kind == "openapi" and "://" in where:
            url = where if self._check.url(table["path"], (*path, "path"), where) else ""
        elif kind == "openapi":
            url = f"{url.rstrip('/')}/{where.lstrip('/')}"
        return server._replace(url=url)

    def _headers(self, table: Mapping[str, Located], kind: str, path: Path) -> dict[str, str]:
        given: dict[str, Any] = table["headers"].value if "headers" in table else {}
        for name, item in given.items():
            self._check.kind(item, (*path, "headers", name), "text")
        headers = {name: item.value for name, item in given.items() if isinstance(item.value, str)}
        self._check.headers(headers, given, (*path, "headers"))
        auth = (
            table["auth_type"].value if "auth_type" in table else {"openapi": "bearer", "mcp": "none"}[kind]
        )
        key = table["key"].value if "key" in table else ""
        if auth in _SIGN_IN:
            self._check.not_tried.append(f"the user signs in ({auth})")
        elif auth == "bearer" and key:
            headers |= self._check.bearer(key, table["key"].line, (*path, "key"))
        elif auth == "bearer" and "auth_type" in table:
            line = table["auth_type"].line
            self._check.note(line, (*path, "auth_type"), "no key to bear", "write key, or auth_type none")
        elif auth not in ("bearer", "none"):
            line = table["auth_type"].line
            text = "Open WebUI knows no such auth_type"
            remedy = f"write one of none, bearer, {', '.join(_SIGN_IN)}"
            self._check.note(line, (*path, "auth_type"), text, remedy, is_fatal=True)
        return headers

    def _server(self, name: str, item: Located) -> Server:
        return Server(self._check.client.name, redact_value(name), self._check.file, item.line)

    def _finished(self, server: Server) -> Server:
        return server._replace(
            not_tried=next(iter(self._check.not_tried), ""), secrets=tuple(sorted(self._check.secrets))
        )


def _is_set(variables: Mapping[str, Located], name: str) -> bool:
    return name in variables and bool(variables[name].value.strip())
