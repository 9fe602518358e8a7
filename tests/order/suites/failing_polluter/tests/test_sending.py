import sending


def test_every_call_is_logged():
    sending.send("c")
    assert sending.LOG[-1] == "c"


def test_a_call_is_sent_for_real():
    assert sending.send("d") == "sent"
