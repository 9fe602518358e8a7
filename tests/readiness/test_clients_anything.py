"""Whatever stands in a configuration: it is read without an exception, in lines, and no secret is told."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_mcpsmoke.readiness.configurations.checker import Checker
from pytest_mcpsmoke.readiness.configurations.clients import CLIENTS, Client
from pytest_mcpsmoke.readiness.configurations.entries import EntryReader
from pytest_mcpsmoke.readiness.configurations.json_text import read_json
from pytest_mcpsmoke.readiness.configurations.located import Located
from pytest_mcpsmoke.readiness.configurations.open_webui import NAMES, servers_of
from pytest_mcpsmoke.readiness.configurations.reading import read_configuration
from pytest_mcpsmoke.readiness.configurations.variables import Variables
from pytest_mcpsmoke.readiness.matrix import NOT_ASKED, Row
from pytest_mcpsmoke.readiness.matrix_text import as_object, matrix_lines

DOCS = Path(__file__).resolve().parents[2] / "docs"
SECRET = "plain-s3cret"
ENVIRON = {"SECRET_KEY": SECRET, "HOST": "h"}
TEXTS = st.sampled_from(
    [
        *(
            "",
            "x",
            "http://h/mcp",
            "http://[",
            f"http://u:{SECRET}@h:99999999/",
            f"http://h/?api_key={SECRET}",
        ),
        *(
            "${SECRET_KEY}",
            "${env:SECRET_KEY}",
            "${input:a}",
            "${",
            "${NOT_SET}",
            "${a b}\n",
            "--token",
            "a,,a",
        ),
        *(
            f"Bearer {SECRET}",
            f"--token={SECRET}",
            "unix:///x",
            "\x00",
            "é",
            "\ud800",
            "${env:\ud800}",
            "${input:\u2028}",
            "mcp",
            "http",
            "stdio",
            "sse",
        ),
    ]
)
NAMED = st.sampled_from(
    [
        "Authorization",
        "x-mcp-servers",
        "X-Mcp-Servers",
        "API_TOKEN",
        "name",
        "enable",
        "id",
        "a b",
        "\n",
        "é",
        "\ud800",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMED, inner, max_size=3),
    max_leaves=5,
)
STRINGS = st.dictionaries(NAMED, TEXTS, max_size=3)
PROGRAMS = [client for client in CLIENTS if client.section]


def likely(key: str, kind: str) -> st.SearchStrategy[Any]:
    """Values for a key: mostly of its kind."""
    fitting: dict[str, st.SearchStrategy[Any]] = {
        "text": TEXTS,
        "texts": st.lists(TEXTS, max_size=4),
        "headers": STRINGS,
        "variables": STRINGS,
        "table": st.dictionaries(NAMED, VALUES, max_size=2),
        "flag": st.booleans(),
    }
    return fitting.get(kind, VALUES) | VALUES


def entries(client: Client) -> st.SearchStrategy[Any]:
    keys = {key: likely(key, kind) for key, kind in client.keys.items()}
    return st.fixed_dictionaries({}, optional={**keys, "unknown": VALUES})


def checked(client: Client) -> Checker:
    return Checker("file", client, Variables(client.expands, ENVIRON, Path("/p"), client.takes_inputs))


def check(checker: Checker, rows: list[Row]) -> None:
    """What is told is in lines and without the secret; a server that can be tried has all that it takes."""
    told = [str(problem) for problem in checker.problems]
    told += [line for row in rows for line in (row.server.not_tried, row.server.hide(SECRET))]
    told += matrix_lines([], rows, is_asked=True)
    assert all(line.isprintable() for line in told)
    assert not any(SECRET in line for line in told if line != SECRET)
    shown = json.dumps(as_object([], rows, is_asked=True))
    assert SECRET not in shown
    for row in rows:
        server = row.server
        if server.not_tried or server.is_disabled:
            continue
        assert server.transport
        assert server.command or server.url.startswith(("http://", "https://"))
        assert all(type(value) is str for value in (*server.headers.values(), *server.env.values()))
        assert all(re.fullmatch("[ -~\t]*", value) for value in server.headers.values())


@pytest.mark.parametrize("client", PROGRAMS, ids=lambda client: client.name)
@given(data=st.data())
def test_any_entry(client: Client, data: st.DataObject) -> None:
    root, _ = read_json(json.dumps(data.draw(entries(client) | VALUES)))
    checker = checked(client)
    server = EntryReader(checker, ENVIRON, Path("/p")).server("a", root, (*client.section, "a"))
    check(checker, [Row(server, NOT_ASKED)])


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                **{
                    "url": TEXTS,
                    "path": TEXTS,
                    "type": TEXTS | st.just("openapi"),
                    "key": TEXTS,
                    "spec": VALUES,
                },
                **{"auth_type": TEXTS | st.sampled_from(["bearer", "none", "session"]), "headers": STRINGS},
                **{"config": VALUES | st.just({"enable": True}), "info": VALUES},
            },
        )
        | VALUES,
        max_size=3,
    )
    | VALUES,
    st.dictionaries(st.sampled_from(NAMES[1:]), TEXTS | st.just(f"http://a;http://b;{SECRET}")),
)
@example([{"info": {"name": f"http://u:{SECRET}@h:99999999/"}}], {})
def test_any_environment_of_open_webui(tools: Any, others: dict[str, str]) -> None:
    checker = checked(CLIENTS[-1])
    variables = {"TOOL_SERVER_CONNECTIONS": json.dumps(tools), **others}
    found = servers_of({name: Located(value, 1) for name, value in variables.items()}, checker)
    check(checker, [Row(server, NOT_ASKED) for server in found])


TOPS = st.sampled_from(["mcpServers", "servers", "inputs", "mcp", "projects", "mcp_servers", "other"])
ANYTHING = st.recursive(
    VALUES, lambda inner: st.dictionaries(TOPS | NAMED, inner, max_size=3) | st.lists(inner, max_size=2)
)


@pytest.mark.parametrize("name", [".mcp.json", ".claude.json", "settings.json", "User/mcp.json"])
@given(value=ANYTHING)
def test_any_file(tmp_path_factory: pytest.TempPathFactory, name: str, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1), "utf-8")
    found = read_configuration(path, ENVIRON, name=name)
    told = [str(problem) for problem in found.problems]
    assert all(line.isprintable() and SECRET not in line for line in told)
    assert all(1 <= problem.line <= path.read_text("utf-8").count("\n") + 1 for problem in found.problems)


class TestThePage:
    """docs/reference/clients.md names what the code knows."""

    PAGE = (DOCS / "reference" / "clients.md").read_text("utf-8")

    def section(self, title: str) -> list[str]:
        """The rows of the tables below a heading."""
        text = self.PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        return [line for line in text.splitlines() if line.startswith("| `")]

    @pytest.mark.parametrize("client", PROGRAMS, ids=lambda client: client.name)
    def test_keys_of_each_client(self, client: Client) -> None:
        rows = self.section("What each client understands")
        (row,) = [row for row in rows if row.startswith(f"| `{client.name}` ")]
        assert {*client.stdio, *client.http} <= set(re.findall(r"`(\w+)`", row))

    def test_fields_of_the_object(self) -> None:
        server = EntryReader(checked(CLIENTS[0]), {}, Path()).server("a", Located({}, 1), ())
        shown = as_object([], [Row(server, NOT_ASKED)], is_asked=False)
        rows = [row.split("|")[1] for row in self.section("What `--json` prints")]
        documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
        assert documented == [*shown, *shown["rows"][0]]
