import pytest
from fastapi.testclient import TestClient

from reference_app.agent_proxy import app


@pytest.mark.smoke
def test_agent_proxy_headers_precedence(patch_globals, record_headers, scripted_model):
    patch_globals("reference_app.mini_agent.arouter_call", scripted_model.says("ok"))
    record_headers.into("reference_app.http_tools_invoker", transport=record_headers.reply(json=[]))

    # Set env headers; request headers should override these
    patch_globals.env(MINI_AGENT_TOOL_HTTP_HEADERS='{"x-env": "A"}')
    headers = {"X-Env": "B", "X-Req": "C"}
    record_headers.layers(env={"x-env": "A"}, request=headers)
    request = {
        "messages": [{"role": "user", "content": "hi"}],
        "model": "m",
        "tool_backend": "http",
        "tool_http_base_url": "http://127.0.0.1:9",
        "tool_http_headers": headers,
    }
    assert TestClient(app).post("/agent/run", json=request).status_code == 200
    record_headers.assert_precedence("x-env", winner="request", over="env")
    record_headers.assert_header("X-Req", "C")
