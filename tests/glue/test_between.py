"""What runs between two tests is nobody's; where only pytest does, nothing is read there."""

from __future__ import annotations

import re

import pytest

from pytest_mcpsmoke.glue.between import others_run_between

FILES = {
    "app.py": "STATE = []\nNAMES = {}\nMODE = 'live'\n",
    "test_app.py": """
        import app

        def test_one():
            assert app.MODE

        def test_two():
            app.STATE.append("leak")

        def test_three():
            assert app.MODE
        """,
}
WRITES = """
    import os
    import sys
    import app

    def write():
        app.STATE.append(1)
        app.NAMES[len(app.NAMES)] = 1
        app.MODE += "!"
        os.environ["BETWEEN"] = os.environ.get("BETWEEN", "") + "!"
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    """
HOOKS = {
    "logstart": "def pytest_runtest_logstart(): write()",
    "logreport": "def pytest_runtest_logreport(report):\n    if report.when == 'teardown': write()",
    "logfinish": "def pytest_runtest_logfinish(): write()",
    "makereport": """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(call):
            report = yield
            if call.when == 'teardown': write()
            return report
        """,
    "protocol": """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_protocol():
            write()
            return (yield)
        """,
    "setup, around": """
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_setup():
            write()
            return (yield)
        """,
    "teardown, around": """
        import pytest
        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_runtest_teardown():
            result = yield
            write()
            return result
        """,
}


def dedented(*sources: str) -> str:
    from textwrap import dedent

    return "\n".join(map(dedent, sources))


@pytest.mark.parametrize("name", HOOKS)
def test_what_a_hook_changes_between_tests_is_no_tests_leak(pytester: pytest.Pytester, name: str) -> None:
    pytester.makepyfile(**{file.removesuffix(".py"): source for file, source in FILES.items()})
    pytester.makeconftest(dedented(WRITES, HOOKS[name]))
    result = pytester.runpytest("-p", "mcpsmoke", "--leaks=report", "-q")
    found = re.findall(r"^test_app\.py::(\w+) left|^  (\S+)   ", result.stdout.str(), re.MULTILINE)
    assert found == [("test_two", ""), ("", "app.STATE")]


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_takes_part(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    config = pytester.parseconfigure("-p", "mcpsmoke")
    assert not others_run_between(config)
    names: dict[str, object] = {"write": lambda: None, "__name__": "conftest"}
    exec(dedented(HOOKS[name]), names)
    config.pluginmanager.register(
        type(
            "Plugin",
            (),
            {key: staticmethod(value) for key, value in names.items() if key.startswith("pytest_")},
        )()
    )  # type: ignore[arg-type]
    assert others_run_between(config)


def test_a_hook_inside_the_tests_own_time_does_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    config = pytester.parseconfigure("-p", "mcpsmoke")

    class Plugin:
        def pytest_runtest_setup(self) -> None: ...

        def pytest_runtest_call(self) -> None: ...

    config.pluginmanager.register(Plugin())
    assert not others_run_between(config)
