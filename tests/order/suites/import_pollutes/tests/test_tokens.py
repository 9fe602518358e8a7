import billing


def test_no_text_is_free():
    assert billing.cost("") == 0


def test_tokens_are_counted():
    assert billing.cost("a b c") == 6
