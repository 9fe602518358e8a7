"""How loggers and handlers are read: what configures them, not what they keep for themselves."""

from __future__ import annotations

import sys
from typing import Any, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import Contents, module_of, mro_of, qualname_of
from pytest_mcpsmoke.state.readers import PartsReader, Reader, attributes_of, listing


class _Loggers:
    """All loggers of the manager: the table is gone through only when there are new ones."""

    def __init__(self) -> None:
        self._last: tuple[int, dict[str, Any]] = 0, {}

    def read(self, manager: Any) -> dict[str, Any]:
        held = attributes_of(manager)
        table = held["loggerDict"]
        number, loggers = self._last
        if len(table) != number:
            found = {f".getLogger({name!r})": logger for name, logger in dict.items(table)}
            loggers = {label: logger for label, logger in found.items() if is_logger(logger)}
            self._last = len(table), loggers
        return {".root.manager.disable": held.get("_disable"), ".root": held.get("root"), **loggers}


def _tables(manager: Any) -> list[Any]:
    return [manager, attributes_of(manager)["loggerDict"]]


def _lists(value: Any) -> list[Any]:
    """A logger or a handler, and the lists that it keeps."""
    held = attributes_of(value)
    return [value, *(held[name] for name in ("handlers", "filters") if type(held.get(name)) is list)]


def is_logger(value: Any) -> bool:
    """Whether a value is a logger, not a place holder for one."""
    return any(module_of(cls) == "logging" and qualname_of(cls) == "Logger"
               for cls in mro_of(type(value)))  # fmt: skip


def _put_manager(value: Any, label: str, before: Any) -> None:
    if label != ".root.manager.disable":
        raise CannotRestore("a logger stays for the life of the process")
    value.disable = before
    value._clear_cache()


def _logger(value: Any) -> dict[str, Any]:
    held = attributes_of(value)
    return {
        ".level": held.get("level"),
        ".propagate": held.get("propagate"),
        ".disabled": held.get("disabled"),
        ".handlers": _handlers(held.get("handlers")),
        ".filters": listing(held.get("filters")),
    }


_NEW_LOGGER: Final[dict[str, Any]] = {
    ".level": 0,
    ".propagate": True,
    ".disabled": False,
    ".handlers": Contents("list", ()),
    ".filters": Contents("list", ()),
}


def _handlers(value: Any) -> Any:
    """The handlers but for those that pytest adds and removes at every stage."""
    if type(value) is not list:
        return value
    return Contents("list", tuple(one for one in value if not _is_of_runner(one)))


def _is_of_runner(value: Any) -> bool:
    return (module_of(type(value)) or "").partition(".")[0] == "_pytest"


def _put_logger(value: Any, label: str, before: Any) -> None:
    held = attributes_of(value)
    if type(before) is Contents:
        now = held[label[1:]]
        now[:] = [*before.values, *(one for one in now if _is_of_runner(one))]
    else:
        held[label[1:]] = before
        sys.modules["logging"].Logger.manager._clear_cache()


def _handler(value: Any) -> dict[str, Any]:
    held = attributes_of(value)
    return {f".{name}": listing(held.get(name)) for name in ("level", "formatter", "filters")}


def _put_handler(value: Any, label: str, before: Any) -> None:
    held = attributes_of(value)
    if type(before) is Contents:
        held[label[1:]][:] = before.values
    else:
        held[label[1:]] = before


def logging_readers() -> dict[tuple[str, str], Reader]:
    """The readers of a run: the one of the manager keeps the loggers that it has found."""
    return {
        ("logging", "Manager"): PartsReader(_Loggers().read, _put_manager, sources=_tables),
        ("logging", "Logger"): PartsReader(_logger, _put_logger, begins=_NEW_LOGGER, sources=_lists),
        ("logging", "Handler"): PartsReader(_handler, _put_handler, is_entered=False, sources=_lists),
    }
