"""Which transport an entry of a configuration asks for, and whether its keys suit that."""

from __future__ import annotations

from pytest_mcpsmoke.readiness.configurations.checker import Checker
from pytest_mcpsmoke.readiness.configurations.located import Located, Path

Table = dict[str, Located]


def transport_of(table: Table, entry: Located, path: Path, check: Checker) -> str:
    """Return "stdio", "http" or "sse"; "" where the entry does not tell, and then there is a problem.

    Args:
        table: What the entry holds under known keys, with values of the right kinds.
        entry: The entry.
        path: Where it stands.
        check: Takes the problems.
    """
    if not _has_one(table, entry, path, check):
        return ""
    told = _told(table, path, check)
    if told is None or not _suits(told, table, entry, path, check):
        return ""
    _check_misplaced(table, path, check)
    return told or ("stdio" if "command" in table else "http")


def _has_one(table: Table, entry: Located, path: Path, check: Checker) -> bool:
    """Whether there is a command or a URL, and one of them only."""
    client = check.client
    if "url" in table and not client.http:
        text = f"{client.title} starts programs only, and skips a server with url"
        remedy = "write command, or add the server as a connector"
        check.note(table["url"].line, (*path, "url"), text, remedy, is_fatal=True)
    elif "command" in table and "url" in table:
        text = "does not go with command"
        check.note(table["url"].line, (*path, "url"), text, "keep one of them", is_fatal=True)
    elif "command" in table or "url" in table:
        return True
    elif not check.not_tried:  # else one is there, and was found wanting
        text, remedy = ("neither command nor url", "write one") if client.http else ("no command", "write it")
        check.note(entry.line, path, text, remedy, is_fatal=True)
    return False


def _told(table: Table, path: Path, check: Checker) -> str | None:
    """The transport that `type` stands for, "" without one, None when it is not known."""
    item = table.get("type")
    if item is None:
        return ""
    if item.value not in check.client.types:
        text = f"{check.client.title} knows no such type"
        remedy = f"write one of {', '.join(check.client.types)}"
        check.note(item.line, (*path, "type"), text, remedy, is_fatal=True)
        return None
    return check.client.types[item.value]


def _suits(told: str, table: Table, entry: Located, path: Path, check: Checker) -> bool:
    """Whether `type` suits what is there, and is there where it has to be."""
    is_program = "command" in table
    if told and (told == "stdio") != is_program:
        text = f"does not suit {'command' if is_program else 'url'}"
        remedy = f"write {'url' if is_program else 'command'}, or another type"
        check.note(table["type"].line, (*path, "type"), text, remedy, is_fatal=True)
        return False
    if not told and not is_program and check.client.needs_type:
        text = f"{check.client.title} takes a server without type for a program"
        check.note(entry.line, (*path, "type"), text, 'add "type": "http" or "sse"', is_fatal=True)
        return False
    return True


def _check_misplaced(table: Table, path: Path, check: Checker) -> None:
    """Note the keys of a program beside a URL, and the other way round."""
    is_program = "command" in table
    others = check.client.http if is_program else check.client.stdio
    text = f"does not go with {'command' if is_program else 'url'}"
    is_refused = check.client.name == "codex"  # the others go on without it
    for key in table:
        if key in others:
            check.note(table[key].line, (*path, key), text, "remove it", is_fatal=is_refused)
