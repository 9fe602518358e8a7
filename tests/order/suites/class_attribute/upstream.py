"""A client of the upstream MCP server."""


class Client:
    timeout = 30.0
    agent = "proxy/1"

    def call(self, takes):
        if takes > self.timeout:
            raise TimeoutError(f"{self.agent}: no answer within {self.timeout} s")
        return "done"


def session():
    return [Client(), Client()]
