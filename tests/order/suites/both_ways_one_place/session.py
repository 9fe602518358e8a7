"""The session with the upstream."""

STATE = None
PROTOCOL = "2025-06-18"


def list_tools():
    if STATE != "open":
        raise ConnectionError(f"the session is {STATE}")
    return ["search"]
