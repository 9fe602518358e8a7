"""What a file may say of the gateway and its upstreams, and how it is told what it may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from reference_app.config import Config
from reference_app.config_file import ConfigError, read_config
from reference_app.config_sections import Beside, Each, Entries, Json
from reference_app.gateway.owned_headers import is_owned
from reference_app.gateway.settings import ClientCredentials, Gateway, Key, McpServer

pytestmark = pytest.mark.smoke

SECRET = "hunter22"
NO_NAME = "is not a name; write letters, digits, '_', '.' and '-', no '-' at the end"
UNSET = "the environment variable of this name is not set; set it before the app starts"
KEYS = "gateway: {keys: {dev: {key_env: DEV_KEY, servers: ['*']}}}\n"
WHOLE = """\
gateway:
  keys:
    dev:
      key_env: DEV_KEY
      servers: [files, storage]
      tools: {files: [read_file], pets: []}
      jwt_claims: {sub: dev, roles: [a, {deep: null}], admin: false, level: 1.5}
    ops: {key_env: OPS_KEY, servers: ["*"]}
  hooks: ["my_hooks.audit:before_call"]
  hook_authorization: PROTECT
  openapi_hook_headers: warn
  probe_seconds: 1
mcp_servers:
  files:
    transport: stdio
    command: npx
    args: ["-y", server-filesystem, ""]
    env: {DEBUG: ""}
    env_from: [TOKEN]
    cwd: data
    protocol: 2026-07-28
  search:
    transport: http
    url: http://127.0.0.1:9000/mcp
    prefix: find
    timeout_seconds: 2.5
    access_groups: [storage]
    extra_headers: [Authorization, X-Trace]
    static_headers: {X-Env: " staging "}
    static_headers_env: {X-Key: TOKEN}
    client_credentials:
      token_url: https://auth.test/token
      client_id: gateway
      client_secret_env: TOKEN
      scope: read
  pets: {transport: openapi, spec_path: data/pets.json, access_groups: [storage]}
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Config]:
    """Reads a text as `config.yaml` of the folder that the test is in, with some variables set."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "pets.json").write_text("{}")
    monkeypatch.setenv("DEV_KEY", f"dev-{SECRET}")
    monkeypatch.setenv("OPS_KEY", f" ops-{SECRET} ")
    monkeypatch.setenv("TOKEN", f"token-{SECRET}")
    monkeypatch.setenv("DEV_KEY_TOO", f"dev-{SECRET} ")
    monkeypatch.setenv("BLANK", " ")
    monkeypatch.setenv("TWO_LINES", f"{SECRET}\n{SECRET}")
    monkeypatch.delenv("NOT_SET", raising=False)

    def put_and_read(text: str) -> Config:
        Path("config.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
        return read_config("config.yaml")

    return put_and_read


@pytest.fixture
def told(read: Callable[[str], Config]) -> Callable[[str], list[str]]:
    """Returns what is told of a text, without the file's name, which begins each line."""

    def problems(text: str) -> list[str]:
        with pytest.raises(ConfigError) as error:
            read(text)
        assert SECRET not in str(error.value)
        assert str(error.value).splitlines() == error.value.problems
        assert all(line.startswith("config.yaml:") for line in error.value.problems)
        return [line.removeprefix("config.yaml:") for line in error.value.problems]

    return problems


def test_a_file_says_who_may_call_what(read: Callable[[str], Config], tmp_path: Path) -> None:
    config = read(WHOLE)
    dev = Key(
        key_env="DEV_KEY",
        servers=("files", "storage"),
        tools={"files": ("read_file",), "pets": ()},
        jwt_claims={"sub": "dev", "roles": ["a", {"deep": None}], "admin": False, "level": 1.5},
    )
    assert config.gateway == Gateway(
        keys={"dev": dev, "ops": Key(key_env="OPS_KEY", servers=("*",))},
        hooks=("my_hooks.audit:before_call",),
        hook_authorization="protect",
        openapi_hook_headers="warn",
        probe_seconds=1.0,
    )
    assert config.mcp_servers == {
        "files": McpServer(
            transport="stdio",
            command="npx",
            args=("-y", "server-filesystem", ""),
            env={"DEBUG": ""},
            env_from=("TOKEN",),
            cwd=str(tmp_path / "data"),
            protocol="2026-07-28",
        ),
        "search": McpServer(
            transport="http",
            url="http://127.0.0.1:9000/mcp",
            prefix="find",
            timeout_seconds=2.5,
            access_groups=("storage",),
            extra_headers=("Authorization", "X-Trace"),
            static_headers={"X-Env": "staging"},
            static_headers_env={"X-Key": "TOKEN"},
            client_credentials=ClientCredentials("https://auth.test/token", "gateway", "TOKEN", "read"),
        ),
        "pets": McpServer(
            transport="openapi",
            spec_path=str(tmp_path / "data" / "pets.json"),
            access_groups=("storage",),
        ),
    }


def test_secrets_come_from_the_environment(read: Callable[[str], Config]) -> None:
    config = read(WHOLE)
    assert config.gateway is not None
    assert {name: key.secret for name, key in config.gateway.keys.items()} == {
        "dev": f"dev-{SECRET}",
        "ops": f"ops-{SECRET}",
    }
    credentials = config.mcp_servers["search"].client_credentials
    assert credentials is not None
    assert credentials.client_secret == f"token-{SECRET}"


@pytest.mark.parametrize("text", ["", "gateway:\nmcp_servers:\n", "mcp_servers: {}"])
def test_without_both_sections_there_is_no_gateway(read: Callable[[str], Config], text: str) -> None:
    assert read(text) == Config(gateway=None, mcp_servers={})


def test_a_single_server_may_do_without_a_prefix(read: Callable[[str], Config]) -> None:
    config = read(KEYS + "mcp_servers: {fs: {transport: stdio, command: x, prefix: ''}}")
    assert config.mcp_servers["fs"].prefix == ""


def test_paths_are_seen_from_the_folder_of_the_file(
    read: Callable[[str], Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(WHOLE)
    monkeypatch.chdir(tmp_path / "data")
    assert read_config("../config.yaml").mcp_servers["files"].cwd == str(tmp_path / "data" / ".." / "data")


SERVER = [
    (
        "{}",
        ["transport: is missing; write it, such as `transport: http`"],
    ),
    (
        "{transport: smtp}",
        ["transport: 'smtp' is unknown; write one of: stdio, http, sse, openapi"],
    ),
    (
        "{transport: stdio}",
        ["command: is missing; stdio needs the program to start, such as `command: npx`"],
    ),
    (
        "{transport: http}",
        ["url: is missing; http needs where the server listens, such as `url: http://127.0.0.1:9000/mcp`"],
    ),
    (
        "{transport: sse}",
        ["url: is missing; sse needs where the server listens, such as `url: http://127.0.0.1:9000/sse`"],
    ),
    (
        "{transport: openapi, url: 'http://a.test'}",
        [
            "spec_path: is missing; openapi needs the description of the API, "
            "such as `spec_path: openapi.json`"
        ],
    ),
    (
        "{transport: stdio, command: x, url: 'http://a.test', spec_path: data/pets.json, extra_headers: [A], "
        "static_headers: {B: b}, static_headers_env: {C: TOKEN}, client_credentials: "
        "{token_url: 'http://a.test', client_id: a, client_secret_env: TOKEN}}",
        [
            "url: is not for stdio; leave it out, or write transport: http or sse or openapi",
            "spec_path: is not for stdio; leave it out, or write transport: openapi",
            "extra_headers: is not for stdio; leave it out, or write transport: http or sse or openapi",
            "static_headers: is not for stdio; leave it out, or write transport: http or sse or openapi",
            "static_headers_env: is not for stdio; leave it out, or write transport: http or sse or openapi",
            "client_credentials: is not for stdio; leave it out, or write transport: http or sse or openapi",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', command: x, args: [x], env: {A: x}, env_from: [TOKEN], "
        "cwd: data, spec_path: data/pets.json}",
        [
            "command: is not for http; leave it out, or write transport: stdio",
            "args: is not for http; leave it out, or write transport: stdio",
            "env: is not for http; leave it out, or write transport: stdio",
            "env_from: is not for http; leave it out, or write transport: stdio",
            "cwd: is not for http; leave it out, or write transport: stdio",
            "spec_path: is not for http; leave it out, or write transport: openapi",
        ],
    ),
    (
        "{transport: openapi, spec_path: data/pets.json, protocol: '2025-11-25'}",
        ["protocol: is not for openapi; leave it out, or write transport: stdio or http or sse"],
    ),
    (
        "{transport: http, url: 'http://a.test', protocol: 2025-11-26}",
        ["protocol: '2025-11-26' is unknown; did you mean '2025-11-25'?"],
    ),
    (
        "{transport: stdio, command: x, args: y}",
        ["args: is not a list; write its values in brackets, such as `[a, b]`"],
    ),
    (
        f"{{transport: stdio, command: x, args: [a, 1, [{SECRET}]]}}",
        ["args[1]: is not a text; put it in quotes", "args[2]: is not a text; put it in quotes"],
    ),
    (
        'transport: stdio, command: "a\\0b", args: ["\\ud800"]',
        [
            "command: has a NUL character or half a surrogate pair; leave it out",
            "args[0]: has a NUL character or half a surrogate pair; leave it out",
        ],
    ),
    (
        "{transport: stdio, command: x, env: {DEBUG: 1, ON: true, NO: , A-B: x}}",
        [
            "env.DEBUG: is not a text; put it in quotes",
            "env.ON: is not a text; put it in quotes",
            "env.NO: is not a text; put it in quotes",
            "env.A-B: is not the name of an environment variable; write letters, digits and '_'",
        ],
    ),
    (
        f"{{transport: stdio, command: x, env_from: [NOT_SET, BLANK, sk-{SECRET}]}}",
        [
            f"env_from[0]: {UNSET}",
            "env_from[1]: the environment variable of this name is empty; set it before the app starts",
            "env_from[2]: is not the name of an environment variable; write the name of the one that holds "
            "the key, never the key itself",
        ],
    ),
    (
        "{transport: stdio, command: x, env: {TOKEN: x}, env_from: [TOKEN]}",
        ["env.TOKEN: stands in env_from too; keep one of them"],
    ),
    (
        "{transport: stdio, command: x, cwd: nowhere}",
        ["cwd: is no folder; name one, seen from the folder of the configuration"],
    ),
    (
        "{transport: openapi, spec_path: nowhere.json}",
        [
            "spec_path: cannot be read: No such file or directory; "
            "name a file, seen from the folder of the configuration"
        ],
    ),
    (
        "{transport: openapi, spec_path: data}",
        ["spec_path: cannot be read: it is no file; name a file, seen from the folder of the configuration"],
    ),
    (
        "{transport: openapi, spec_path: 5}",
        ["spec_path: 5 is not a text; write one, in quotes if it looks like something else"],
    ),
    (
        f"{{transport: http, url: 'ftp://me:{SECRET}@a.test'}}",
        ["url: is not an http or https URL; write one with its host, such as http://127.0.0.1:9000"],
    ),
    (
        "{transport: http, url: 'http://a.test', timeout_seconds: 0}",
        ["timeout_seconds: 0 leaves no time; write seconds above 0"],
    ),
    (
        "{transport: http, url: 'http://a.test', prefix: a-}",
        [f"prefix: 'a-' {NO_NAME}"],
    ),
    (
        "{transport: http, url: 'http://a.test', prefix: 7}",
        [f"prefix: 7 {NO_NAME}"],
    ),
    (
        "{transport: http, url: 'http://a.test', access_groups: [a, 'b,c', '*']}",
        [
            f"access_groups[1]: 'b,c' {NO_NAME}",
            f"access_groups[2]: '*' {NO_NAME}",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', extra_headers: [X-LiteLLM-API-Key, MCP-Session-Id, 'a b']}",
        [
            "extra_headers[0]: header 'X-LiteLLM-API-Key' is not free: the gateway or the protocol sets it; "
            "leave it out",
            "extra_headers[1]: header 'MCP-Session-Id' is not free: the gateway or the protocol sets it; "
            "leave it out",
            "extra_headers[2]: 'a b' is not a header name; write the name of a header that may be sent",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', static_headers: {Host: a, Content-Length: '1'}, "
        "static_headers_env: {Mcp-Name: TOKEN}}",
        [
            "static_headers.Host: header 'Host' is not free: the gateway or the protocol sets it; "
            "leave it out",
            "static_headers.Content-Length: header 'Content-Length' says where the body ends; "
            "it cannot be set; write the name of a header that may be sent",
            "static_headers_env.Mcp-Name: header 'Mcp-Name' is not free: the gateway or the protocol sets "
            "it; leave it out",
        ],
    ),
    (
        f"{{transport: http, url: 'http://a.test', static_headers: {{A: 5, B: \"{SECRET}\\n\"}}}}",
        [
            "static_headers.A: is not a text; put the header's value in quotes",
            "static_headers.B: has a control or non-ASCII character; write what may stand in an HTTP request",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', static_headers: {x-a: a, X-A: b}, "
        "static_headers_env: {X-a: TOKEN}}",
        [
            "static_headers.X-A: is the header of static_headers.x-a too; keep one of them",
            "static_headers_env.X-a: is the header of static_headers.X-A too; keep one of them",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', static_headers_env: {A: TWO_LINES, B: NOT_SET}}",
        [
            "static_headers_env.A: the environment variable TWO_LINES has a control or non-ASCII character; "
            "set it to what may stand in a header",
            f"static_headers_env.B: {UNSET}",
        ],
    ),
    (
        "{transport: http, url: 'http://a.test', client_credentials: {client_secret_env: NOT_SET}}",
        [
            f"client_credentials.client_secret_env: {UNSET}",
            "client_credentials.token_url: is missing; write it, such as "
            "`token_url: https://auth.test/token`",
            "client_credentials.client_id: is missing; write it, such as `client_id: gateway`",
        ],
    ),
]


@pytest.mark.parametrize(("server", "says"), SERVER)
def test_of_a_server(told: Callable[[str], list[str]], server: str, says: list[str]) -> None:
    server = server if server.startswith("{") else f"{{{server}}}"
    assert told(f"{KEYS}mcp_servers:\n  up: {server}") == [f"3: mcp_servers.up.{line}" for line in says]


KEY = [
    (
        "{}",
        [
            "key_env: is missing; write it, such as `key_env: DEV_KEY`",
            'servers: is missing; write it, such as `servers: ["*"]`',
        ],
    ),
    (
        "{key_env: NOT_SET, servers: [up]}",
        [f"key_env: {UNSET}"],
    ),
    (
        f"{{key_env: sk-{SECRET}, servers: [up]}}",
        [
            "key_env: is not the name of an environment variable; write the name of the one that holds "
            "the key, never the key itself"
        ],
    ),
    (
        f"sk-{SECRET}",
        [": is not a mapping; write keys with values, such as `key: value`"],
    ),
    (
        "{key_env: OPS_KEY, servers: [ups, grp, nothing]}",
        [
            "servers[0]: 'ups' is no server and no group; did you mean 'up'?",
            "servers[2]: 'nothing' is no server and no group; write one of: up, other, grp, *",
        ],
    ),
    (
        "{key_env: OPS_KEY, servers: [grp], tools: {up: [a], other: [b], grp: [c]}}",
        [
            "tools.up: is not one of the servers that the key may use; write one of: other",
            "tools.grp: is not one of the servers that the key may use; write one of: other",
        ],
    ),
    (
        "{key_env: OPS_KEY, servers: [], tools: {up: [a]}}",
        ["tools.up: is not one of the servers that the key may use; leave it out, or give the key servers"],
    ),
    (
        "{key_env: OPS_KEY, servers: ['*'], tools: {up: a}}",
        ["tools.up: is not a list; write its values in brackets, such as `[a, b]`"],
    ),
    (
        "{key_env: DEV_KEY_TOO, servers: [up]}",
        ["key_env: DEV_KEY_TOO holds the same key as that of dev; give each its own"],
    ),
    (
        "{key_env: OPS_KEY, servers: [up], jwt_claims: [a]}",
        ["jwt_claims: is not a mapping; write keys with values, such as `key: value`"],
    ),
    (
        "{key_env: OPS_KEY, servers: [up], jwt_claims: {a: [2020-01-01, .inf, {b: !!binary aGk=}], "
        f"c: 0x{'f' * 5000}, d: !!int '', e: !own {SECRET}, f: {{g: 1, g: 2}}}}}}",
        [
            "jwt_claims.a[0]: is of type date, which JSON does not have; put it in quotes",
            "jwt_claims.a[1]: inf is no number that JSON can carry; put it in quotes",
            "jwt_claims.a[2].b: is of type bytes, which JSON does not have; put it in quotes",
            "jwt_claims.c: a very long number is no number that JSON can carry; put it in quotes",
            "jwt_claims.d: cannot be read as int; put it in quotes",
            "jwt_claims.e: has an unknown tag; put it in quotes",
            "jwt_claims.f.g: is given twice, first in line 4; keep one of them",
        ],
    ),
    (
        "{key_env: OPS_KEY, servers: [up], jwt_claims: {a: &a [*a], b: [&b {}, *b]}}",
        [
            "jwt_claims.a[0]: is repeated by an alias; write it out",
            "jwt_claims.b[1]: is repeated by an alias; write it out",
        ],
    ),
    (
        f"{{key_env: OPS_KEY, servers: [up], jwt_claims: {{a: {'[' * 100}{']' * 100}}}}}",
        [f"jwt_claims.a{'[0]' * 46}: is nested too deeply; write it flatter"],
    ),
    (
        "{key_env: OPS_KEY, servers: [up], \"a\\nb\": 1, '': 1}",
        [
            r"'a\nb': unknown key; write one of: key_env, servers, tools, jwt_claims",
            "'': unknown key; write one of: key_env, servers, tools, jwt_claims",
        ],
    ),
]


@pytest.mark.parametrize(("key", "says"), KEY)
def test_of_a_key(told: Callable[[str], list[str]], key: str, says: list[str]) -> None:
    text = f"""\
gateway:
  keys:
    dev: {{key_env: DEV_KEY, servers: [up]}}
    new: {key}
mcp_servers:
  up: {{transport: http, url: 'http://a.test'}}
  other: {{transport: http, url: 'http://a.test', access_groups: [grp]}}
"""
    expected = [f"4: gateway.keys.new.{line}".replace(".:", ":") for line in says]
    assert told(text) == expected


@pytest.mark.parametrize(
    ("gateway", "says"),
    [
        ("hooks: [a.b]", "hooks[0]: 'a.b' is not an import path; write one like package.module:function"),
        (
            "hooks: ['a:b', 'a.:b', ':b']",
            "hooks[1]: 'a.:b' is not an import path; write one like package.module:function",
        ),
        (
            "hooks: ['a:b c']",
            "hooks[0]: 'a:b c' is not an import path; write one like package.module:function",
        ),
        (
            "hook_authorization: override2",
            "hook_authorization: 'override2' is unknown; did you mean 'override'?",
        ),
        (
            "openapi_hook_headers: no",
            "openapi_hook_headers: false is not a text; write one, in quotes if it looks like something else",
        ),
        ("probe_seconds: 0", "probe_seconds: 0 leaves no time; write seconds above 0"),
        (
            f"probe_seconds: {10**400}",
            f"probe_seconds: 1{'0' * 38}… is no time; write seconds from 0 on",
        ),
        ("keep_alive_seconds: -1", "keep_alive_seconds: -1 is no time; write seconds from 0 on"),
        ("key: {}", "key: unknown key; did you mean 'keys'?"),
    ],
)
def test_of_the_gateway(told: Callable[[str], list[str]], gateway: str, says: str) -> None:
    assert told(f"gateway:\n  {gateway}")[0] == f"2: gateway.{says}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "\nmcp_servers: {fs: {transport: stdio, command: x}}",
            ["2: mcp_servers: nobody may call these servers; write gateway.keys"],
        ),
        (
            "\nmcp_servers: {fs: {transport: stdio, command: x}}\ngateway: {}",
            [
                "3: gateway.keys: without a key nobody may call the servers; "
                'write one, such as `dev: {key_env: DEV_KEY, servers: ["*"]}`'
            ],
        ),
        (
            "\n" + KEYS,
            ["2: gateway: there is nothing to call; write mcp_servers, or leave gateway out"],
        ),
        (
            KEYS + "mcp_servers: {fs-: {transport: stdio, command: x}}",
            [f"2: mcp_servers.fs-: 'fs-' {NO_NAME}"],
        ),
    ],
)
def test_of_the_file(told: Callable[[str], list[str]], text: str, says: list[str]) -> None:
    assert told(text) == says


@pytest.mark.parametrize(
    ("servers", "says"),
    [
        (
            {"a": "x", "b": "x", "c": "x"},
            [
                "4: mcp_servers.b.prefix: tools of 'x' could be those of 'x', the prefix of mcp_servers.a; "
                "write another prefix",
                "5: mcp_servers.c.prefix: tools of 'x' could be those of 'x', the prefix of mcp_servers.a; "
                "write another prefix",
            ],
        ),
        (
            {"git": None, "git-hub": None},
            [
                "4: mcp_servers.git-hub.prefix: tools of 'git-hub' could be those of 'git', "
                "the prefix of mcp_servers.git; write another prefix"
            ],
        ),
        (
            {"a": "git-hub", "git": None},
            [
                "4: mcp_servers.git.prefix: tools of 'git' could be those of 'git-hub', "
                "the prefix of mcp_servers.a; write another prefix"
            ],
        ),
        (
            {"a": "", "b": None, "c": ""},
            [
                "3: mcp_servers.a.prefix: is empty beside other servers; write one",
                "5: mcp_servers.c.prefix: is empty beside other servers; write one",
            ],
        ),
    ],
)
def test_of_prefixes(
    told: Callable[[str], list[str]], servers: dict[str, str | None], says: list[str]
) -> None:
    lines = [
        f"  {name}: {{transport: stdio, command: x{'' if prefix is None else f', prefix: {prefix!r}'}}}\n"
        for name, prefix in servers.items()
    ]
    assert told(f"{KEYS}mcp_servers:\n{''.join(lines)}") == says


def test_prefixes_that_only_look_alike(read: Callable[[str], Config]) -> None:
    config = read(
        f"{KEYS}mcp_servers:\n"
        "  git: {transport: stdio, command: x}\n"
        "  github: {transport: stdio, command: x}\n"
        "  git_hub: {transport: stdio, command: x, prefix: git.hub}\n"
    )
    assert list(config.mcp_servers) == ["git", "github", "git_hub"]


def test_a_group_that_is_named_like_a_server(told: Callable[[str], list[str]]) -> None:
    servers = "  a:\n    transport: stdio\n    command: x\n    access_groups:\n    - g\n    - b\n"
    assert told(f"{KEYS}mcp_servers:\n{servers}  b: {{transport: stdio, command: x}}") == [
        "8: mcp_servers.a.access_groups[1]: 'b' is the name of a server; name the group otherwise"
    ]


def test_several_faults_are_told_in_the_order_of_the_file(told: Callable[[str], list[str]]) -> None:
    text = """\
mcp_servers:
  one:
    command: x
  two:
    transport: stdio
    url: http://a.test
gateway:
  keys:
    dev:
      servers: ["*", 1]
      key_env: NOT_SET
  hooks:
  - fine:too
  - not
"""
    assert told(text) == [
        "2: mcp_servers.one.transport: is missing; write it, such as `transport: http`",
        "4: mcp_servers.two.command: is missing; stdio needs the program to start, such as `command: npx`",
        "6: mcp_servers.two.url: is not for stdio; leave it out, or write transport: http or sse or openapi",
        "10: gateway.keys.dev.servers[1]: 1 is not a text; "
        "write one, in quotes if it looks like something else",
        f"11: gateway.keys.dev.key_env: {UNSET}",
        "14: gateway.hooks[1]: 'not' is not an import path; write one like package.module:function",
    ]


@pytest.mark.parametrize(
    "value",
    ["*{}", "!{}", "!a!{}", "&{}", "!!binary {}é", "!!int {}", "[{}", "{{{}: ", '"{}\n', "@{}", "`{}"],
)
@pytest.mark.parametrize(
    "key", ["static_headers: {A: %s}", "env: {A: %s}", "static_headers_env: {A: %s}", "url: %s", "args: [%s]"]
)
def test_a_secret_that_YAML_reads_as_something_else(
    told: Callable[[str], list[str]], key: str, value: str
) -> None:
    told(f"{KEYS}mcp_servers:\n  up:\n    transport: http\n    {key % value.format(SECRET)}")


@pytest.mark.parametrize("name", ["Host", "TE", "mcp-protocol-version", "Mcp-Param-X", "X-MCP-Servers"])
def test_headers_that_are_taken(name: str) -> None:
    assert is_owned(name)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Mcp", "User-Agent", "Hosts"])
def test_headers_that_are_free(name: str) -> None:
    assert not is_owned(name)


# --- any file


def _dump(data: Any) -> str:
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.binary(max_size=4),
    st.sampled_from(
        [
            "up",
            "*",
            "stdio",
            "http",
            "openapi",
            "TOKEN",
            "DEV_KEY",
            "http://a.test",
            "a:b",
            "Host",
            "data/pets.json",
        ]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def of(form: Any) -> st.SearchStrategy[Any]:
    """Values that a form may meet: those it is made for, as far down as it goes, and any others."""
    if isinstance(form, type) and is_dataclass(form):
        keys = {field.name: of(field.metadata["form"]) for field in fields(form)}
        return st.fixed_dictionaries({}, optional=keys) | values
    if isinstance(form, Each):
        return st.lists(of(form.form), max_size=3) | values
    if isinstance(form, Entries):
        names = st.sampled_from(["up", "other", "dev", "X-A", "TOKEN"]) | st.text(max_size=4)
        return st.dictionaries(names, of(form.form), max_size=3) | values
    assert isinstance(form, Json | Beside) or callable(form)
    return values


@given(data=of(Config))
def test_any_values_are_read_or_told(data: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "gateway.yaml"
    path.write_text(_dump(data), "utf-8")
    try:
        lines = [] if isinstance(read_config(path), Config) else ["nothing was read"]
    except ConfigError as error:
        lines = str(error).splitlines() or ["an error that says nothing"]
    assert [line for line in lines if not is_told(line, path)] == []


def is_told(line: str, path: Path) -> bool:
    """Whether a line is `file:line: [key: ]what is wrong; what to write`."""
    number, _, rest = line.removeprefix(f"{path}:").partition(": ")
    return number.isdecimal() and "; " in rest


@given(
    secret=st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=6),
    key=st.sampled_from(
        [
            "static_headers",
            "static_headers_env",
            "env",
            "env_from",
            "args",
            "url",
            "client_credentials",
            "key_env",
        ]
    ),
    wrap=st.sampled_from(["{}", "[{}]", "{{A: {}}}", "{{client_secret_env: {}}}", "{{token_url: {}}}"]),
)
def test_what_may_be_a_secret_is_never_told(
    secret: str, key: str, wrap: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = f"Zq{secret}"  # no word of a message begins like this
    path = tmp_path_factory.getbasetemp() / "secret.yaml"
    server = f"{{transport: smtp, {key}: {wrap.format(secret)}}}"
    path.write_text(
        f"mcp_servers:\n  up: {server}\ngateway: {{keys: {{dev: {{key_env: {secret}}}}}}}", "utf-8"
    )
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert "Zq" not in str(error.value)
