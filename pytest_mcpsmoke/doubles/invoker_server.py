"""The fake invoker as a tool server over HTTP: `GET /tools` and `POST /invoke {name, arguments}`."""

from __future__ import annotations

from typing import Any

from pytest_mcpsmoke.doubles.asgi_reply import Exchange
from pytest_mcpsmoke.doubles.invoker import FakeInvoker, decoded
from pytest_mcpsmoke.doubles.loopback import Receive, Scope, Send
from pytest_mcpsmoke.doubles.replies import RateLimited, Status, waited, without_exceptions
from pytest_mcpsmoke.doubles.wording import reply_text
from pytest_mcpsmoke.errors import UnexpectedCall


class InvokerServer:
    """An ASGI application that asks a fake invoker."""

    def __init__(self, fake: FakeInvoker) -> None:
        self._fake = fake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        await exchange.answer(await self._reply(exchange))

    async def _reply(self, exchange: Exchange) -> Any:
        match exchange.method, exchange.path:
            case "GET", "/tools":
                return await self._listing()
            case "POST", "/invoke":
                return await self._invoke(await exchange.body())
        here = f"no {exchange.method} {exchange.path} here"
        return Status(404, f"{here}; there are GET /tools and POST /invoke")

    async def _listing(self) -> Any:
        reply = await waited(self._fake.next_catalogue())
        if isinstance(reply, RateLimited):
            self._fake.catalogue_first(reply.then)
            return reply.refusal()
        return self._fake.offered() if reply is None else without_exceptions(reply)

    async def _invoke(self, body: bytes) -> Any:
        asked = decoded(body.decode("utf-8", "replace"))
        arguments = decoded(asked.get("arguments")) if asked else None
        if not asked or not isinstance(asked.get("name"), str) or arguments is None:
            return Status(400, 'send {"name": "…", "arguments": {…}}')
        try:
            call, reply = self._fake.begin(asked["name"], arguments)
            while callable(reply := await waited(reply)) and not isinstance(reply, type):
                reply = await self._fake.run(reply, call)
        except UnexpectedCall as refused:  # the fake has kept it for the test
            return Status(501, str(refused))
        except Exception as error:  # whatever a tool raises is its server's failure
            return Status(500, str(error) or type(error).__name__)
        if isinstance(reply, RateLimited):
            self._fake.expect_first(call.name, call.arguments, reply.then)
            return reply.refusal()
        reply = {"text": reply} if isinstance(reply, str) else without_exceptions(reply)
        call.reply = reply_text(reply)
        return reply
