import choice


def test_notes_are_texts():
    assert all(isinstance(note, str) for note in choice.NOTES)


def test_the_nearest_upstream_is_chosen():
    assert choice.choose() == "near"
