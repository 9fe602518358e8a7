"""Answers, in pieces or in one."""

from settings import settings


def answer(text):
    pieces = text.split()
    return pieces if settings.stream else [" ".join(pieces)]
