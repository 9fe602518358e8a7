import session


def test_a_session_is_opened():
    session.STATE = "open"
    assert session.list_tools() == ["search"]


def test_the_protocol_can_be_chosen():
    session.PROTOCOL = "2024-11-05"
    assert session.PROTOCOL < "2025"


def test_a_session_is_closed():
    session.STATE = "closed"  # the write
    assert session.STATE == "closed"
