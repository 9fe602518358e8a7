"""What has to fit together in the sections `gateway` and `mcp_servers` of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations

from reference_app.config_kinds import Fault, advice, shown
from reference_app.gateway.settings import EVERYTHING, Gateway, Key, McpServer


def faults(servers: Mapping[str, McpServer], gateway: Gateway | None) -> Iterator[Fault]:
    """Yields what is wrong; the places begin at the root of the file."""
    if servers and not (gateway and gateway.keys):
        place = ("mcp_servers",) if gateway is None else ("gateway",)
        yield Fault("nobody may call the servers; write gateway.keys, at least one", *place)
    if gateway and not servers:
        yield Fault("there is nothing to call; write mcp_servers, or leave gateway out", "gateway")
        return
    yield from _prefixes(servers)
    yield from _groups(servers)
    for name, key in (gateway.keys if gateway else {}).items():
        yield from _scope(servers, key, ("gateway", "keys", name))


def _prefixes(servers: Mapping[str, McpServer]) -> Iterator[Fault]:
    """Yields prefixes that would leave open which server a tool belongs to."""
    prefixes = {name: name if server.prefix is None else server.prefix for name, server in servers.items()}
    for (first, one), (second, other) in combinations(prefixes.items(), 2):
        remedy = f"write another prefix than that of mcp_servers.{first}"
        if not (one and other):
            bare = second if one else first
            yield Fault("is empty beside other servers; write one", "mcp_servers", bare, "prefix")
        elif one == other:
            yield Fault(f"{one!r} is taken; {remedy}", "mcp_servers", second, "prefix")
        elif one.startswith(f"{other}-") or other.startswith(f"{one}-"):
            yield Fault(
                f"names with {one!r} and {other!r} could be of either server; {remedy}",
                "mcp_servers",
                second,
                "prefix",
            )


def _groups(servers: Mapping[str, McpServer]) -> Iterator[Fault]:
    for name, server in servers.items():
        for at, group in enumerate(server.access_groups):
            if group in servers:
                yield Fault(
                    f"{group!r} is the name of a server; name the group otherwise",
                    "mcp_servers",
                    name,
                    "access_groups",
                    at,
                )


def _scope(servers: Mapping[str, McpServer], key: Key, place: tuple[str, ...]) -> Iterator[Fault]:
    """Yields what a key's scope names and nobody has."""
    groups = {group for server in servers.values() for group in server.access_groups}
    known = [*servers, *sorted(groups), EVERYTHING]
    for at, name in enumerate(key.servers):
        if name not in known:
            yield Fault(
                f"{shown(name)} is no server and no group; {advice(name, known)}", *place, "servers", at
            )
    given = [
        name
        for name, server in servers.items()
        if {EVERYTHING, name, *server.access_groups}.intersection(key.servers)
    ]
    for name in key.tools:
        if name not in given:
            remedy = advice(name, given) if given else "leave it out, or give the key servers"
            yield Fault(f"is not one of the servers that the key may use; {remedy}", *place, "tools", name)
