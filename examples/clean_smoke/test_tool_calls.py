import json

import pytest
from fastapi.testclient import TestClient

from pytest_mcpsmoke import RateLimited, Status
from reference_app.agent_proxy import app

pytestmark = pytest.mark.smoke


@pytest.fixture
def run(patch_globals, fake_invoker, scripted_model):
    """Run the agent on one tool call; return its answer."""
    patch_globals("reference_app.mini_agent.arouter_call", scripted_model)
    scripted_model.calls(("weather", {"city": "Kyiv"})).says("It is sunny")
    request = {
        "messages": [{"role": "user", "content": "weather?"}],
        "model": "m",
        "tool_backend": "http",
        "tool_http_base_url": fake_invoker.serve(),
        "tool_http_headers": {"Authorization": "Bearer hunter22"},
    }
    return lambda: TestClient(app).post("/agent/run", json=request).json()


def test_a_tool_call_is_posted_once(run, fake_invoker):
    fake_invoker.expect("weather", {"city": "Kyiv"}, "sunny")
    assert run()["final_answer"] == "It is sunny"
    fake_invoker.journal.assert_requests(1, "POST", "/invoke")


def test_an_error_is_not_retried_and_reaches_the_model(run, fake_invoker, scripted_model):
    fake_invoker.expect("weather", None, Status(500, "boom"))
    run()
    assert scripted_model.turns[1].messages[-1]["content"] == "error: HTTP 500: boom"


def test_a_retry_carries_the_headers(run, fake_invoker):
    fake_invoker.expect("weather", None, RateLimited(0, "sunny"))
    run()
    first, second = fake_invoker.journal.assert_requests(2, "POST", "/invoke")
    assert first.header("Authorization") == second.header("Authorization") == ["Bearer hunter22"]


def test_a_trace_keeps_no_secret(run, fake_invoker, patch_globals, tmp_path):
    traces = tmp_path / "traces.jsonl"
    patch_globals.env(MINI_AGENT_STORE_TRACES="1", MINI_AGENT_STORE_PATH=str(traces))
    fake_invoker.expect("weather", None, "you sent Bearer hunter22")
    run()
    assert "hunter22" not in traces.read_text(), "the trace has the caller's secret"
    assert json.loads(traces.read_text())["final_answer"] == "It is sunny"
