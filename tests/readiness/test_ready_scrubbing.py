"""No secret of the environment stands in anything that becomes evidence."""

from __future__ import annotations

import json
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.readiness.gate.scrubbing import Scrubber, shown_environment

ENVIRON = {
    "GATEWAY_TOKEN": 'a"b<c>&d\\e ü',
    "DATABASE_URL": "postgres://joe:open-sesame@db/x",
    "MODEL_KEY": "sk-0123456789abcdef",
    "SHORT_PASSWORD": "abc",
    "HOME": "/home/joe",
    "PWD": "/home/joe/project",
    "CI": "true",
    "ND_REAL_BASE_URL": "http://joe:open-sesame@127.0.0.1:1/v1",
}
SCRUBBER = Scrubber(ENVIRON)
TOKEN = ENVIRON["GATEWAY_TOKEN"]


@pytest.mark.parametrize(
    "written",
    [
        TOKEN,
        json.dumps(TOKEN),
        json.dumps(TOKEN, ensure_ascii=False),
        escape(TOKEN),
        quoteattr(TOKEN),
        repr(TOKEN),
        quote(TOKEN, safe=""),
        "open-sesame",
        ENVIRON["DATABASE_URL"],
        ENVIRON["MODEL_KEY"],
    ],
)
def test_however_it_is_written(written: str) -> None:
    text = f"before {written} after"
    told = SCRUBBER.known(text)
    assert "***" in told
    assert written.strip("\"'") not in told
    assert (told[:7], told[-6:]) == ("before ", " after")
    assert SCRUBBER.data(text.encode()) == told.encode()


def test_what_is_no_secret_stays() -> None:
    text = "abc /home/joe/project true postgres://db/x"
    assert SCRUBBER.text(text) == text
    assert Scrubber({}).known(text) == text


def test_what_looks_like_a_credential_goes_from_texts() -> None:
    assert SCRUBBER.text("Authorization: Bearer abcdefgh1234") == "Authorization: ***"


def test_a_key_of_several_lines() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n-----END KEY-----"
    assert Scrubber({"SIGNING_SECRET": key}).known("log: MIIEvQIBADANBg") == "log: ***"


def test_any_file_keeps_its_other_bytes() -> None:
    content = bytes(range(256)) + b"open-sesame" + bytes(range(256))
    assert SCRUBBER.data(content) == bytes(range(256)) + b"***" + bytes(range(256))


def test_words_of_a_command() -> None:
    header = "Authorization: Bearer abcdefg"
    words = ["--api-key", "hidden1", "--bearer-env", "MY_KEY", "--header", header, "x"]
    shown = ("--api-key", "***", "--bearer-env", "MY_KEY", "--header", "Authorization: ***", "x")
    assert SCRUBBER.words(words) == shown


def test_the_environment_is_shown_by_name() -> None:
    assert shown_environment(ENVIRON, SCRUBBER) == {
        **dict.fromkeys(sorted(ENVIRON), "***"),
        "CI": "true",
        "ND_REAL_BASE_URL": "***",
    }


def test_junit_stays_xml() -> None:
    content = b'<s><t name="open-sesame"><f message="Bearer abcdefgh">Bearer abcdefgh</f></t></s>'
    told = SCRUBBER.junit(content)
    assert [element.attrib for element in ElementTree.fromstring(told).iter()] == [
        *({}, {"name": "***"}, {"message": "***"})
    ]
    assert b"abcdefgh" not in told
    assert SCRUBBER.junit(b"<s>open-sesame") == b"<s>***"


@given(st.text(min_size=6, max_size=20), st.text(max_size=10))
def test_json_stays_json_and_holds_no_secret(secret: str, other: str) -> None:
    scrubber = Scrubber({"A_SECRET": secret})
    line = json.dumps({"a": [other, secret], "b": f"a {secret} b"}, ensure_ascii=False)
    told = scrubber.known(line)
    assert json.dumps(secret, ensure_ascii=False) not in told
    json.loads(told)
