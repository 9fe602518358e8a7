import agent_proxy


class BrokenInvoker:
    def __init__(self, headers):
        pass

    def call(self, tool):
        raise ConnectionError(tool)


def test_an_invoker_that_raises_is_a_bad_gateway():
    agent_proxy.HttpToolsInvoker = BrokenInvoker  # the write
    assert agent_proxy.run("search", {})[0] == 502


def test_no_tool_is_found_out_before_the_call():
    assert agent_proxy.run("", {})[0] == 400
