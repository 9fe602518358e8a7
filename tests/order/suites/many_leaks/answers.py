"""Answers, and the flags that change them."""

FLAGS = {"cut": 0}
SEEN = []


def answer(text):
    SEEN.append(text)
    return text[: FLAGS["cut"]] if FLAGS["cut"] else text
