import answers


def test_an_answer_is_seen():
    answers.answer("abc")
    assert answers.SEEN[-1] == "abc"


def test_an_answer_is_not_cut():
    assert answers.answer("abcdef") == "abcdef"
