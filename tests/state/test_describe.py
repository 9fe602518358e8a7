"""Values as text: bounded, redacted, and without running anybody's code."""

from __future__ import annotations

import string
import types
from typing import Any
from unittest.mock import MagicMock

import hostile
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_diff import VALUES

from pytest_mcpsmoke.state.describe import LIMIT, describe, is_secret_name, redact, redact_source
from pytest_mcpsmoke.state.place import MISSING


class Config:
    """A class to be described."""

    def load(self) -> int:
        return 1

    @staticmethod
    def parse() -> int:
        return 1

    @classmethod
    def build(cls) -> int:
        return 1

    @property
    def size(self) -> int:
        return 1

    class Inner:
        pass


def local_class() -> type:
    class Local:
        pass

    return Local


CYCLE: list[Any] = [1]
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MISSING, "(nothing)"),
        (None, "None"),
        (True, "True"),
        (5, "5"),
        (1.5, "1.5"),
        (..., "Ellipsis"),
        ("text", "'text'"),
        ("it's", '"it\'s"'),
        (b"\x00a", "b'\\x00a'"),
        (Config, "class Config"),
        (Config.Inner, "class Config.Inner"),
        (local_class(), "class Local"),
        (int, "class int"),
        (string, "module string"),
        (types.ModuleType("made"), "module made"),
        (len, "built-in function len"),
        (local_class, "function local_class"),
        (lambda: 1, "function <lambda>"),
        (Config().load, "method load"),
        (vars(Config)["parse"], "static method parse"),
        (vars(Config)["build"], "class method build"),
        (vars(Config)["size"], "property size"),
        (Config(), "Config object"),
        (local_class()(), "Local object"),
        (MagicMock(), "MagicMock object"),
        (MagicMock(spec=Config), "MagicMock object"),
        (types.SimpleNamespace(a=1), "SimpleNamespace object"),
        ([], "[]"),
        ((), "()"),
        ({}, "{}"),
        (set(), "set()"),
        (frozenset(), "frozenset()"),
        ([1, "a"], "[1, 'a']"),
        ((1,), "(1,)"),
        ({1}, "{1}"),
        (frozenset({1}), "frozenset({1})"),
        ({"a": 1}, "{'a': 1}"),
        ([1, 2, 3, 4, 5, 6], "[1, 2, 3, 4, … 2 more]"),
        (dict.fromkeys(range(6)), "{0: None, 1: None, 2: None, 3: None, … 2 more}"),
        ([[[[[1]]]]], "[[[[…]]]]"),
        ({"a": {"b": {"c": {"d": 1}}}}, "{'a': {'b': {'c': {…}}}}"),
        (CYCLE, "[1, [1, [1, […]]]]"),
        (10**100, "int of 333 bits"),
        (-(10**5000), "int of 16610 bits"),
        (type("Dict", (dict,), {})(a=1), "Dict object"),
        ({"api_key": "0123", "user": "me"}, "{'api_key': ***, 'user': 'me'}"),
    ],
    ids=lambda value: value if type(value) is str else "value",
)
def test_what_a_value_looks_like(value: Any, text: str) -> None:
    assert describe(value) == text


def test_a_long_text_is_cut() -> None:
    assert describe("x" * 1000) == "'" + "x" * 78 + "…"
    assert describe(b"x" * 1000) == "b'" + "x" * 77 + "…"
    assert describe(type("C" * 500, (), {})) == "class " + "C" * 73 + "…"


@given(VALUES)
def test_a_description_is_bounded_and_of_one_line(value: Any) -> None:
    text = describe(value)
    assert 0 < len(text) <= LIMIT
    assert text.splitlines() == [text]


@pytest.mark.parametrize("kind", hostile.hostile_kinds())
def test_nobody_is_asked_to_describe_itself(kind: str) -> None:
    value = hostile.hostile_kinds()[kind]
    hostile.ASKED.clear()
    for described in (value, [value], (value,), {"key": value}, {1: [value]}):
        assert describe(described)
        assert describe(described, "api_token")
    assert hostile.ASKED == []


def test_who_pretends_is_seen_through() -> None:
    hostile.ASKED.clear()
    assert describe(hostile.Pretender(type)) == "Pretender object"
    assert describe(hostile.Pretender(types.ModuleType)) == "Pretender object"
    assert describe(hostile.Pretender(str), "password") == "Pretender ***"
    assert hostile.ASKED == []


def test_a_module_without_a_proper_name_is_described() -> None:
    module = types.ModuleType("m")
    vars(module)["__name__"] = hostile.hostile_kinds()["a str"]
    hostile.ASKED.clear()
    assert describe(module) == "module ?"
    assert hostile.ASKED == []


SECRET_NAMES = """
    token API_KEY apikey access_key private_key password passwd PASSPHRASE Authorization authorisation
    credentials session_cookie BEARER jwt SENTRY_DSN client_secret
    """


@pytest.mark.parametrize("name", SECRET_NAMES.split())
def test_values_under_secret_names_are_hidden(name: str) -> None:
    assert is_secret_name(name)
    assert describe("hunter2", name) == "str ***"
    assert describe(["hunter2"], name) == "list ***"
    assert (
        describe({name: "hunter2", "a": [{name: 5}]})
        == "{" + f"{name!r}: ***, 'a': [{{{name!r}: ***}}]" + "}"
    )


def test_what_is_no_data_is_shown_under_a_secret_name() -> None:
    assert describe(Config, "token") == "class Config"
    assert describe(None, "token") == "None"
    assert describe(local_class, "token") == "function local_class"
    assert describe(MISSING, "token") == "(nothing)"


@pytest.mark.parametrize("name", ["mode", "route", "key", "author", "pass_through"])
def test_other_names_hide_nothing(name: str) -> None:
    assert describe("value", name) == "'value'"


SECRETS = {
    "bearer token": ("Authorization: Bearer abcdef123456", "abcdef123456"),
    "basic": ("basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
    "openai": ("key sk-proj-abcdefghijkl", "sk-proj-abcdefghijkl"),
    "github": ("ghp_0123456789abcdef", "0123456789abcdef"),
    "github fine": ("github_pat_0123456789abcdef", "0123456789abcdef"),
    "slack": ("xoxb-0123456789-abc", "0123456789"),
    "gitlab": ("glpat-0123456789", "0123456789"),
    "aws": ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7EXAMPLE"),
    "jwt": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0", "hbGciOiJIUzI1NiJ9"),
    "url": ("postgres://user:hunter2@host/db", "hunter2"),
    "redis": ("redis://:hunter2@host:6379/0", "hunter2"),
}


@pytest.mark.parametrize(("text", "secret"), SECRETS.values(), ids=SECRETS)
def test_credentials_inside_texts_are_hidden(text: str, secret: str) -> None:
    for value in (text, [text], {"a": text}, ("", {"b": [text]}), text.encode()):
        assert secret not in describe(value)
    assert secret not in redact(text)
    assert secret not in redact_source(f'app.HEADERS = {{"a": "{text}"}}', "shop.app.HEADERS")


@given(st.text("abcdefghij0123456789", min_size=8, max_size=200), st.integers(0, 120))
def test_a_credential_does_not_appear_wherever_it_stands(secret: str, position: int) -> None:
    text = " " * position + "Bearer " + secret
    assert secret[:8] not in describe(text)


def test_a_text_without_credentials_stays_as_it_is() -> None:
    for text in (
        "http://localhost:8000/mcp",
        "a basic test",
        "sk-short",
        "token",
        "bearer of news",
        "user@host",
    ):
        assert redact(text) == text


@pytest.mark.parametrize(
    ("line", "place", "shown"),
    [
        ('app.API_KEY = "hunter2"', "shop.app.API_KEY", 'app.API_KEY = "***"'),
        ("setattr(app, 'API_KEY', 'hunter2')", "shop.app.API_KEY", "setattr(app, 'API_KEY', \"***\")"),
        ('app.client = Client(token="hunter2")', "shop.app.client", 'app.client = Client(token="***")'),
        ('app.mode = "test"', "shop.app.mode", 'app.mode = "test"'),
        ("app.TOKEN = 'a\\'b'", "shop.app.TOKEN", 'app.TOKEN = "***"'),
        ('app.TOKEN = b"hunter2"', "shop.app.TOKEN", 'app.TOKEN = b"***"'),
        ('app.TOKEN = """hunter2"""', "shop.app.TOKEN", 'app.TOKEN = "***"'),
        ("app.TOKEN = make()", "shop.app.TOKEN", "app.TOKEN = make()"),
    ],
)
def test_a_source_line_hides_what_stands_in_quotes_beside_a_secret(line: str, place: str, shown: str) -> None:
    assert redact_source(line, place) == shown


@given(st.text(string.ascii_letters + string.digits, min_size=12, max_size=30), st.sampled_from("'\""))
def test_a_quoted_secret_never_survives(secret: str, quote: str) -> None:
    line = f"app.PASSWORD = {quote}{secret}{quote}"
    assert secret not in redact_source(line, "shop.app.PASSWORD")
    assert secret not in redact_source(line, "shop.app.other")


@given(st.text(max_size=200), st.text(max_size=30))
def test_any_line_can_be_redacted(line: str, place: str) -> None:
    once = redact_source(line, place)
    assert redact_source(once, place) == once
