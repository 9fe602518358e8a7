"""What has to fit together in the sections `gateway` and `mcp_servers` of a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from reference_app.config_kinds import Fault, advice, shown
from reference_app.gateway.naming import prefix_of
from reference_app.gateway.settings import EVERYTHING, Gateway, Key, McpServer


def faults(servers: Mapping[str, McpServer], gateway: Gateway | None) -> Iterator[Fault]:
    """Yields what is wrong; the places begin at the root of the file."""
    if servers and gateway is None:
        yield Fault("nobody may call these servers; write gateway.keys", "mcp_servers")
    if gateway and not servers:
        yield Fault("there is nothing to call; write mcp_servers, or leave gateway out", "gateway")
        return
    if gateway and not gateway.keys:
        remedy = 'write one, such as `dev: {key_env: DEV_KEY, servers: ["*"]}`'
        yield Fault(f"without a key nobody may call the servers; {remedy}", "gateway", "keys")
    yield from _prefixes(servers)
    yield from _groups(servers)
    for name, key in (gateway.keys if gateway else {}).items():
        yield from _scope(servers, key, ("gateway", "keys", name))


def _prefixes(servers: Mapping[str, McpServer]) -> Iterator[Fault]:
    """Yields prefixes that would leave open which server a tool belongs to."""
    earlier: dict[str, str] = {}
    for name, server in servers.items():
        prefix = prefix_of(name, server)
        place = ("mcp_servers", name, "prefix")
        other = next((taken for taken in earlier if _are_ambiguous(prefix, taken)), None)
        if not prefix and len(servers) > 1:
            yield Fault("is empty beside other servers; write one", *place)
        elif other is not None:
            what = (
                f"tools of {prefix!r} could be those of {other!r}, the prefix of mcp_servers.{earlier[other]}"
            )
            yield Fault(f"{what}; write another prefix", *place)
        else:
            earlier[prefix] = name


def _are_ambiguous(one: str, other: str) -> bool:
    return f"{one}-".startswith(f"{other}-") or f"{other}-".startswith(f"{one}-")


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
    known = list(dict.fromkeys([*servers, *sorted(groups), EVERYTHING]))
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
