import sending


def test_calls_are_logged():
    sending.send("a")
    assert sending.LOG == ["a"]


def test_a_dry_run_sends_nothing():
    sending.DRY_RUN = True  # the write
    assert sending.send("b") == "nothing sent"  # as it was worded once
    sending.DRY_RUN = False


def test_the_log_can_be_emptied():
    sending.LOG.clear()
    assert not sending.LOG
