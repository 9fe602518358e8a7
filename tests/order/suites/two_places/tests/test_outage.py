import choice


def test_notes_are_kept():
    choice.NOTES.append("all is well")
    assert choice.NOTES


def test_an_outage_is_noted():
    choice.DOWN = "near"  # the write
    choice.PINNED = "far"  # the write
    choice.NOTES.append("near is down")
    assert choice.choose() == "far"


def test_upstreams_have_names():
    assert all(choice.UPSTREAMS)
