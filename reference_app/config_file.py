"""Reads a configuration file. Whatever is wrong with it is told with file, line, key and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from reference_app import config_kinds as kinds
from reference_app.config import Config
from reference_app.config_sections import Beside, Each, Entries, Form, Json

DEEPEST = 50  # levels below the root of the file
Place = tuple[str | int, ...]  # names of keys, and numbers in lists, from the root of the file

# A tag of one's own, a date that is none, a number too long; and PyYAML trips over `!!int ""` and `!!bool x`.
_UNREADABLE = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError)

_QUOTED = re.compile(r" '(?!<)[^']{2,}'")  # the name of an alias, say: a secret that begins with * is one


class ConfigError(ValueError):
    """A file cannot be used; `problems` holds one line for each thing that is wrong, and so does the text."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_config(path: str | Path) -> Config:
    """Returns what a YAML file configures; what it leaves out has its default.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or says something that is not understood.
    """
    reader = _Reader(str(path))
    root = reader.compose(_read_text(path))
    config = reader.section(Config, root, ())
    if reader.problems:
        raise ConfigError([text for _, text in sorted(reader.problems, key=lambda problem: problem[0])])
    assert isinstance(config, Config)  # no problem, so every section is there
    return config


def located(fault: kinds.Fault, path: str | Path) -> ConfigError:
    """Returns what is wrong with a file that could be read, but not used; the place begins at its root."""
    reader = _Reader(str(path))
    reader.section(Config, reader.compose(_read_text(path)), ())
    reader.problems.clear()
    reader._tell(fault.place, str(fault))
    return ConfigError([text for _, text in reader.problems])


def _read_text(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ConfigError([f"{path}: cannot be read: {why}; name a YAML file that can"]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: is not UTF-8; save the file as UTF-8"]) from None


class _Reader:
    """Walks the nodes of one file; each has its line, which the values alone would not."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[tuple[int, str]] = []
        self._folder = Path(path).absolute().parent
        self._lines: dict[Place, int] = {}
        self._constructor = yaml.constructor.SafeConstructor()

    def compose(self, text: str) -> yaml.Node | None:
        """Returns the root of the document, None for an empty one."""
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            why = _QUOTED.sub("", error.problem or error.context or "it cannot be read")
            raise self._not_yaml(mark.line + 1 if mark else 1, why) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._not_yaml(line, "a character that YAML does not allow") from None
        except RecursionError:
            raise self._not_yaml(1, "it is nested too deeply") from None
        self._lines[()] = root.start_mark.line + 1 if root else 1
        return root

    def _not_yaml(self, line: int, why: str) -> ConfigError:
        remedy = "mend the indentation, quotes or brackets there"
        return ConfigError([f"{self.path}:{line}: is not valid YAML: {why}; {remedy}"])

    def section(self, section: type, node: yaml.Node | None, place: Place) -> Any:
        """Returns a section; it is of no use when something in it is wrong, and then it is told."""
        keys = {field.name: field for field in fields(section)}
        values: dict[str, Any] = {}
        before = len(self.problems)
        for name, value in self._pairs(node, place):
            if name not in keys:
                self._tell((*place, name), f"unknown key; {kinds.advice(name, keys)}")
            elif not _is_empty(value):  # `key:` with nothing behind it is the key left out
                values[name] = self._value(keys[name].metadata["form"], value, (*place, name))
        examples = {name: field.metadata.get("example") for name, field in keys.items()}
        for name, example in examples.items():
            if example and name not in values and _may_hold_keys(node):
                self._tell((*place, name), f"is missing; write it, such as `{name}: {example}`")
        if len(self.problems) > before:
            return None
        done = section(**values)
        for fault in getattr(done, "check", tuple)():
            self._tell((*place, *fault.place), str(fault))
        return done

    def _value(self, form: Form, node: yaml.Node, place: Place) -> Any:
        """Returns what a node holds, read as the form says."""
        if isinstance(form, type) and is_dataclass(form):
            return self.section(form, node, place)
        if isinstance(form, Entries):
            return self._entries(form, node, place)
        if isinstance(form, Each):
            return tuple(self._value(form.form, item, at) for item, at in self._items(node, place))
        if isinstance(form, Json):
            return self._json(node, place, set())
        if isinstance(form, Beside):
            return self._checked(lambda value: form.read(self._folder / kinds.text(value)), node, place)
        return self._checked(form, node, place)

    def _entries(self, form: Entries, node: yaml.Node, place: Place) -> dict[str, Any]:
        entries = {}
        for name, value in self._pairs(node, place):
            try:
                form.names(name)
            except kinds.Fault as fault:
                self._tell((*place, name), str(fault))
            entries[name] = self._value(form.form, value, (*place, name))
        return entries

    def _json(self, node: yaml.Node, place: Place, seen: set[int]) -> Any:
        """Returns plain data; what an alias repeats is refused, for aliases of aliases grow without end."""
        if isinstance(node, yaml.ScalarNode):
            return self._checked(kinds.json_scalar, node, place)
        if id(node) in seen:
            self._tell(place, "is repeated by an alias; write it out")
            return None
        if len(place) > DEEPEST:
            self._tell(place, "is nested too deeply; write it flatter")
            return None
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return {name: self._json(value, (*place, name), seen) for name, value in self._pairs(node, place)}
        return [self._json(item, at, seen) for item, at in self._items(node, place)]

    def _pairs(self, node: yaml.Node | None, place: Place) -> Iterator[tuple[str, yaml.Node]]:
        """Yields the keys of a mapping with their values; tells of what is none, and of keys given twice."""
        if not _may_hold_keys(node):
            self._tell(place, "is not a mapping; write keys with values, such as `key: value`")
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else kinds.shown([])
            self._lines[(*place, name)] = line = key_node.start_mark.line + 1
            if name in seen:
                self._tell((*place, name), f"is given twice, first in line {seen[name]}; keep one of them")
                continue
            seen[name] = line
            yield name, value

    def _items(self, node: yaml.Node, place: Place) -> Iterator[tuple[yaml.Node, Place]]:
        """Yields the values of a list, each with its place; tells of what is none."""
        if not isinstance(node, yaml.SequenceNode):
            self._tell(place, "is not a list; write its values in brackets, such as `[a, b]`")
            return
        for at, item in enumerate(node.value):
            self._lines[(*place, at)] = item.start_mark.line + 1
            yield item, (*place, at)

    def _checked(self, kind: kinds.Kind, node: yaml.Node, place: Place) -> Any:
        try:
            return kind(self._plain(node))
        except kinds.Fault as fault:
            self._tell(place, str(fault))
            return None

    def _plain(self, node: yaml.Node) -> Any:
        """Returns a scalar's value; of a list or mapping only that it is one. What fails is not repeated."""
        if not isinstance(node, yaml.ScalarNode):
            return [] if isinstance(node, yaml.SequenceNode) else {}
        try:
            return self._constructor.construct_object(node)
        except _UNREADABLE:
            is_known = node.tag in self._constructor.yaml_constructors  # else somebody wrote it: a secret?
            why = f"cannot be read as {node.tag.rpartition(':')[2]}" if is_known else "has an unknown tag"
            raise kinds.Fault(f"{why}; put it in quotes") from None

    def _tell(self, place: Place, what: str) -> None:
        """Adds a problem, with the line of its key; of what is not in the file, with that of its section."""
        known = next(place[:end] for end in range(len(place), -1, -1) if place[:end] in self._lines)
        where = f"{self.path}:{self._lines[known]}: "
        self.problems.append((self._lines[known], where + (f"{_dotted(place)}: " if place else "") + what))


def _dotted(place: Place) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{kinds.readable(part)}" for part in place)
    return "".join(parts).removeprefix(".")


def _may_hold_keys(node: yaml.Node | None) -> bool:
    return node is None or isinstance(node, yaml.MappingNode) or _is_empty(node)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
