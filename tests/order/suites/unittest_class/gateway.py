"""A gateway whose upstream answers at once."""

LABELS = {}


def send(tool):
    return f"{tool}: done"


def call(tool):
    return send(tool)
