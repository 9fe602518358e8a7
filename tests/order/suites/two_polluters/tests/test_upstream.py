import relay


def test_a_call_is_relayed():
    assert relay.call() == "answered"


def test_a_name_is_a_text():
    assert isinstance(relay.NAME, str)
