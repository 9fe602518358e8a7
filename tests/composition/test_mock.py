"""Beside pytest-mock: its patches are undone by its fixtures, later than the fixtures that use them end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS = ["pytest-mock"]


def test_what_mocker_undoes_is_no_leak(suite: Any, engine: str) -> None:
    suite.write(
        {
            "test_patches.py": """
                from app import settings

                def test_all_kinds(mocker):
                    double = mocker.patch("app.settings.connect", return_value=3)
                    assert settings.connect() == 3
                    double.assert_called_once_with()
                    mocker.spy(settings.Client, "mro")
                    mocker.patch.dict("os.environ", {"PATCHED": "1"})
                    mocker.patch.multiple("app.settings", LEVEL=2, MODE="patched")

                def test_stopall(mocker):
                    mocker.patch("app.settings.connect")
                    mocker.stopall()
                    mocker.patch("app.settings.MODE")

                def test_resetall(mocker):
                    mocker.patch("app.settings.connect")
                    mocker.resetall()
                """
        }
    )
    run = suite.run("-p", "pytest_mock", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=3)
    assert run.told == []


def test_wide_mockers_undo_after_the_fixtures_that_use_them(suite: Any, engine: str) -> None:
    suite.write(
        {
            "test_wide.py": """
                import pytest
                from app import settings

                @pytest.fixture(scope="session")
                def of_session(session_mocker):
                    return session_mocker.patch.object(settings, "LEVEL", 5)

                @pytest.fixture(scope="module")
                def of_module(module_mocker):
                    return module_mocker.patch("app.settings.MODE", "module")

                @pytest.fixture(scope="class")
                def of_class(class_mocker):
                    return class_mocker.patch.dict(vars(settings), {"NAMES": ()})

                class TestClass:
                    def test_all(self, of_session, of_module, of_class):
                        assert (settings.LEVEL, settings.MODE, settings.NAMES) == (5, "module", ())

                    def test_again(self, of_class):
                        assert settings.NAMES == ()

                def test_outside_of_classes(of_class, of_module):
                    assert settings.NAMES == ()

                def test_after():
                    assert settings.NAMES == ("a", "b")
                """
        }
    )
    run = suite.run("-p", "pytest_mock", f"--leaks-engine={engine}")
    run.result.assert_outcomes(passed=4)
    assert run.told == []


def test_stopall_of_unittest_ends_the_patches_of_the_plugin(suite: Any, engine: str) -> None:
    """pytest-mock patches the classes of the doubles themselves, for better messages."""
    suite.write(
        {
            "test_stopall.py": """
                from unittest import mock

                from app import settings

                def test_uses_the_plugin(mocker):
                    mocker.patch("app.settings.MODE")

                def test_stopall():
                    mock.patch("app.settings.MODE", "fake").start()
                    mock.patch.stopall()
                    assert settings.MODE == "live"
                """
        }
    )
    run = suite.run("-p", "pytest_mock", f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=2)
    assert run.told == []


def test_what_outlives_the_test_is_named(suite: Any, sites: Callable[[Any], list[str]]) -> None:
    suite.write(
        {
            "test_leaky.py": """
                from unittest import mock

                from app import settings

                def test_started():
                    mock.patch("app.settings.MODE", "fake").start()  # leak

                def test_beside_the_fixture(mocker):
                    mocker.patch("app.settings.connect")
                    settings.LEVEL = 4  # leak

                def test_for_the_rest_of_the_session(session_mocker):
                    session_mocker.patch("app.settings.NAMES")  # leak
                    assert settings.LEVEL == 4

                def test_last():
                    assert settings.NAMES != ("a", "b")
                """
        }
    )
    run = suite.run("-p", "pytest_mock", subprocess=True)
    run.result.assert_outcomes(passed=4)
    assert sorted(run.told) == [
        "test/function test_leaky.py::test_beside_the_fixture rebound app.settings.LEVEL",
        "test/function test_leaky.py::test_for_the_rest_of_the_session mutated unittest.mock patches started",
        "test/function test_leaky.py::test_for_the_rest_of_the_session rebound app.settings.NAMES",
        "test/function test_leaky.py::test_started mutated unittest.mock patches started",
        "test/function test_leaky.py::test_started rebound app.settings.MODE",
    ]
    assert sites(run.leaks) == suite.marked()
