"""An agent proxy: it passes tool calls on to an HTTP upstream."""

DEFAULT_MODEL = "small"


class HttpToolsInvoker:
    def __init__(self, headers):
        self.headers = dict(headers)

    def call(self, tool):
        return {"tool": tool, "sent": self.headers}


def run(tool, headers):
    if not tool:
        return 400, {}
    try:
        return 200, HttpToolsInvoker(headers).call(tool)
    except ConnectionError:
        return 502, {}
