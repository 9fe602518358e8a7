"""A secret that a test leaves in the program, the environment or a client stands in no output of the run."""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_mcpsmoke.glue import start  # noqa: F401  # kept loaded: all runs in this process share its Probe

MARK = f"m4rk{secrets.token_hex(8)}"
# No source holds the marker itself: what is found in an output was read from a value.
PROGRAM = {
    "marker.py": f"MARK = bytes.fromhex({MARK.encode().hex()!r}).decode()\n",
    "app/vault.py": """
        class Session:
            def __init__(self):
                self.token = None
                self.name = None

        class Slotted:
            __slots__ = ("password",)

            def __init__(self):
                self.password = None

        CONFIG = {"password": None, "url": None, "nested": {"deep": [{}]}}
        HEADERS = []
        PLAIN = {}
        SESSION = Session()
        SLOTTED = Slotted()
        LAST = None

        def call(*, api_key=None):
            return api_key
        """,
}
HEAD = """\
import functools, io, logging, os, sys, threading, types
import pytest
from app import vault
from marker import MARK

@pytest.fixture(scope="module")
def creds():
    return {"api_key": None, "items": []}

"""
# One line each, and the place that the report must still name.
LEAKS = {
    "environ": ('os.environ["API_KEY"] = MARK', "os.environ['API_KEY']"),
    "environ, URL": (
        'os.environ["UPSTREAM"] = f"https://bob:{MARK}@mcp.example/sse"',
        "os.environ['UPSTREAM']",
    ),
    "environ, URL with a token as user": (
        'os.environ["UPSTREAM"] = f"https://{MARK}@mcp.example/sse"',
        "os.environ['UPSTREAM']",
    ),
    "environ, query of a URL": (
        'os.environ["UPSTREAM"] = f"https://mcp.example/sse?mode=1&api_key={MARK}"',
        "os.environ['UPSTREAM']",
    ),
    "environ, short name": ('os.environ["DB_PWD"] = MARK', "os.environ['DB_PWD']"),
    "key": ('vault.CONFIG["password"] = MARK', "app.vault.CONFIG['password']"),
    "key, URL": ('vault.CONFIG["url"] = f"postgres://bob:{MARK}@db/x"', "app.vault.CONFIG['url']"),
    "key, nested": (
        'vault.CONFIG["nested"]["deep"][0]["api_key"] = MARK',
        "app.vault.CONFIG['nested']['deep'][0]['api_key']",
    ),
    "value of a secret key": (
        'vault.CONFIG["secrets"] = {"one": [MARK]}',
        "app.vault.CONFIG['secrets']",
    ),
    "dict inside": ('vault.LAST = {"headers": {"Authorization": MARK}}', "app.vault.LAST"),
    "dict with short names": ('vault.LAST = {"pw": MARK, "pwd": MARK, "pass": MARK}', "app.vault.LAST"),
    "dict with a hyphen": ('vault.LAST = {"X-Api-Key": MARK}', "app.vault.LAST"),
    "dict with bytes": ('vault.LAST = {b"x-api-key": MARK.encode()}', "app.vault.LAST"),
    "list": ('vault.HEADERS.append({"api_key": MARK})', "app.vault.HEADERS"),
    "pair, bearer": ('vault.HEADERS.append(("authorization", "Bearer " + MARK))', "app.vault.HEADERS"),
    "pair": ('vault.HEADERS.append(("authorization", MARK))', "app.vault.HEADERS"),
    "pair with a hyphen": ('vault.HEADERS.append(("x-api-key", MARK))', "app.vault.HEADERS"),
    "pair, a list": ('vault.HEADERS.append(["token", MARK])', "app.vault.HEADERS"),
    "pair of bytes, bearer": (
        'vault.HEADERS.append((b"authorization", b"Bearer " + MARK.encode()))',
        "app.vault.HEADERS",
    ),
    "pair of bytes": ('vault.HEADERS.append((b"x-api-key", MARK.encode()))', "app.vault.HEADERS"),
    "pair in a set": ('vault.LAST = frozenset({("api_key", MARK)})', "app.vault.LAST"),
    "header line": ('vault.HEADERS.append("X-Api-Key: " + MARK)', "app.vault.HEADERS"),
    "header line, scheme": ('vault.LAST = "Authorization: Token " + MARK', "app.vault.LAST"),
    "cookie line": ('vault.HEADERS.append("Cookie: session=" + MARK)', "app.vault.HEADERS"),
    "header line of bytes": (
        'vault.HEADERS.append(b"Cookie: session=" + MARK.encode())',
        "app.vault.HEADERS",
    ),
    "JSON text": ('vault.LAST = \'{"api_key": "%s"}\' % MARK', "app.vault.LAST"),
    "connection string": ('vault.LAST = f"Server=db;Password={MARK};"', "app.vault.LAST"),
    "command line": ('sys.argv += ["--api-key", MARK]', "sys.argv"),
    "command line, one word": ('sys.argv.append(f"--token={MARK}")', "sys.argv"),
    "name of a key": ('vault.PLAIN[f"Bearer {MARK}"] = 1', "app.vault.PLAIN['***']"),
    "name of a key, assigned": ('vault.PLAIN[f"token={MARK}"] = 1', "app.vault.PLAIN["),
    "name of a key, a pair": ('vault.PLAIN["authorization", MARK] = 1', "app.vault.PLAIN["),
    "logger": ('logging.getLogger(f"client.sk-{MARK}").setLevel(10)', "logging.getLogger('client.***')"),
    "attribute": ("vault.SESSION.token = MARK", "app.vault.SESSION.token"),
    "attribute, value": ('vault.SESSION.name = f"sk-{MARK}"', "app.vault.SESSION.name"),
    "slot": ("vault.SLOTTED.password = MARK", "app.vault.SLOTTED.password"),
    "class attribute": ("vault.Session.SECRET = MARK", "app.vault.Session.SECRET"),
    "keyword default": ("vault.call.__kwdefaults__['api_key'] = MARK", "app.vault.call.__kwdefaults__"),
    "partial": ("vault.LAST = functools.partial(vault.call, api_key=MARK)", "app.vault.LAST"),
    "object": ("vault.LAST = types.SimpleNamespace(token=MARK)", "app.vault.LAST"),
    "stream": ('vault.LAST = io.StringIO(f"password={MARK}")', "app.vault.LAST"),
    "fixture": ('creds["api_key"] = MARK', "fixture creds['api_key']"),
    "fixture, a list": ('creds["items"].append({"api_key": MARK})', "fixture creds['items']"),
    "long text": ('vault.LAST = "x" * 60 + " Bearer " + MARK', "app.vault.LAST"),
    "long bytes": ('vault.LAST = b"x" * 990 + b" Bearer " + MARK.encode()', "app.vault.LAST"),
}
LEAKS["thread"] = (
    'timer = threading.Timer(60, print); timer.daemon = True; timer.name = f"token={MARK}"; timer.start()',
    "thread '",
)
CLIENTS = {
    "header": ('CLIENT.headers["Authorization"] = MARK', "app.client.CLIENT.headers['authorization']"),
    "header, bearer": (
        'CLIENT.headers["X-Forwarded"] = f"Bearer {MARK}"',
        "app.client.CLIENT.headers['x-forwarded']",
    ),
    "header with a hyphen": ('CLIENT.headers["X-Api-Key"] = MARK', "app.client.CLIENT.headers['x-api-key']"),
    "cookie": ('CLIENT.cookies.set("session", MARK)', "app.client.CLIENT.cookies['session']"),
    "cookie of a domain": (
        'CLIENT.cookies.set("session", MARK, domain="mcp.example")',
        "app.client.CLIENT.cookies['session', 'mcp.example']",
    ),
    "auth": ('CLIENT.auth = ("bob", MARK)', "app.client.CLIENT.auth"),
    "base URL": ('CLIENT.base_url = f"https://bob:{MARK}@mcp.example"', "app.client.CLIENT.base_url"),
    "headers without a client": ('HEADERS["X-Api-Key"] = MARK', "app.client.HEADERS._list"),
    "cookies without a client": ('JAR.set("session", MARK); HEADERS["X"] = "y"', "app.client.HEADERS._list"),
}


def outputs(suite: Any, *args: str, subprocess: bool = False) -> dict[str, str]:
    """All that a run says, by where it says it."""
    run = suite.run("-ra", "--junitxml=junit.xml", *args, subprocess=subprocess)
    return {
        "terminal": run.result.stdout.str() + run.result.stderr.str(),
        "json": (suite.path / "leaks.jsonl").read_text(encoding="utf-8"),
        "junit": (suite.path / "junit.xml").read_text(encoding="utf-8"),
    }


def holes(texts: dict[str, str], mark: str = MARK) -> list[str]:
    """The lines that show the marker, or enough of it."""
    return [
        f"{where}: {line}" for where, text in texts.items() for line in text.splitlines() if mark[:10] in line
    ]


def write(suite: Any, *lines: str, head: str = HEAD) -> None:
    tests = [f"def test_{number}(creds):\n    {line}\n" for number, line in enumerate(lines)]
    suite.write({**PROGRAM, "test_case.py": head + "\n".join(tests)})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the made-up tests leave in this process is undone here."""
    for name in ("API_KEY", "UPSTREAM", "DB_PWD"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", sys.argv[:])
    before = threading.enumerate()
    yield
    for thread in threading.enumerate():
        if thread not in before and isinstance(thread, threading.Timer):
            thread.cancel()


@pytest.mark.parametrize(("line", "place"), LEAKS.values(), ids=LEAKS)
def test_a_value(suite: Any, line: str, place: str) -> None:
    write(suite, line)
    texts = outputs(suite, "--leaks=fail", "--leaks-restore")
    assert all(place in texts[where] for where in ("terminal", "json")), texts["terminal"]
    assert holes(texts) == []


@pytest.mark.parametrize(("line", "place"), CLIENTS.values(), ids=CLIENTS)
def test_a_client(suite: Any, line: str, place: str) -> None:
    pytest.importorskip("httpx")
    source = "import httpx\n\nCLIENT = httpx.Client()\nHEADERS = httpx.Headers()\nJAR = httpx.Cookies()\n"
    suite.write({"app/client.py": source})
    head = "from app.client import CLIENT, HEADERS, JAR\n" + HEAD
    write(suite, line, head=head)
    texts = outputs(suite, "--leaks=fail", "--leaks-restore")
    assert all(place in texts[where] for where in ("terminal", "json")), texts["terminal"]
    assert holes(texts) == []


@pytest.mark.parametrize(
    "args",
    [("--leaks=report",), ("--leaks=fail", "-p", "xdist", "-n", "2"), ("--leaks=fail", "--leaks-restore")],
    ids=["report", "fail in workers", "fail and restore"],
)
def test_one_after_the_other(suite: Any, args: tuple[str, ...]) -> None:
    """Each leak is what another one's change starts from; and what a run tells at its end is told."""
    if "xdist" in args:
        pytest.importorskip("xdist")
    write(suite, *(line for line, _ in LEAKS.values()))
    texts = outputs(suite, *args, "--leaks-size=1", "--leaks-depth=2", subprocess=True)
    assert "not read whole: app.vault.CONFIG (more than 1 items)" in texts["terminal"]
    assert texts["json"].count('"verdict": "leak"') > len(LEAKS) // 2
    assert holes(texts) == []


def test_a_marker_that_is_no_secret_is_shown(suite: Any) -> None:
    """The proof that the others can fail."""
    write(suite, "vault.LAST = MARK", "vault.PLAIN['plain'] = [MARK]")
    texts = outputs(suite, "--leaks=fail")
    assert {hole.partition(":")[0] for hole in holes(texts)} == {"terminal", "json", "junit"}


LITERALS = (
    'vault.SESSION.token = "LITERAL"',
    'vault.CONFIG["password"] = "LITERAL"',
    'vault.HEADERS.append(("x-api-key", "LITERAL"))',
    'vault.HEADERS.append(("Authorization", "LITERAL"))',
    'vault.LAST = "https://bob:LITERAL@mcp.example"',
    'vault.LAST = "https://LITERAL@mcp.example"',
    'vault.LAST = {"pwd": "LITERAL"}',
    'os.environ["UPSTREAM"] = "https://mcp.example?api_key=LITERAL"',
    "os.environ.update(API_KEY='LITERAL')",
    'setattr(vault, "LAST", dict(token="LITERAL"))',
    "vault.LAST = b'Bearer LITERAL'",
)


@pytest.mark.parametrize("line", LITERALS)
def test_a_literal_in_the_line_that_is_shown(suite: Any, line: str) -> None:
    write(suite, line.replace("LITERAL", MARK))
    texts = outputs(suite, "--leaks=fail")
    assert "test_case.py:11  " in texts["terminal"]
    assert holes(texts) == []


def test_an_error_of_putting_back(suite: Any) -> None:
    """What the program raises then may repeat what it was given."""
    suite.write(
        {
            "app/keys.py": """
                class Key:
                    def __init__(self, text):
                        self.text = text
                        self.is_broken = False

                    def __hash__(self):
                        if self.is_broken:
                            raise ValueError(f"no hash for api_key={self.text}")
                        return 1

                    def __eq__(self, other):
                        return self is other

                TABLE = {}
                """
        }
    )
    head = HEAD + "from app.keys import TABLE, Key\n"
    write(suite, "key = Key(MARK); TABLE[key] = 1; key.is_broken = True", head=head)
    texts = outputs(suite, "--leaks=fail", "--leaks-restore")
    assert "not put back: ValueError: no hash for api_key=***" in texts["terminal"]
    assert holes(texts) == []


def test_a_probe_that_raises(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": """
                from marker import MARK
                from pytest_mcpsmoke.state.probes.base import Probe

                class Vault(Probe):
                    name = "vault"
                    blind = "nothing"

                    def read(self):
                        raise RuntimeError(f"refused: password={MARK}")

                def pytest_mcpsmoke_probes(config):
                    return [Vault()]
                """
        }
    )
    write(suite, "pass")
    texts = outputs(suite)
    assert "probe vault: raised RuntimeError: refused: password=***" in texts["terminal"]
    assert holes(texts) == []


def test_a_place_that_was_not_read_whole(suite: Any) -> None:
    """Notes name places, and places name keys."""
    write(suite, 'vault.PLAIN[f"Bearer {MARK}"] = list(range(50))', "vault.LAST = 1")
    texts = outputs(suite, "--leaks-size=20")
    assert "not read whole: app.vault.PLAIN['***'] (more than 20 items)" in texts["terminal"]
    assert holes(texts) == []
