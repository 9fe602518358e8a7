"""Sends calls, or only says what it would send."""

DRY_RUN = False
LOG = []


def send(call):
    LOG.append(call)
    return "would send" if DRY_RUN else "sent"
