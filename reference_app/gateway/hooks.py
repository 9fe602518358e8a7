"""Hooks that see a tool call before it goes out, and may change its arguments and add headers.

A hook is a function, `module:function` in `gateway.hooks`, sync or async. It gets a `PreMcpCall` and returns
None or a mapping with `modified_arguments` (a JSON object) and `extra_headers` (names to values). Later hooks
see what earlier ones made of the arguments. One that raises FastAPI's `HTTPException` refuses the call with
that status.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from starlette.exceptions import HTTPException

from reference_app.config_kinds import Fault
from reference_app.defects import Defect, is_planted
from reference_app.gateway.owned_headers import is_owned
from reference_app.gateway.refusal import HttpRefusal
from reference_app.headers import check_headers, merge_headers

logger = logging.getLogger(__name__)
ANSWERS = {"modified_arguments", "extra_headers"}
PLACE = ("gateway", "hooks")


@dataclass(frozen=True)
class PreMcpCall:
    """A tool call that is about to go out.

    Attributes:
        server: The upstream's name.
        tool: The tool's bare name.
        arguments: What it is called with.
        key_name: The name of the key that calls.
        jwt_claims: What the configuration says of the key's owner.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any]
    key_name: str
    jwt_claims: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What the hooks made of a call."""

    arguments: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class HookFailed(Exception):
    """A hook is broken: it raised, or returned what a hook may not; the call does not go out."""


Hook = Callable[[PreMcpCall], Any]


def load(paths: Iterable[str]) -> list[Hook]:
    """Returns the functions that `gateway.hooks` names.

    Raises:
        Fault: There is no such module or function, or the module breaks; with its place in the configuration.
    """
    hooks = []
    for at, path in enumerate(paths):
        module, _, name = path.partition(":")
        try:
            hook = attrgetter(name)(importlib.import_module(module))
        except (ImportError, AttributeError) as error:
            what = f"{path!r} cannot be imported: {' '.join(str(error).split())}; write module:function"
            raise Fault(what, *PLACE, at) from None
        except Exception as error:  # its text is the module's own, and may be a secret
            what = f"{path!r} cannot be imported: {module} raises {type(error).__name__}; mend it"
            raise Fault(what, *PLACE, at) from error
        if not callable(hook):
            raise Fault(f"{path!r} is no function; write module:function", *PLACE, at)
        hooks.append(hook)
    return hooks


async def run(hooks: Sequence[Hook], call: PreMcpCall) -> Outcome:
    """Returns the arguments and headers after all hooks.

    Raises:
        HttpRefusal: A hook refuses the call.
        HookFailed: A hook is broken.
    """
    headers: dict[str, str] = {}
    for hook in hooks:
        answer = await _answer(hook, call)
        if (arguments := answer.get("modified_arguments")) is not None:
            call = call if is_planted(Defect.HOOK_ARGUMENTS_LOST) else replace(call, arguments=arguments)
        headers = merge_headers(headers, answer.get("extra_headers") or {})
    return Outcome(dict(call.arguments), headers)


async def _answer(hook: Hook, call: PreMcpCall) -> Mapping[str, Any]:
    name = f"{getattr(hook, '__module__', '?')}:{getattr(hook, '__qualname__', '?')}"
    try:
        answer = hook(call)
        answer = await answer if inspect.isawaitable(answer) else answer
    except HTTPException as refusal:
        raise HttpRefusal.of(refusal) from refusal
    except (
        Exception
    ) as error:  # where it was raised is logged; its text is the hook's own, and may be a secret
        where = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("hook %s: %s in %s:%s", name, type(error).__name__, where.filename, where.lineno)
        raise HookFailed(f"the hook {name} failed: {type(error).__name__}") from error
    try:
        return _checked(answer)
    except (TypeError, ValueError, RecursionError) as error:
        logger.error("hook %s: %s", name, error)
        raise HookFailed(f"the hook {name} failed: {type(error).__name__}") from error


def _checked(answer: object) -> Mapping[str, Any]:
    if answer is None:
        return {}
    if not isinstance(answer, Mapping) or not set(answer) <= ANSWERS:
        raise TypeError(f"a hook returns None or a mapping with {' and '.join(sorted(ANSWERS))}")
    arguments, headers = answer.get("modified_arguments"), answer.get("extra_headers")
    if arguments is not None:
        if not isinstance(arguments, dict) or not _are_texts(arguments):
            raise TypeError("modified_arguments is no dict with texts as names")
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()  # raises for what JSON has not
    if headers is not None:
        if not isinstance(headers, dict) or not _are_texts([*headers, *headers.values()]):
            raise TypeError("extra_headers is no dict of texts")
        if owned := sorted(filter(is_owned, headers)):
            raise ValueError(f"extra_headers may not set {', '.join(owned)}")
        answer = {**answer, "extra_headers": check_headers(headers)}
    return answer


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
