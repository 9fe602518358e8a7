"""The vendor's tokenizer."""


def encode(text):
    return text.split()
