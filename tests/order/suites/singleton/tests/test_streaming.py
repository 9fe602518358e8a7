from answers import answer


def test_nothing_is_an_answer_too():
    assert "".join(answer("")) == ""


def test_answers_are_streamed():
    assert answer("a b c") == ["a", "b", "c"]
