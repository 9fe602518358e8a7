"""The library that asks a model."""


def complete(prompt):
    return f"an answer to {prompt}"
