"""What a call costs."""

PRICE = 2


def cost(text):
    import tokenizer

    return PRICE * len(tokenizer.encode(text))
