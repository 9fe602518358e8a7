"""The session with the upstream."""

STATE = None
HIDDEN = set()
PROTOCOL = "2025-06-18"
TOOLS = ["search", "fetch"]


def list_tools():
    if STATE != "open":
        raise ConnectionError("the session is not open")
    return [tool for tool in TOOLS if tool not in HIDDEN]
