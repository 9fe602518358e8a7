"""--leaks-undo: what a process that is thrown away may put back beside leaks."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

PAIRS: dict[str, tuple[dict[str, str], str]] = {
    "first import": (
        {
            "client.py": "import sdk\nNAME = sdk.NAME\n",
            "sdk.py": 'NAME = "real"\n',
            "test_a.py": """
                def test_real():
                    import client
                    assert client.NAME == "real"
                """,
            "test_b.py": """
                import sys, types

                def test_stubbed(monkeypatch):
                    monkeypatch.setitem(sys.modules, "sdk", types.SimpleNamespace(NAME="stub"))
                    import client
                    assert client.NAME == "stub"
                """,
        },
        "sys.modules['client']",
    ),
    "cache": (
        {
            "client.py": """
                import functools, os

                @functools.lru_cache
                def url():
                    return os.environ.get("PROXY_URL", "none")
                """,
            "test_a.py": "import client\n\ndef test_none():\n    assert client.url() == 'none'\n",
            "test_b.py": """
                import client

                def test_url(monkeypatch):
                    monkeypatch.setenv("PROXY_URL", "http://127.0.0.1:1")
                    assert client.url() == "http://127.0.0.1:1"
                """,
        },
        "client.url.cache_info()",
    ),
    "singleton": (
        {
            "client.py": """
                import os

                _client = None

                def client():
                    global _client
                    if _client is None:
                        _client = (os.environ.get("PROXY_URL", "none"),)
                    return _client
                """,
            "test_a.py": "import client\n\ndef test_none():\n    assert client.client() == ('none',)\n",
            "test_b.py": """
                import client

                def test_url(monkeypatch):
                    monkeypatch.setenv("PROXY_URL", "url")
                    assert client.client() == ("url",)
                """,
        },
        "client._client",
    ),
}


def outcomes(observed: Any) -> list[str]:
    return [test["outcome"] for test in observed.of_type("test")]


@pytest.mark.parametrize("name", PAIRS)
def test_one_place_undone_heals_the_victim(suite: Any, name: str) -> None:
    files, place = PAIRS[name]
    suite.write(files)
    assert outcomes(suite.run("test_a.py", "test_b.py", subprocess=True)) == ["passed", "failed"]
    healed = suite.run("test_a.py", "test_b.py", f"--leaks-undo={place}", subprocess=True)
    assert outcomes(healed) == ["passed", "passed"]
    told = {
        finding["place"]: (finding["verdict"], finding["restored"])
        for finding in healed.of_type("finding")
        if finding["owner"].startswith("test_a.py")
    }
    assert told.pop(place) == ("warm-up", True)
    assert {restored for _, restored in told.values()} <= {None}


@pytest.mark.parametrize("name", PAIRS)
def test_everything_undone_heals_the_victim(suite: Any, name: str) -> None:
    files, place = PAIRS[name]
    suite.write(files)
    healed = suite.run("test_a.py", "test_b.py", "--leaks-undo=*", subprocess=True)
    assert outcomes(healed) == ["passed", "passed"]
    assert place in {finding["place"] for finding in healed.of_type("finding") if finding["restored"]}


def test_modules_that_stand_twice_are_one_again(suite: Any) -> None:
    suite.write(
        {
            "app/errors.py": "class Refused(Exception): pass\n",
            "app/calls.py": "from app.errors import Refused\n\ndef call():\n    raise Refused\n",
            "test_a.py": """
                import sys
                from app import calls

                def test_cold_start():
                    for name in [name for name in sys.modules if name.startswith("app.")]:
                        del sys.modules[name]
                    import app.calls
                """,
            "test_b.py": """
                import pytest
                from app.errors import Refused

                def test_refused():
                    from app.calls import call
                    with pytest.raises(Refused):
                        call()
                """,
        }
    )
    assert outcomes(suite.run("test_a.py", "test_b.py", subprocess=True)) == ["passed", "failed"]
    healed = suite.run(
        "test_a.py", "test_b.py", "--leaks-restore-only=sys.modules['app.calls']", subprocess=True
    )
    assert outcomes(healed) == ["passed", "passed"]


def test_what_the_process_needs_stays_and_says_why(suite: Any) -> None:
    suite.write(
        {
            "test_a.py": """
                def test_stdlib():
                    import colorsys
                    import pytest_mcpsmoke.doubles.naming
                """,
            "test_b.py": """
                import sys

                def test_there():
                    assert "colorsys" in sys.modules
                    assert "pytest_mcpsmoke.doubles.naming" in sys.modules
                """,
        }
    )
    observed = suite.run("test_a.py", "test_b.py", "--leaks-undo=*", subprocess=True)
    assert outcomes(observed) == ["passed", "passed"]
    told = {finding["place"]: finding for finding in observed.of_type("finding")}
    assert told["sys.modules['colorsys']"]["restored"] is False
    assert told["sys.modules['colorsys']"]["reason"] == (
        "it is the standard library's, and all the process uses it"
    )


def test_without_it_a_first_import_is_no_finding(suite: Any) -> None:
    suite.write(PAIRS["first import"][0])
    observed = suite.run("test_a.py", subprocess=True)
    assert "sys.modules['client']" not in {finding["place"] for finding in observed.of_type("finding")}


def test_with_the_detector_off_it_is_refused(suite: Any) -> None:
    suite.write({"test_a.py": "def test_a(): pass\n"})
    observed = suite.run("--leaks=off", "--leaks-undo=x", report=False)
    assert observed.result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in observed.result.errlines if line] == [
        textwrap.dedent("ERROR: --leaks-undo=x: with --leaks=off nothing is seen; use --leaks=report")
    ]
