"""Through the gateway: it is started, asked with its key, and gone afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from conformance import gateway, paired
from conformance.profile import serve
from conformance.results import PASSED, VERSIONS
from conformance.suite import Broken
from pytest_mcpsmoke.doubles.upstream import McpUpstream


def test_the_gateway_has_the_profile_as_its_one_upstream(profile: McpUpstream) -> None:
    url = serve(profile)
    with gateway.through_gateway(url) as asked:
        assert asked != url
        for version in VERSIONS:
            found = paired.checks(asked, version)
            assert [(check.status, check.message) for check in found] == [(PASSED, "")] * 2
    assert [call.name for call in profile.tool_calls] == ["test_simple_text", "test_error_handling"] * 2
    assert all(check.message for check in paired.checks(asked, "2026-07-28"))  # nobody listens any more


def test_a_gateway_that_does_not_start_is_shown_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def unusable(_: str) -> dict[str, Any]:
        return {"nonsense": 1}

    monkeypatch.setattr(gateway, "config", unusable)
    with pytest.raises(Broken) as raised, gateway.through_gateway("http://127.0.0.1:9/mcp"):
        raise AssertionError("unreachable")
    assert str(raised.value).startswith("the gateway does not start:\n")
    assert "nonsense: unknown key" in str(raised.value)
