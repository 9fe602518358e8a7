"""Beside pytest-mock: what it patches and puts back is nobody's leak."""

from __future__ import annotations

from typing import Any

NEEDS = ["pytest-mock"]


def test_a_patch_is_undone(suite: Any) -> None:
    suite.write(
        {
            "test_patch.py": """
                from app import settings

                def test_patched(mocker):
                    mocker.patch("app.settings.connect", return_value="fake")
                    assert settings.connect() == "fake"

                def test_restored():
                    assert settings.connect() == "real"
                """
        }
    )
    run = suite.run("-p", "pytest_mock")
    run.result.assert_outcomes(passed=2)
    assert run.told == []
