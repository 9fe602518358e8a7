"""Under tox the suite meets the installed wheel, not the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import pytest_mcpsmoke

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="only tox installs a wheel")
def test_the_package_is_the_installed_one() -> None:
    folder = Path(pytest_mcpsmoke.__file__).resolve().parent
    assert folder != CHECKOUT / "pytest_mcpsmoke"
    assert "site-packages" in folder.parts
    assert not (folder.parent / "reference_app").exists()


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(pytest_mcpsmoke.__file__).parent / "py.typed").is_file()
