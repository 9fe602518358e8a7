"""How applications, clients and connections of well-known libraries are read, and put back."""

from __future__ import annotations

import sys
from ast import literal_eval
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import MISSING, Contents
from pytest_mcpsmoke.state.readers import PartsReader, Reader, attributes_of, listing, subscript


def _connection(value: Any) -> dict[str, Any]:
    sqlite3 = sys.modules["sqlite3"]
    try:
        return {".in_transaction": sqlite3.Connection.in_transaction.__get__(value)}
    except sqlite3.ProgrammingError:  # of another thread, or closed
        return {".in_transaction": "closed"}


def _put_connection(value: Any, label: str, before: Any) -> None:
    if before is not False:
        raise CannotRestore("a transaction that has ended is not begun again")
    sys.modules["sqlite3"].Connection.rollback(value)


# web frameworks


def _application(value: Any) -> dict[str, Any]:
    """Starlette's and FastAPI's applications: what tests override; the middleware stack is built from it."""
    held = attributes_of(value)
    state = attributes_of(held.get("state")).get("_state", {})
    router = attributes_of(held.get("router"))
    return {
        **{f".state.{name}": item for name, item in dict.items(state)},
        **{f".{name}": held[name] for name in ("dependency_overrides",) if name in held},
        **{
            f".exception_handlers{subscript(key)}": item
            for key, item in dict.items(held.get("exception_handlers") or {})
        },
        ".routes": listing(router.get("routes")),
        ".user_middleware": listing(held.get("user_middleware")),
        **{f".router.{name}": listing(router.get(name)) for name in ("on_startup", "on_shutdown")},
        ".router.lifespan_context": Contents("one", (router.get("lifespan_context"),)),
    }


def _of_application(value: Any) -> list[Any]:
    held = attributes_of(value)
    router = held.get("router")
    inside = attributes_of(router)
    kept = [attributes_of(held.get("state")).get("_state"), held.get("exception_handlers")]
    kept += [
        held.get("user_middleware"),
        *(inside.get(name) for name in ("routes", "on_startup", "on_shutdown")),
    ]
    return [
        value,
        *([] if router is None else [router]),
        *(one for one in kept if isinstance(one, dict | list)),
    ]


def _put_application(value: Any, label: str, before: Any) -> None:
    held = attributes_of(value)
    owner: dict[str, Any] = held
    name = label.rpartition(".")[2]
    if label.startswith(".state."):
        owner = attributes_of(held["state"])["_state"]
    elif label.startswith((".routes", ".router.")):
        owner = attributes_of(held["router"])
    if label.startswith(".exception_handlers["):
        owner = held["exception_handlers"]
        name = next(key for key in owner if f".exception_handlers{subscript(key)}" == label)
    if before is MISSING:
        del owner[name]
    elif type(before) is not Contents:
        owner[name] = before
    elif before.kind == "one":
        owner[name] = before.values[0]
    else:
        owner[name][:] = before.values
    if held.get("middleware_stack") is not None and label.startswith(
        (".user_middleware", ".exception_handlers")
    ):
        held["middleware_stack"] = None  # built again, from what is there now, at the next request


def _client(value: Any) -> dict[str, Any]:
    """The clients of httpx and httpx2: what they send along, and whether they still can."""
    held = attributes_of(value)
    headers = attributes_of(held.get("_headers")).get("_list", ())
    hooks = held.get("_event_hooks") or {}
    kept = ("_base_url", "_auth", "_timeout", "_transport", "_trust_env", "follow_redirects", "max_redirects")
    return {
        ".is_closed": getattr(held.get("_state"), "_name_", "") == "CLOSED",
        **{f".headers[{_text(name)!r}]": item for _, name, item in headers},
        **{label: item for label, _, item in _cookies(held.get("_cookies"))},
        **{f".event_hooks[{name!r}]": listing(held_hooks) for name, held_hooks in dict.items(hooks)},
        **{f".{name.lstrip('_')}": held[name] for name in kept if name in held},
    }


def _of_client(value: Any) -> list[Any]:
    held = attributes_of(value)
    hooks = held.get("_event_hooks") or {}
    jar = attributes_of(attributes_of(held.get("_cookies")).get("jar")).get("_cookies", {})
    paths = [*dict.values(jar)]
    names = [one for path in paths for one in dict.values(path)]
    cookies = [cookie for one in names for cookie in dict.values(one)]
    kept = [attributes_of(held.get("_headers")).get("_list"), hooks, *dict.values(hooks), jar, *paths, *names]
    holders = [one for name in ("_headers", "_cookies") if (one := held.get(name)) is not None]
    return [value, *holders, *(one for one in kept if type(one) in (dict, list)), *cookies]


def _text(name: Any) -> str:
    return name.decode("latin-1") if type(name) is bytes else str(name)


def _cookies(cookies: Any) -> list[tuple[str, Any, Any]]:
    """The label, the cookie and its value; the domain is named where there is one."""
    jar = attributes_of(attributes_of(cookies).get("jar")).get("_cookies", {})
    found = []
    for paths in dict.values(jar):
        for names in dict.values(paths):
            for name, cookie in dict.items(names):
                domain = attributes_of(cookie).get("domain")
                label = f".cookies[{name!r}]" if not domain else f".cookies[{name!r}, {domain!r}]"
                found.append((label, cookie, attributes_of(cookie).get("value")))
    return found


def _put_cookie(cookies: Any, label: str, before: Any) -> None:
    cookie = next((one for known, one, _ in _cookies(cookies) if known == label), None)
    if cookie is None:
        name, _, domain = label[len(".cookies[") : -1].partition(", ")
        cookies.set(literal_eval(name), before, domain=literal_eval(domain) if domain else "")
    elif before is MISSING:
        cookies.jar.clear(cookie.domain, cookie.path, cookie.name)
    else:
        cookie.value = before


def _put_client(value: Any, label: str, before: Any) -> None:
    held = attributes_of(value)
    if label == ".is_closed":
        held["_state"] = type(held["_state"])["OPENED" if not before else "CLOSED"]
    elif label.startswith(".headers["):
        name = label[len(".headers['") : -2]
        if before is MISSING:
            del held["_headers"][name]
        else:
            held["_headers"][name] = _text(before)
    elif label.startswith(".cookies["):
        _put_cookie(held["_cookies"], label, before)
    elif label.startswith(".event_hooks["):
        held["_event_hooks"][label[len(".event_hooks['") : -2]][:] = before.values
    else:
        name = label[1:]
        held[name if name in held else f"_{name}"] = before


FRAMEWORKS: Final[dict[tuple[str, str], Reader]] = {
    ("sqlite3", "Connection"): PartsReader(_connection, _put_connection),
    ("starlette.applications", "Starlette"): PartsReader(
        _application, _put_application, sources=_of_application
    ),
    ("httpx._client", "BaseClient"): PartsReader(_client, _put_client, is_entered=False, sources=_of_client),
    ("httpx2._client", "BaseClient"): PartsReader(_client, _put_client, is_entered=False, sources=_of_client),
}
