"""The SDK: slow to import, so the gateway does it late."""


class Session:
    protocol = "2025-06-18"
