"""A real MCP server for a gateway to call, on the official SDK, with faults on demand and a journal."""

from __future__ import annotations

import json
import logging
import secrets
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from pytest_mcpsmoke.doubles.background import BackgroundLoop
from pytest_mcpsmoke.doubles.double import Double
from pytest_mcpsmoke.doubles.extras import need
from pytest_mcpsmoke.doubles.faults import Faults
from pytest_mcpsmoke.doubles.gate import Gate
from pytest_mcpsmoke.doubles.loopback import LoopbackServer
from pytest_mcpsmoke.doubles.rpc import Call, McpJournal
from pytest_mcpsmoke.doubles.tokens import TokenTable
from pytest_mcpsmoke.errors import UsageProblem

if TYPE_CHECKING:
    from mcp import Client, StdioServerParameters
    from mcp.server import Server
    from mcp.server.mcpserver import MCPServer

    from pytest_mcpsmoke.doubles.lines import Child, StdioListener

F = TypeVar("F", bound=Callable[..., Any])

_BRIDGE: Final = Path(__file__).with_name("stdio_bridge.py")
_UNSET: Final = object()
_NAME: Final = "upstream"  # of one that was given none


class McpUpstream(Double):
    """A real MCP server, over streamable HTTP, SSE, stdio and in memory, that keeps a journal.

    It speaks what the installed SDK speaks: the handshake protocols up to 2025-11-25, and 2026-07-28. A
    transport is started when it is first asked for. Over HTTP, SSE and stdio, tools run in this process, on
    the loop of a thread of the upstream's: a test may look at what they did. In memory they run on the
    client's loop.

    Attributes:
        name: The server's name.
        server: The SDK's `MCPServer`, for whatever this class has no words for.
        journal: Every request as it arrived, over whatever transport, in order.
        fault: What goes wrong, see Faults: `fault(status=503)`, `fault.slow(2)`, `fault.disconnect()`, …
    """

    def __init__(self, name: str = _NAME, *, server: MCPServer[Any] | None = None, **options: Any) -> None:
        """Make an upstream; nothing is started yet.

        Args:
            name: The server's name; failures of the journal tell it, too.
            server: A server of the program's own to serve instead of a new, empty one.
            options: Whatever else `MCPServer` takes: `version`, `instructions`, `cache_hints`, …

        Raises:
            MissingExtra: The package mcp or uvicorn is not installed.
            UsageProblem: A server is given, and options for a new one.
        """
        if server is not None and options:
            raise UsageProblem(f"{', '.join(options)}: options of a new server, and server= brings its own")
        for package in ("mcp", "uvicorn"):
            need(package, "mcp", "mcp_upstream")
        super().__init__()
        self.server = _new_server(name, options) if server is None else server
        self.name = self.server.name
        self.journal = McpJournal(of="" if name == _NAME else self.name)
        self.fault = Faults()
        self._tokens = TokenTable()
        self._loop = BackgroundLoop("mcpsmoke mcp_upstream")
        self._served: dict[tuple[str, ...], tuple[LoopbackServer, Gate]] = {}
        self._stdio: StdioListener | None = None
        self._key = secrets.token_hex(8)
        self._is_closed = False

    # What it offers

    @overload
    def tool(self, name: F, /) -> F: ...

    @overload
    def tool(self, name: str | None = None, /, *, description: str | None = None) -> Callable[[F], F]: ...

    @overload
    def tool(
        self,
        name: str,
        /,
        *,
        result: Any,
        schema: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> None: ...

    def tool(
        self,
        name: Any = None,
        /,
        *,
        result: Any = _UNSET,
        schema: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> Any:
        """Offer a tool: `@up.tool`, `@up.tool("name")`, or `up.tool("name", result=…)`.

        As a decorator it takes a function, sync or async; the SDK makes the schema from its signature, and an
        exception becomes an error of the tool.

        Args:
            name: The tool's name; that of the function when left out.
            result: What every call returns: text, a dict (structured content), a list of content, a
                `CallToolResult`, or an exception: an error of the tool with its text (an `MCPError`: an error
                of the protocol).
            schema: The JSON schema of the arguments of a canned tool; any object when left out.
            description: What the tool is for; the function's docstring when left out.

        Raises:
            UsageProblem: A schema is given without a result: a function brings its own.
        """
        if result is not _UNSET:
            self._add_tool(_canned(result), name, description or "", dict(schema or {"type": "object"}))
            return None
        if schema is not None:
            raise UsageProblem("schema= goes with result=: a function's schema is made from its signature")
        if callable(name):
            return self._add_tool(name, None, description, None)
        return lambda function: self._add_tool(function, name, description, None)

    def resource(self, uri: str, content: Any = _UNSET, /, *, mime_type: str | None = None) -> Any:
        """Offer a resource: `up.resource("file:///a", "text")`, or as a decorator of a function.

        Args:
            uri: Its URI; with `{names}` in it the function takes them as parameters.
            content: Text, bytes, or a function that returns either; left out, this is a decorator.
            mime_type: "text/plain", or "application/octet-stream" of bytes, when left out.
        """
        if content is _UNSET:
            return lambda function: self._add_resource(uri, function, mime_type)
        if callable(content):
            self._add_resource(uri, content, mime_type)
        else:
            kind = "text/plain" if isinstance(content, str) else "application/octet-stream"
            self._add_resource(uri, lambda: content, mime_type or kind)
        return None

    def prompt(self, name: Any, content: Any = _UNSET, /, *, description: str | None = None) -> Any:
        """Offer a prompt: `@up.prompt`, `@up.prompt("name")`, or `up.prompt("name", "text")`."""
        if content is not _UNSET:
            self.server.prompt(name, description=description)(lambda: content)
            return None
        if callable(name):
            return self.server.prompt(description=description)(name)
        return self.server.prompt(name, description=description)

    def tokens(
        self,
        good: str | Iterable[str] = (),
        expired: str | Iterable[str] = (),
        forbidden: str | Iterable[str] = (),
    ) -> None:
        """Ask for a Bearer token from now on, over HTTP and SSE; each argument is a token or several.

        A good one passes. A missing, unknown or expired one is answered with 401 and `WWW-Authenticate`, a
        forbidden one with 403. Without any token everybody passes again.
        """
        self._tokens = TokenTable.of(good, expired, forbidden)
        for _, gate in self._served.values():
            gate.tokens = self._tokens

    # Where it is to be had

    def http(
        self,
        *,
        stateless: bool = False,
        json_response: bool = False,
        path: str = "/mcp",
        resumable: bool = False,
        retry_ms: int | None = None,
        check_host: bool = False,
    ) -> str:
        """Serve streamable HTTP, and return its URL, "http://127.0.0.1:PORT/mcp".

        Args:
            stateless: Without sessions (protocol 2026-07-28 has none anyway).
            json_response: Answer with JSON instead of an event stream where that is possible.
            path: Where below the address.
            resumable: Number the events, and send what was missed to a client that comes back with
                `Last-Event-ID`. A tool may then close the stream of its own call (`ctx.close_sse_stream()`).
                Only up to 2025-11-25: protocol 2026-07-28 has no such thing.
            retry_ms: What a client is told to wait before it comes back, in milliseconds.
            check_host: Refuse a `Host` (421) or `Origin` (403) other than loopback, as a server that listens
                there ought to (DNS rebinding). Else all pass, and stand in the journal.

        Raises:
            UsageProblem: retry_ms is given without resumable: only then do clients come back.
        """
        if retry_ms is not None and not resumable:
            raise UsageProblem("retry_ms= goes with resumable=True: only then do clients come back")

        def app() -> Any:
            from pytest_mcpsmoke.doubles.resuming import KnowingSessions, SentEvents

            made = self.server.streamable_http_app(
                streamable_http_path=path,
                stateless_http=stateless,
                json_response=json_response,
                event_store=SentEvents() if resumable else None,
                retry_interval=retry_ms,
                transport_security=None if check_host else _any_host(),  # None: the SDK's own for loopback
            )
            if resumable:
                made.add_middleware(KnowingSessions)
            return made

        options = (stateless, json_response, path, resumable, retry_ms, check_host)
        return self._serve("streamable-http", app, *map(str, options)) + path

    def sse(self, *, path: str = "/sse") -> str:
        """Serve the older transport of two endpoints, and return its URL, "http://127.0.0.1:PORT/sse"."""

        def app() -> Any:
            return self.server.sse_app(sse_path=path, transport_security=_any_host())

        return self._serve("sse", app, path) + path

    def stdio(
        self,
        *,
        args: Iterable[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
    ) -> StdioServerParameters:
        """Return a command (`command`, `args`, `env`, `cwd`) that starts a real child process.

        The child relays its standard streams to this upstream: tools run in this process, and each line
        stands in the journal. It ends when either side closes. What it was started with: `children`.

        Args:
            args: Arguments of the child's own.
            env: Its environment, beside what the client gives every child.
            cwd: Its working directory.
        """
        from mcp import StdioServerParameters

        self._check_open()
        if self._stdio is None:
            from pytest_mcpsmoke.doubles.lines import StdioListener

            self._loop.start()
            listener = StdioListener(self.lowlevel, self.journal, self.fault, self._key)
            self._loop.at_end.append(listener.close)
            self._loop.call(listener.open())
            self._stdio = listener
        own = ["-I", "-S", str(_BRIDGE), str(self._stdio.port), self._key]
        return StdioServerParameters(
            command=sys.executable, args=[*own, *args], env=None if env is None else dict(env), cwd=cwd
        )

    def in_memory(self) -> Any:
        """Return a transport for the SDK's `Client`, without a socket; the server runs on its loop."""
        from pytest_mcpsmoke.doubles.lines import in_memory

        return in_memory(self.lowlevel, self.journal, self.fault)

    def client(self, *, mode: str = "auto", **options: Any) -> Client:
        """Return the SDK's client, connected in memory: `async with up.client() as client: …`.

        Args:
            mode: "auto", "legacy" (the handshake, 2025-11-25) or "2026-07-28".
            options: Whatever else `mcp.Client` takes.
        """
        from mcp import Client

        return Client(self.in_memory(), mode=mode, **options)

    @property
    def lowlevel(self) -> Server[Any]:
        """The SDK's low-level `Server` under `server`, for methods that `MCPServer` has no words for.

        `up.lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, handler)`, and the server
        declares the capability that goes with the method.
        """
        return self.server._lowlevel_server  # not public yet; the SDK's own client does the same

    # What arrived

    @property
    def calls(self) -> list[Call]:
        """The JSON-RPC messages that arrived, requests and notifications, over all transports, in order."""
        return self.journal.rpc()

    @property
    def tool_calls(self) -> list[Call]:
        """The `tools/call` requests that arrived, in order."""
        return self.journal.rpc("tools/call")

    @property
    def children(self) -> list[Child]:
        """The child processes that were started with what stdio() returned, in order."""
        return [] if self._stdio is None else list(self._stdio.children)

    @property
    def errors(self) -> list[Exception]:
        """What broke inside the upstream itself; errors of tools are not among it."""
        of_stdio = [] if self._stdio is None else self._stdio.errors
        return [*(error for server, _ in self._served.values() for error in server.errors), *of_stdio]

    def verify(self) -> None:
        """Raise UnusedScript when a fault was not met as often as it was to be."""
        self.fault.verify(self.calls)

    def close(self) -> None:
        """End connections, sessions, children and the thread. Closing twice is fine."""
        self._is_closed = True
        for server, _ in self._served.values():
            server.withdraw()
        self._loop.close()

    def __repr__(self) -> str:
        return f"<McpUpstream {self.name!r}, {len(self.journal)} requests>"

    def _serve(self, transport: str, make: Callable[[], Any], *options: str) -> str:
        self._check_open()
        key = (transport, *options)
        if key not in self._served:
            app = make()
            gate = Gate(app, transport, self.fault)
            gate.tokens = self._tokens
            self._loop.start()
            server = LoopbackServer(
                gate,
                self.journal,
                who="mcp_upstream",
                loop=self._loop,
                around=lambda: app.router.lifespan_context(app),
            )
            server.start()
            self._served[key] = (server, gate)
        return self._served[key][0].url

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError(f"{self!r} is closed: it serves no more")

    def _add_resource(self, uri: str, function: F, mime_type: str | None) -> F:
        name = getattr(function, "__name__", uri)
        self.server.resource(uri, name=uri if name == "<lambda>" else name, mime_type=mime_type)(function)
        return function

    def _add_tool(self, function: F, name: str | None, description: str | None, schema: Any) -> F:
        name = name or str(getattr(function, "__name__", "tool"))
        tools = self.server._tool_manager
        if tools.get_tool(name) is not None:
            tools.remove_tool(name)  # a later one takes its place
        structured = None if schema is None else False
        self.server.add_tool(function, name, description=description, structured_output=structured)
        added = tools.get_tool(name)
        if schema is not None and added is not None:
            added.parameters = schema
        return function


def _new_server(name: str, options: Mapping[str, Any]) -> MCPServer[Any]:
    """Make an empty server, and keep it from configuring the root logger, which is the program's."""
    from mcp.server.mcpserver import MCPServer

    keeper = logging.NullHandler()
    logging.root.addHandler(keeper)
    try:
        return MCPServer(name, **options)
    finally:
        logging.root.removeHandler(keeper)


def _any_host() -> Any:
    """Serve whatever `Host` and `Origin` a gateway sends: the journal keeps them for the test to judge."""
    from mcp.server.transport_security import TransportSecuritySettings

    return TransportSecuritySettings(enable_dns_rebinding_protection=False)


def _canned(result: Any) -> Callable[[], Any]:
    from mcp import MCPError
    from mcp.types import CallToolResult, TextContent

    if isinstance(result, Mapping):
        text = TextContent(type="text", text=json.dumps(result))
        result = CallToolResult(content=[text], structured_content=dict(result))
    elif isinstance(result, Exception) and not isinstance(result, MCPError):
        result = CallToolResult(content=[TextContent(type="text", text=str(result))], is_error=True)

    async def canned() -> Any:
        if isinstance(result, MCPError):
            raise result
        return result

    return canned
