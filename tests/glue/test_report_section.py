"""What a user reads: the header line, the section "state leaks", and nothing that must stay secret."""

from __future__ import annotations

import sys
from typing import Any

import pytest

PROXY = {
    "proxy/__init__.py": "",
    "proxy/http_tools_invoker.py": "class HttpToolsInvoker:\n    pass\n",
    "proxy/agent_proxy.py": "from proxy.http_tools_invoker import HttpToolsInvoker\n",
}
ISSUE = {
    **PROXY,
    "tests/smoke/conftest.py": "",
    "tests/smoke/test_headers.py": """
        def test_headers():
            import proxy.agent_proxy as ap_mod

            class _FakeInvoker:
                pass

            ap_mod.HttpToolsInvoker = _FakeInvoker
        """,
}


def test_the_example_of_the_issue(suite: Any, engine: str) -> None:
    suite.write(ISSUE)
    run = suite.run(f"--leaks-engine={engine}")
    searched = "" if engine == "watch" else "  (searched)"
    assert run.section == [
        "tests/smoke/test_headers.py::test_headers left 1 place changed",
        "  proxy.agent_proxy.HttpToolsInvoker   rebound: class HttpToolsInvoker -> class _FakeInvoker",
        f"      tests/smoke/test_headers.py:7  ap_mod.HttpToolsInvoker = _FakeInvoker{searched}",
        '      use: monkeypatch.setattr(ap_mod, "HttpToolsInvoker", _FakeInvoker)',
        "1 leak left by 1 test; 2 warm-ups, 0 allowed",
    ]
    run.result.assert_outcomes(passed=1)


OWNERS = {
    "test_import.py": """
        from app import settings

        settings.LEVEL = 3

        def test_nothing(): pass
        """,
    "test_owners.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="module")
        def wide():
            settings.NAMES = []
            yield

        def test_one(wide):
            settings.MODE = None
            settings.Client.retries = 4

        def test_two():
            del settings.connect
        """,
}


def test_owners_in_the_order_in_which_they_ended(suite: Any) -> None:
    suite.write(OWNERS)
    run = suite.run("--leaks-engine=scan")
    assert run.section == [
        "importing test_import.py left 1 place changed",
        "  app.settings.LEVEL   rebound: 1 -> 3",
        "      test_import.py:3  settings.LEVEL = 3  (searched)",
        "      use: do this in a fixture that undoes it, not when the module is imported",
        "test_owners.py::test_one left 2 places changed",
        "  app.settings.MODE             rebound: 'live' -> None",
        "      test_owners.py:10  settings.MODE = None  (searched)",
        '      use: monkeypatch.setattr(settings, "MODE", None)',
        "  app.settings.Client.retries   rebound: 3 -> 4",
        "      test_owners.py:11  settings.Client.retries = 4  (searched)",
        '      use: monkeypatch.setattr(settings.Client, "retries", 4)',
        "module fixture test_owners.py::wide (set up for test_owners.py::test_one) left 1 place changed",
        "  app.settings.NAMES   rebound: ('a', 'b') -> []",
        "      test_owners.py:6  settings.NAMES = []  (searched)",
        "      use: with pytest.MonkeyPatch.context() as monkeypatch:"
        ' monkeypatch.setattr(settings, "NAMES", []), and yield inside',
        "test_owners.py::test_two left 1 place changed",
        "  app.settings.connect   removed: function connect -> (nothing)",
        "      test_owners.py:14  del settings.connect  (searched)",
        '      use: monkeypatch.delattr(settings, "connect")',
        "5 leaks left by 2 tests, 1 fixture, 1 module import; 0 warm-ups, 0 allowed",
    ]


def test_a_leak_through_the_program_names_the_line_of_the_test(suite: Any, engine: str) -> None:
    suite.write(
        {
            "app/install.py": """
                from app import settings

                def install():
                    settings.MODE = "installed"
                """,
            "test_case.py": """
                from app import install

                def test_it():
                    install.install()
                """,
        }
    )
    run = suite.run(f"--leaks-engine={engine}")
    searched = "" if engine == "watch" else "  (searched)"
    assert run.section == [
        "test_case.py::test_it left 1 place changed",
        "  app.settings.MODE   rebound: 'live' -> 'installed'",
        f"      test_case.py:4  install.install(){searched}",
        "      use: undo it in a fixture's teardown, or patch it for the time of the test",
        "1 leak left by 1 test; 0 warm-ups, 0 allowed",
    ]


def test_warm_ups_and_allowances_are_counted(suite: Any) -> None:
    suite.write(
        {
            "app/lazy.py": """
                _client = None

                def client():
                    global _client
                    if _client is None:
                        _client = object()
                """,
            "test_case.py": """
                import pytest
                from app import lazy, settings

                @pytest.mark.allow_leak("app.settings.MODE", reason="it restarts")
                def test_it():
                    lazy.client()
                    settings.MODE = "x"
                    settings.LEVEL = 2
                """,
        }
    )
    assert suite.run().section[-1] == "1 leak left by 1 test; 1 warm-up, 1 allowed"


@pytest.mark.parametrize("mode", ["report", "fail"])
def test_nothing_is_printed_when_nothing_leaked(suite: Any, engine: str, mode: str) -> None:
    suite.write({"test_case.py": "from app import settings\n\ndef test_it(): assert settings.MODE\n"})
    run = suite.run(f"--leaks-engine={engine}", f"--leaks={mode}")
    assert run.of_type("finding") == []
    assert [line for line in run.result.outlines if "leak" in line and "rootdir" not in line] == [
        f"mcpsmoke: --leaks={mode} --leaks-engine={engine}"
    ]
    plain = suite.pytester.runpytest_inprocess("-p", "no:cacheprovider")
    assert body(run.result.outlines) == body(plain.outlines)


def body(lines: list[str]) -> list[str]:
    """What pytest prints from "collected" on, without the duration."""
    at = next(number for number, line in enumerate(lines) if line.startswith("collected"))
    return [line.partition(" in ")[0].strip("= ") for line in lines[at:]]


def test_the_header_names_mode_and_engine(suite: Any, engine: str) -> None:
    suite.write({"test_case.py": "def test_it(): pass\n"})
    run = suite.run(f"--leaks-engine={engine}", "--leaks=fail")
    assert f"mcpsmoke: --leaks=fail --leaks-engine={engine}" in run.result.outlines


def test_auto_takes_the_best_engine(suite: Any, best_engine: str) -> None:
    suite.write({"test_case.py": "def test_it(): pass\n"})
    run = suite.run()
    assert run.records[0]["engine"] == best_engine
    (line,) = [line for line in run.result.outlines if line.startswith("mcpsmoke: ")]
    assert line.startswith(f"mcpsmoke: --leaks=report --leaks-engine={best_engine}")


def test_a_fallback_is_explained_in_the_header(suite: Any) -> None:
    """Without the compiled part the run says which engine it has, and why no better one."""
    suite.write(
        {
            "conftest.py": "import sys\nsys.modules['pytest_mcpsmoke.state._watch'] = None\n",
            "test_case.py": "def test_it(): pass\n",
        }
    )
    run = suite.run(subprocess=True)
    best = "watch" if sys.version_info >= (3, 12) else "version"
    line = (
        f"mcpsmoke: --leaks=report --leaks-engine=scan ({best}: the compiled part does not load on CPython *)"
    )
    run.result.stdout.fnmatch_lines([line])


SECRETS = ("hunter2-hunter2", "sk-live-0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9.e30", "pa55-of-the-user")
LEAKY = """\
from app import settings

def test_it():
    settings.API_TOKEN = "hunter2-hunter2"
    settings.MODE = "Bearer eyJhbGciOiJIUzI1NiJ9.e30"
    settings.NAMES = {"password": "pa55-of-the-user", "id": 7}
    settings.LEVEL = "sk-live-0123456789abcdef"
"""


@pytest.mark.parametrize("spread", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "worker"])
def test_secrets_are_shown_nowhere(suite: Any, spread: tuple[str, ...]) -> None:
    suite.write({"test_case.py": LEAKY})
    run = suite.run("--leaks=fail", "--junitxml=junit.xml", "-ra", *spread, subprocess=True)
    shown = {
        "terminal": run.result.stdout.str() + run.result.stderr.str(),
        "json": (suite.path / "leaks.jsonl").read_text(encoding="utf-8"),
        "junit": (suite.path / "junit.xml").read_text(encoding="utf-8"),
    }
    for where, text in shown.items():
        assert "app.settings.API_TOKEN" in text, where
        assert [secret for secret in SECRETS if secret in text] == [], where


def test_secrets_are_replaced_by_stars(suite: Any) -> None:
    source = LEAKY.splitlines()
    suite.write({"test_case.py": "\n".join([*source[:4], *source[-1:], ""])})
    run = suite.run("--leaks-engine=scan")
    assert run.section == [
        "test_case.py::test_it left 2 places changed",
        "  app.settings.LEVEL       rebound: 1 -> '***'",
        '      test_case.py:5  settings.LEVEL = "***"  (searched)',
        '      use: monkeypatch.setattr(settings, "LEVEL", "***")',
        "  app.settings.API_TOKEN   added: (nothing) -> str ***",
        '      test_case.py:4  settings.API_TOKEN = "***"  (searched)',
        '      use: monkeypatch.setattr(settings, "API_TOKEN", "***", raising=False)',
        "2 leaks left by 1 test; 0 warm-ups, 0 allowed",
    ]
