"""A gateway that needs the SDK for sessions only."""

NAME = "gateway"


def session():
    from mcp_sdk import Session

    return f"{NAME} {Session.protocol}"


def health():
    return "ok"
