"""The app: bound to the library at its first import."""

from llm import complete


def run(prompt):
    return complete(prompt)
