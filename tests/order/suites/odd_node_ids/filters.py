"""What is cut out of a prompt."""

FILTERS = {}


def clean(prompt):
    return "" if any(name.startswith("drop") for name in FILTERS) else prompt
