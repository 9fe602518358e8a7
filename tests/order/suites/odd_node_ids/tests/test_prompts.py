import filters
import pytest

PROMPTS = ["", 'naïve: 50 % [draft] -- "x"']


@pytest.mark.parametrize("prompt", PROMPTS, ids=["[]", PROMPTS[1]])
def test_a_prompt_is_kept(prompt):
    assert filters.clean(prompt) == prompt
