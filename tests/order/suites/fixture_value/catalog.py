"""The gateway's catalog of tools."""

SEEN = set()


class Catalog:
    def __init__(self, tools):
        self.tools = list(tools)

    def withdraw(self, tool):
        self.tools.remove(tool)  # the write

    def text(self):
        return ", ".join(self.tools)


def note(client):
    SEEN.add(client)
    return len(SEEN)
