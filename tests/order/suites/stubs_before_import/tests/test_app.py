import limits


def test_prompts_have_a_limit():
    limits.PROMPT = 100
    assert limits.PROMPT == 100


def test_the_app_completes():
    from app import run  # the write

    assert run("hi") == "an answer to hi"


def test_the_limit_is_a_number():
    assert isinstance(limits.PROMPT, int)
