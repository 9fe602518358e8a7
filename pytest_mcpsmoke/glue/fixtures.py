"""The fixtures: a few lines each over an object of `doubles/`, imported when a test asks for it.

All are function-scoped and none is autouse. They are sync, so that sync and async tests use them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.patching import Patches


@pytest.fixture
def patch_globals(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patches]:
    """Patch names, items, the environment, sys.modules and applications for one test (see `Patches`).

        patch_globals("reference_app.agent_proxy.HttpToolsInvoker", fake)
        patch_globals.env(MINI_AGENT_STORE_TRACES="1")

    Each call patches at once and gives a `Patch`: what is patched, and who was left alone. Raises NoSuchName
    (an AttributeError) or NoSuchModule (an ImportError) for a misspelt name. All is undone when the test is
    over, last in first out, and in one order with what monkeypatch does.
    """
    from pytest_mcpsmoke.glue.patches import patches_of

    with patches_of(request.node, monkeypatch) as patches:
        yield patches
