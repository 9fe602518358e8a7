import spool


def test_a_call_is_sent():
    spool.send("search-1")
    assert spool.SENT[-1] == "search-1"


def test_a_call_that_cannot_be_sent_is_spooled(folder):
    spool.put(folder, "search-2")
    assert "search-2" in spool.waiting(folder)


def test_calls_are_sent_in_turn():
    spool.send("search-3")
    spool.send("search-4")
    assert spool.SENT[-2:] == ["search-3", "search-4"]
