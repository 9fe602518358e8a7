import limits


def test_an_empty_prompt():
    assert limits.check("") == ""


def test_a_long_prompt_is_passed_on():
    assert limits.check("x" * 100) == "x" * 100
