"""Every endpoint keeps to the app's own OpenAPI, whatever it is sent: no 5xx, and only documented answers."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from reference_app.agent_proxy import app

CONFIG = schemathesis.Config.from_dict({"generation": {"deterministic": True}})
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
POSTS = ["/agent/run", "/v1/chat/completions", "/chat/completions"]
# What is sent beside the generated values, so that every backend is reached.
BACKENDS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "echo": {"tool_backend": "echo", "use_tools": True, "auto_run_code_on_code_block": True},
    "local": {"tool_backend": "local", "use_tools": True, "max_iterations": 4},
    "http": {"tool_backend": "http", "tool_http_base_url": "http://tools.test", "use_tools": True},
    "refusing": {"tool_backend": "http", "tool_http_base_url": "http://refusing.test"},
}
schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=CONFIG)
few = settings(max_examples=30, derandomize=True, suppress_health_check=list(HealthCheck))


def test_every_route_is_documented() -> None:
    paths = app.openapi()["paths"]
    documented = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    assert documented == {"GET /ready", "GET /healthz", *(f"POST {path}" for path in POSTS)}


@pytest.mark.parametrize("backend", BACKENDS)
@schema.parametrize()
@few
def test_no_5xx_and_nothing_that_is_not_documented(case: Any, backend: str) -> None:
    if isinstance(case.body, dict):
        case.body = {**case.body, **BACKENDS[backend]}
    case.call_and_validate(checks=CHECKS)


@pytest.mark.parametrize("backend", ["echo", "local", "http", "refusing"])
@pytest.mark.parametrize("path", POSTS)
def test_what_the_schema_allows_is_answered(path: str, backend: str) -> None:
    """The other half: without it, an app that refuses everything would pass."""
    answered = 0

    @few
    @given(case=schema[path]["POST"].as_strategy())
    def post(case: Any) -> None:
        nonlocal answered
        case.body = {**case.body, **BACKENDS[backend]}
        response = case.call_and_validate(checks=CHECKS)
        assert response.status_code == 200, response.text
        answered += 1

    post()
    assert answered >= 20
