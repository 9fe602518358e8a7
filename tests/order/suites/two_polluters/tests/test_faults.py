import relay


def test_a_relay_has_a_name():
    relay.NAME = "relay under test"
    assert relay.NAME.startswith("relay")


def test_a_first_try_can_be_made_to_fail():
    relay.FAULTS = 1  # the write
    assert relay.call() == "answered"


def test_many_faults_are_too_many(monkeypatch):
    monkeypatch.setattr(relay, "FAULTS", 9)
    assert relay.call() == "gave up"
