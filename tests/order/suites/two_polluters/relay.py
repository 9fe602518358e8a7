"""A relay that tries again."""

RETRIES = 2
FAULTS = 0
NAME = "relay"


def call():
    for attempt in range(1 + RETRIES):
        if attempt >= FAULTS:
            return "answered"
    return "gave up"
