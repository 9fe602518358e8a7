from gateway import tools


def test_the_tools_are_listed_by_name():
    assert tools.listing() == ["fetch", "search"]


def test_no_alias_is_listed():
    assert "find" not in tools.listing()
