"""patch_globals in runs of pytest: nothing is left, in whatever order and beside whomever."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

APP = {
    "app/net.py": """
        class Client:
            def call(self):
                return "real"

        def send():
            return "real"
        """,
    "app/proxy.py": "from app.net import Client, send\n\ndef run():\n    return send()\n",
    "app/bound.py": "import app_sdk\nTool = app_sdk.Tool\n",
}


def clean(suite: Any, engine: str, files: dict[str, str], passed: int, *arguments: str) -> Any:
    """Run a suite with --leaks=fail: everything passes, and nothing is reported."""
    suite.write({**APP, **files})
    run = suite.run("--leaks=fail", f"--leaks-engine={engine}", *arguments, subprocess=True)
    run.result.assert_outcomes(passed=passed)
    assert run.told == []
    assert run.section == []
    return run


FORMS = """
import os
import sys
import types

import app.net
import app.proxy
from app import settings


def test_names(patch_globals):
    patch_globals("app.proxy.Client", object)
    patch_globals(settings, MODE="test", LEVEL=2)
    patch_globals({"app.settings.Client.retries": 9, "app.settings.connect": None})
    patch_globals("app.settings.ADDED", 1, raising=False)
    assert (settings.MODE, settings.Client.retries, app.proxy.Client) == ("test", 9, object)


def test_everywhere(patch_globals):
    given = patch_globals("app.net.send", lambda: "fake", everywhere=True)
    assert app.proxy.run() == app.net.send() == "fake"
    assert given.places == ("app.net.send", "app.proxy.send")


def test_removed(patch_globals):
    patch_globals.delete("app.settings.MODE")
    assert not hasattr(settings, "MODE")


def test_items(patch_globals):
    patch_globals.item("app.settings.TOOLS", "echo", "fake")
    patch_globals.delete_item(settings.TOOLS, "first")
    assert settings.TOOLS == {"echo": "fake", "last": 3}


def test_environment(patch_globals):
    patch_globals.env(APP_MODE="test", PATH=None)
    assert os.environ["APP_MODE"] == "test"
    assert "PATH" not in os.environ


def test_stub(patch_globals):
    patch_globals.stub_module("app_sdk", Tool=type("Tool", (), {}))
    import app.bound
    assert app.bound.Tool.__name__ == "Tool"


def test_stub_again():
    assert "app.bound" not in sys.modules and not hasattr(app, "bound")
    assert "app_sdk" not in sys.modules


def test_application(patch_globals):
    patch_globals.app_state("app.settings.application", db="fake", new=1)
    patch_globals.override(settings.application, settings.connect, lambda: "fake")
    assert settings.application.state.db == "fake"


def test_as_they_were():
    assert list(settings.TOOLS) == ["first", "echo", "last"]
    assert settings.application.state.db == "real"
"""
SETTINGS = """
MODE = "live"
LEVEL = 1
TOOLS = {"first": 1, "echo": 2, "last": 3}

class Client:
    retries = 3

def connect():
    return "real"

try:
    from fastapi import FastAPI
except ImportError:
    import types
    application = types.SimpleNamespace(state=types.SimpleNamespace(), dependency_overrides={})
else:
    application = FastAPI()
application.state.db = "real"
"""


def test_every_form_leaves_nothing(suite: Any, engine: str) -> None:
    clean(suite, engine, {"app/settings.py": SETTINGS, "test_forms.py": FORMS}, 9)


DECORATED = """
import os

import pytest
from app import net, proxy, settings
from pytest_mcpsmoke.doubles.patching import patched


@patched("app.settings.MODE", "test")
def test_decorated(tmp_path):
    assert settings.MODE == "test" and tmp_path.is_dir()


@pytest.mark.parametrize("level", [1, 2])
@patched("app.settings.MODE", "test")
@patched.env(APP_MODE="test")
def test_parametrized(level, request):
    assert settings.MODE == os.environ["APP_MODE"] == "test"


@patched("app.settings.MODE", "test")
class TestClass:
    def test_it(self, tmp_path):
        assert settings.MODE == "test"


@pytest.fixture
@patched("app.settings.MODE", "test")
def in_test_mode():
    yield settings.MODE


def test_fixture(in_test_mode):
    assert in_test_mode == settings.MODE == "test"


def test_block():
    with patched("app.proxy.send", lambda: "fake"):
        assert proxy.run() == "fake"
    assert proxy.run() == "real"


def test_fails(patch_globals):
    patch_globals("app.settings.MODE", "test")
    with pytest.raises(AssertionError):
        assert settings.MODE == "live"


@pytest.fixture(params=["asyncio"])
def anyio_backend(request):
    return request.param


@pytest.mark.anyio
@patched("app.settings.MODE", "test")
async def test_async_decorated(tmp_path):
    assert settings.MODE == "test"


@pytest.mark.anyio
async def test_async_fixture(patch_globals):
    patch_globals("app.settings.MODE", "test")
    async with patched("app.settings.LEVEL", 2):
        assert (settings.MODE, settings.LEVEL) == ("test", 2)
    assert settings.LEVEL == 1


def test_as_it_was():
    assert (settings.MODE, settings.LEVEL) == ("live", 1)
"""


def test_decorators_blocks_and_async_tests_leave_nothing(suite: Any, engine: str) -> None:
    pytest.importorskip("anyio")
    clean(suite, engine, {"test_decorated.py": DECORATED}, 10, "-p", "anyio")


SEED = """
import sys

import pytest


@pytest.mark.smoke
def test_agent_proxy_errors_and_headers(patch_globals):
    patch_globals.stub_module("fastuuid", uuid4=lambda: "0" * 32)
    patch_globals.stub_module("mcp", ClientSession=object)
    patch_globals.stub_module("mcp.types", **{
        name: type(name, (), {}) for name in ("CallToolRequestParams", "CallToolResult", "Tool")
    })
    from fastapi.testclient import TestClient
    from reference_app.agent_proxy import app

    async def fake_arouter_call(*, model, messages, stream=False, **kwargs):
        return {"choices": [{"message": {"role": "assistant", "content": "Done"}}]}

    recorded = {}

    class FakeInvoker:
        def __init__(self, base_url, headers=None, **kwargs):
            recorded["headers"] = headers or {}

        async def __aenter__(self):
            return self

        async def __aexit__(self, *exception):
            pass

        async def list_openai_tools(self):
            return []

    patch_globals("reference_app.mini_agent.arouter_call", fake_arouter_call)
    patch_globals("reference_app.agent_proxy.HttpToolsInvoker", FakeInvoker)
    answer = TestClient(app).post("/agent/run", json={
        "messages": [{"role": "user", "content": "test"}],
        "model": "dummy",
        "tool_backend": "http",
        "tool_http_base_url": "http://127.0.0.1:9999",
        "tool_http_headers": {"Authorization": "Bearer X"},
    })
    assert answer.status_code == 200
    assert recorded["headers"].get("Authorization") == "Bearer X"


def test_after():
    from reference_app import agent_proxy

    assert agent_proxy.HttpToolsInvoker.__name__ == "HttpToolsInvoker"
    assert {"fastuuid", "mcp", "mcp.types"}.isdisjoint(sys.modules)
"""


def test_the_seeds_first_test_leaves_nothing(suite: Any, engine: str) -> None:
    for package in ("fastapi", "httpx"):
        pytest.importorskip(package)
    root = str(Path(__file__).resolve().parents[2])
    clean(
        suite, engine, {"test_seed.py": SEED, "conftest.py": f"import sys\n\nsys.path.append({root!r})\n"}, 2
    )


def test_undone_when_the_test_fails_and_when_its_set_up_does(suite: Any, engine: str) -> None:
    suite.write(
        {
            "test_failing.py": """
            import pytest
            from app import settings

            def test_fails(patch_globals):
                patch_globals(settings, "MODE", "test")
                assert settings.MODE == "live"

            @pytest.fixture
            def broken(patch_globals):
                patch_globals(settings, "MODE", "test")
                raise OSError

            def test_broken(broken): pass

            def test_after():
                assert settings.MODE == "live"
            """
        }
    )
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=1, failed=1, errors=1)
    assert run.told == []


def test_undone_when_the_run_is_interrupted(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": """
            from app import settings

            def pytest_unconfigure(config):
                print("MODE is", settings.MODE)
            """,
            "test_it.py": """
            def test_it(patch_globals):
                patch_globals("app.settings.MODE", "test")
                raise KeyboardInterrupt
            """,
        }
    )
    run = suite.run("--leaks=off", report=False)
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert "MODE is live" in run.result.outlines


WIDE = """
import pytest
from app import settings
from pytest_mcpsmoke.doubles.patching import Patches

@pytest.fixture(scope="module")
def in_test_mode():
    with Patches() as patch:
        patch("app.settings.MODE", "test")
        yield patch

def test_one(in_test_mode, patch_globals):
    patch_globals("app.settings.MODE", "mine")
    assert settings.MODE == "mine"

def test_other(in_test_mode):
    assert settings.MODE == "test"
"""


def test_in_a_fixture_of_wider_scope(suite: Any, engine: str) -> None:
    suite.write(
        {"test_after.py": "from app import settings\n\ndef test_it(): assert settings.MODE == 'live'\n"}
    )
    suite.write({"test_a_wide.py": WIDE})
    run = suite.run("--leaks=fail", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=3)
    assert run.told == []


class TestBesideMonkeypatch:
    """Two stacks over one place: whatever was patched first, the place ends as it was."""

    ACTS = {
        "ours": 'patch_globals("app.settings.MODE", "ours", raising=False)',
        "theirs": 'monkeypatch.setattr("app.settings.MODE", "theirs", raising=False)',
        "again": 'patch_globals("app.settings.MODE", "again", raising=False)',
        "removed": 'patch_globals.delete("app.settings.MODE", raising=False)',
    }
    ITEMS = {
        "ours": 'patch_globals.item(settings.TOOLS, "a", "ours")',
        "theirs": 'monkeypatch.setitem(settings.TOOLS, "a", "theirs")',
        "environment": 'patch_globals.env(PATH="ours")',
        "their environment": 'monkeypatch.setenv("PATH", "theirs")',
        "removed": 'patch_globals.delete_item(settings.TOOLS, "a", raising=False)',
    }

    @pytest.mark.parametrize("acts", [ACTS, ITEMS], ids=["names", "items"])
    @pytest.mark.parametrize("fixtures", ["patch_globals, monkeypatch", "monkeypatch, patch_globals"])
    def test_in_any_order(self, suite: Any, acts: dict[str, str], fixtures: str) -> None:
        tests = ["import os", "from app import settings", "", "BEFORE = os.environ['PATH']"]
        for number, order in enumerate(permutations(acts)):
            tests += ["", f"def test_{number}({fixtures}):", *(f"    {acts[name]}" for name in order)]
            tests += ["", f"def test_{number}_after():", '    assert settings.MODE == "live"']
            tests += ['    assert settings.TOOLS == {"a": 1}', '    assert os.environ["PATH"] == BEFORE']
        suite.write(
            {"app/settings.py": 'MODE = "live"\nTOOLS = {"a": 1}\n', "test_both.py": "\n".join(tests)}
        )
        run = suite.run("--leaks=fail")
        run.result.assert_outcomes(passed=2 * (number + 1))
        assert run.told == []

    def test_their_undo_in_the_middle_takes_ours_away_only_where_theirs_lay_below(self, suite: Any) -> None:
        suite.write(
            {
                "test_middle.py": """
                from app import settings

                def test_below(patch_globals, monkeypatch):
                    monkeypatch.setattr(settings, "MODE", "theirs")
                    patch_globals(settings, "MODE", "ours")
                    monkeypatch.undo()
                    assert settings.MODE == "live"

                def test_not_below(patch_globals, monkeypatch):
                    patch_globals(settings, "MODE", "ours")
                    monkeypatch.setattr(settings, "MODE", "theirs")
                    monkeypatch.undo()
                    assert settings.MODE == "ours"

                def test_after():
                    assert settings.MODE == "live"

                def test_a_place_that_cannot_be_read_any_more(patch_globals, monkeypatch):
                    names = ["a", "b"]
                    with patch_globals.item(names, 1, "c"):
                        assert names == ["a", "c"]
                    names.clear()
                """
            }
        )
        run = suite.run("--leaks=fail")
        run.result.assert_outcomes(passed=4)
        assert run.told == []


def test_a_misspelt_name_is_one_line(suite: Any) -> None:
    suite.write({"test_it.py": "def test_it(patch_globals):\n    patch_globals('app.settings.Cleint', 1)\n"})
    run = suite.run("--leaks=off", report=False)
    run.result.assert_outcomes(failed=1)
    run.result.stdout.fnmatch_lines(
        [
            "E *NoSuchName: app.settings (app/settings.py) has no 'Cleint'; "
            "the nearest: 'Client'; raising=False adds it"
        ]
    )


def test_who_was_left_alone_is_told_where_a_test_fails(suite: Any) -> None:
    test = "def test_{0}(patch_globals):\n    patch_globals('app.proxy.Client', 1)\n    assert {1}\n"
    suite.write(
        {**APP, "test_it.py": "import app.proxy\n\n" + test.format("fails", 0) + test.format("passes", 1)}
    )
    run = suite.run("--leaks=off", report=False)
    run.result.assert_outcomes(failed=1, passed=1)
    lines = [line.strip("- ") for line in run.result.outlines]
    at = lines.index("Captured patch_globals call")
    assert lines[at + 1] == "app.proxy.Client: patched; left alone, though they held the same: app.net.Client"
    assert lines.count("Captured patch_globals call") == 1


@pytest.mark.parametrize(
    "line",
    [
        'patch_globals = Patches(); patch_globals("app.settings.MODE", "test")',
        'patched("app.settings.MODE", "test").apply()',
    ],
)
def test_a_patch_that_nobody_undoes_is_a_leak_of_its_test(
    suite: Any, engine: str, sites: Any, line: str
) -> None:
    imports = "from pytest_mcpsmoke.doubles.patching import Patches, patched"
    suite.write({"test_it.py": f"{imports}\n\ndef test_it():\n    {line}  # leak\n"})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    assert run.told == ["test/function test_it.py::test_it rebound app.settings.MODE"]
    assert sites(run.leaks) == suite.marked()
