import answers
import pytest


@pytest.mark.parametrize("number", range(12))
def test_a_flag_that_is_not_known_is_kept(number):
    answers.FLAGS[f"flag_{number}"] = True
    assert answers.FLAGS[f"flag_{number}"]


def test_an_answer_can_be_cut():
    answers.FLAGS["cut"] = 2  # the write
    assert answers.answer("abc") == "ab"


@pytest.mark.parametrize("number", range(12, 29))
def test_a_flag_can_be_off(number):
    answers.FLAGS[f"flag_{number}"] = False
    assert not answers.FLAGS[f"flag_{number}"]
