import agent_proxy


def test_the_model_can_be_chosen():
    agent_proxy.DEFAULT_MODEL = "large"
    assert agent_proxy.run("search", {})[0] == 200


def test_a_tool_is_needed():
    assert agent_proxy.run("", {}) == (400, {})
