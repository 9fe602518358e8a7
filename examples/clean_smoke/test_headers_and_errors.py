import pytest
from fastapi.testclient import TestClient

from reference_app.agent_proxy import HttpToolsInvoker, app

REQUEST = {"messages": [{"role": "user", "content": "test"}], "model": "dummy", "tool_backend": "http"}


@pytest.mark.smoke
def test_agent_proxy_errors_and_headers(patch_globals, fake_invoker, scripted_model):
    patch_globals("reference_app.agent_proxy.HttpToolsInvoker", fake_invoker.factory(HttpToolsInvoker))
    patch_globals("reference_app.mini_agent.arouter_call", scripted_model.says("Done"))
    client = TestClient(app)

    # 1) Missing tool_http_base_url → 400
    assert client.post("/agent/run", json=REQUEST).status_code == 400

    # 2) Headers passthrough
    tools = {
        "tool_http_base_url": "http://127.0.0.1:9999",
        "tool_http_headers": {"Authorization": "Bearer X"},
    }
    assert client.post("/agent/run", json={**REQUEST, **tools}).status_code == 200
    assert [invoker.headers for invoker in fake_invoker.instances] == [{"Authorization": "Bearer X"}]
