import limits
import pytest

limits.LONGEST = 10  # the write


def test_a_prompt_that_is_too_long():
    limits.WIDEST = 5
    with pytest.raises(ValueError):
        limits.check("x" * 2000)


def test_a_prompt_that_is_short():
    assert limits.check("hi") == "hi"
