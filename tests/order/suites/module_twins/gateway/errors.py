"""What can go wrong."""


class ToolError(Exception):
    pass
