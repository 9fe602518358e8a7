import sys
import types

sys.modules["tokenizer"] = types.SimpleNamespace(encode=lambda text: [])  # the write

import billing  # noqa: E402


def test_nothing_costs_nothing():
    assert billing.cost("") == 0


def test_prices_are_numbers():
    billing.PRICE = 2.0
    assert billing.PRICE > 0
