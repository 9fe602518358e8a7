from gateway import tools


def test_a_tool_is_called_by_its_alias():
    tools.ALIASES["get"] = "fetch"
    assert tools.call("get", "a") == "A"


def test_find_is_an_alias_of_search():
    assert tools.call("find", "A") == "a"
