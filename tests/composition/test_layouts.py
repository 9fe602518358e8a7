"""Import modes, namespaces, conftests at several levels, rootdirs: owner, path and place stay right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

MODES = ["prepend", "append", "importlib"]

LEAKY = """
    import pytest
    from app import settings

    settings.{name}_IMPORTED = 1  # leak

    @pytest.fixture(scope="module")
    def wide():
        settings.{name}_WIDE = 1  # leak
        yield

    @pytest.fixture
    def narrow():
        settings.{name}_NARROW = 1  # leak
        yield

    def test_it(wide, narrow):
        settings.{name}_CALL = 1  # leak
"""


def leaky(name: str) -> str:
    return LEAKY.format(name=name)


def told_of(path: str, name: str) -> list[str]:
    """What is told of a file that holds LEAKY."""
    return [
        f"fixture/module {path}::wide during {path}::test_it added app.settings.{name}_WIDE",
        f"module/module {path} added app.settings.{name}_IMPORTED",
        f"test/function {path}::test_it added app.settings.{name}_CALL",
        f"test/function {path}::test_it added app.settings.{name}_NARROW",
    ]


def sites_of(run: Any) -> list[str]:
    return sorted({f"{leak['site']['path']}:{leak['site']['line']}" for leak in run.leaks})


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_package", [True, False], ids=["package", "namespace"])
def test_import_modes(suite: Any, mode: str, is_package: bool, engine: str) -> None:
    files = {"tests/unit/test_one.py": leaky("ONE"), "tests/web/test_two.py": leaky("TWO")}
    if is_package:
        files |= {f"tests/{folder}__init__.py": "" for folder in ("", "unit/", "web/")}
    suite.write(files)
    run = suite.run(f"--import-mode={mode}", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=2)
    wanted = told_of("tests/unit/test_one.py", "ONE") + told_of("tests/web/test_two.py", "TWO")
    assert sorted(run.told) == sorted(wanted)
    assert sites_of(run) == suite.marked()


@pytest.mark.parametrize(
    "arguments", [(), ("-o", "consider_namespace_packages=true")], ids=["plain", "namespaces"]
)
@pytest.mark.parametrize("mode", MODES)
def test_files_of_the_same_name(suite: Any, mode: str, arguments: tuple[str, ...]) -> None:
    suite.write({"one/test_case.py": leaky("ONE"), "two/test_case.py": leaky("TWO")})
    if mode != "importlib":
        suite.write({"one/__init__.py": "", "two/__init__.py": ""})
    run = suite.run(f"--import-mode={mode}", *arguments)
    run.result.assert_outcomes(passed=2)
    wanted = told_of("one/test_case.py", "ONE") + told_of("two/test_case.py", "TWO")
    assert sorted(run.told) == sorted(wanted)
    assert sites_of(run) == suite.marked()


@pytest.mark.parametrize("mode", MODES)
def test_a_test_that_writes_into_another_test_module(suite: Any, mode: str) -> None:
    """Its place is called as the module is, and that is up to the import mode."""
    suite.write(
        {
            "tests/__init__.py": "",
            "tests/test_one.py": "MODE = 1\n\ndef test_it(): pass\n",
            "tests/test_two.py": """
                import sys

                def test_it():
                    sys.modules["tests.test_one"].MODE = 2
                """,
        }
    )
    run = suite.run(f"--import-mode={mode}")
    run.result.assert_outcomes(passed=2)
    assert run.told == ["test/function tests/test_two.py::test_it rebound tests.test_one.MODE"]


OVERRIDING = {
    "conftest.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="session")
        def mode():
            settings.MODE = "root"  # leak
            yield "root"

        @pytest.fixture(scope="module", autouse=True)
        def everywhere():
            settings.EVERYWHERE = 1
            yield
            del settings.EVERYWHERE
        """,
    "a/conftest.py": """
        import pytest
        from app import settings

        settings.CONFTEST_A = 1  # leak

        @pytest.fixture(scope="session")
        def mode(mode):
            settings.LEVEL = 2  # leak
            yield mode + "/a"
        """,
    "a/b/conftest.py": """
        import pytest
        from app import settings

        @pytest.fixture(scope="module")
        def mode(mode):
            settings.NAMES = ()  # leak
            yield mode + "/b"
        """,
    "test_root.py": 'def test_it(mode): assert mode == "root"\n',
    "a/test_a.py": 'def test_it(mode): assert mode == "root/a"\n',
    "a/b/test_b.py": 'def test_it(mode): assert mode == "root/a/b"\n',
    "c/test_c.py": "def test_it(): pass\n",
}


@pytest.mark.parametrize("mode", MODES)
def test_fixtures_that_override_each_other(suite: Any, mode: str) -> None:
    suite.write(OVERRIDING)
    if mode == "append":  # where the first conftest.py on the path would be imported for all of them
        suite.write({f"{folder}/__init__.py": "" for folder in ("a", "a/b", "c")})
    run = suite.run(f"--import-mode={mode}")
    run.result.assert_outcomes(passed=4)
    assert sorted(run.told) == [
        "fixture/module a/b/conftest.py::mode during a/b/test_b.py::test_it rebound app.settings.NAMES",
        "fixture/session a/conftest.py::mode during a/b/test_b.py::test_it rebound app.settings.LEVEL",
        "fixture/session conftest.py::mode during a/b/test_b.py::test_it rebound app.settings.MODE",
        "module/module a/conftest.py added app.settings.CONFTEST_A",
    ]
    assert sites_of(run) == suite.marked()


@pytest.mark.parametrize(
    ("folder", "arguments"),
    [
        (".", ("tests/unit",)),
        ("tests", ()),
        ("tests/unit", ()),
        ("tests/unit", ("test_one.py::test_it",)),
        ("app", ("../tests/unit",)),
        ("/", ("{root}/tests/unit", "--rootdir={root}")),
        (".", ("--rootdir={root}", "{root}/tests/unit/test_one.py")),
        ("tests", ("-c", "../pytest.ini", "unit")),
    ],
)
def test_called_from_elsewhere(
    suite: Any,
    load_report: Callable[[Path], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    folder: str,
    arguments: tuple[str, ...],
) -> None:
    suite.write({"pytest.ini": "[pytest]\n", "tests/unit/test_one.py": leaky("ONE")})
    monkeypatch.chdir(suite.path / folder)
    file = suite.path / "leaks.jsonl"
    run = suite.run(
        *(each.format(root=suite.path) for each in arguments), f"--leaks-report={file}", report=False
    )
    run.result.assert_outcomes(passed=1)
    run = replace(run, records=load_report(file))
    assert sorted(run.told) == sorted(told_of("tests/unit/test_one.py", "ONE"))
    assert sites_of(run) == suite.marked()
    assert "tests/unit/test_one.py::test_it left 2 places changed" in run.section
    assert any("  settings.ONE_CALL = 1  # leak" in line for line in run.section)


def test_tests_outside_the_rootdir(suite: Any) -> None:
    """Their node ids are as pytest makes them, relative to the argument; the paths of sites are absolute."""
    suite.write({"project/pytest.ini": "[pytest]\n", "elsewhere/test_one.py": leaky("ONE")})
    run = suite.run("--rootdir=project", "elsewhere")
    run.result.assert_outcomes(passed=1)
    (test,) = run.of_type("test")
    assert {leak["owner"] for leak in run.leaks if leak["owner_kind"] == "test"} == {test["nodeid"]}
    assert {leak["site"]["path"] for leak in run.leaks} == {f"{suite.path}/elsewhere/test_one.py"}
    assert len(run.leaks) == 4
    assert any("  settings.ONE_CALL = 1  # leak" in line for line in run.section)


INSTALLED = {
    "site/shop/__init__.py": "",
    "site/shop/state.py": "MODE = 'live'\n",
    "site/shop/tests/__init__.py": "",
    "site/shop/tests/conftest.py": """
        import pytest
        from shop import state

        @pytest.fixture(scope="session")
        def wide():
            state.WIDE = 1
            yield
        """,
    "site/shop/tests/test_shop.py": """
        from shop import state

        def test_it(wide): state.MODE = "x"
        """,
}


@pytest.mark.parametrize("mode", MODES)
def test_pyargs(suite: Any, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Tests that are part of an installed package."""
    suite.write(INSTALLED)
    monkeypatch.syspath_prepend(suite.path / "site")
    run = suite.run("--pyargs", "shop", f"--import-mode={mode}")
    run.result.assert_outcomes(passed=1)
    path = "site/shop/tests/test_shop.py"
    assert sorted(run.told) == [
        f"fixture/session site/shop/tests/conftest.py::wide during {path}::test_it added shop.state.WIDE",
        f"test/function {path}::test_it rebound shop.state.MODE",
    ]


@pytest.mark.parametrize(
    "arguments", [("-p", "plug"), ("-p", "no:cacheprovider")], ids=["plugin", "conftest"]
)
def test_fixtures_of_a_plugin(suite: Any, arguments: tuple[str, ...], engine: str) -> None:
    suite.write(
        {
            "plug.py": """
                import pytest

                @pytest.fixture(scope="session")
                def wide():
                    from app import settings
                    settings.WIDE = 1  # leak
                    yield
                """,
            "test_case.py": "def test_it(wide): pass\n",
        }
    )
    if arguments[1] != "plug":
        suite.write({"conftest.py": 'pytest_plugins = ["plug"]\n'})
    run = suite.run(*arguments, f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=1)
    assert run.told == ["fixture/session plug.py::wide during test_case.py::test_it added app.settings.WIDE"]
    assert sites_of(run) == suite.marked()
