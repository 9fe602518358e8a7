import session


def test_the_protocol_is_a_date():
    assert session.PROTOCOL.count("-") == 2


def test_tools_are_listed_in_the_session():
    assert session.list_tools() == ["search", "fetch"]
