import agent_proxy


def test_an_empty_name_is_refused():
    assert agent_proxy.run("", {"X-Env": "A"})[0] == 400


def test_a_call_carries_the_callers_headers():
    status, answer = agent_proxy.run("search", {"X-Env": "A"})
    assert (status, answer) == (200, {"tool": "search", "sent": {"X-Env": "A"}})
