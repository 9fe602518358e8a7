"""Reads a configuration file. Whatever is wrong with it is told with file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from reference_app import config_kinds as kinds
from reference_app.config import Config, Entries


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
    config = reader.section(Config, root, "")
    if reader.problems:
        raise ConfigError([text for _, text in sorted(reader.problems, key=lambda problem: problem[0])])
    assert isinstance(config, Config)  # no problem, so every section is there
    return config


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
        self._constructor = yaml.constructor.SafeConstructor()

    def compose(self, text: str) -> yaml.Node | None:
        """Returns the root of the document, None for an empty one."""
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            why = error.problem or error.context or "it cannot be read"
            raise self._not_yaml(mark.line + 1 if mark else 1, why) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._not_yaml(line, "a character that YAML does not allow") from None
        except RecursionError:
            raise self._not_yaml(1, "it is nested too deeply") from None
        return root

    def _not_yaml(self, line: int, why: str) -> ConfigError:
        remedy = "mend the indentation, quotes or brackets there"
        return ConfigError([f"{self.path}:{line}: is not valid YAML: {why}; {remedy}"])

    def section(self, section: type, node: yaml.Node | None, where: str) -> Any:
        """Returns a section, or None when something in it is wrong."""
        kinds_of = {field.name: field for field in fields(section)}
        values: dict[str, Any] = {}
        before = len(self.problems)
        for name, key_node, value in self._pairs(node, where):
            place = f"{where}.{name}" if where else name
            if name not in kinds_of:
                self._tell(key_node, place, f"unknown key; {kinds.advice(name, kinds_of)}")
                continue
            default = kinds_of[name].default
            if is_dataclass(default):
                values[name] = self.section(type(default), value, place)
            elif not _is_empty(value):  # `key:` with nothing behind it is the key left out
                values[name] = self._value(kinds_of[name].metadata["kind"], value, place)
        if len(self.problems) > before:
            return None
        done = section(**values)
        try:
            getattr(done, "check", lambda: None)()
        except kinds.Fault as fault:
            self._tell(node, where, str(fault))
        return done

    def _pairs(self, node: yaml.Node | None, where: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yields the keys of a mapping with their values; tells of what is none, and of keys given twice."""
        if node is None or _is_empty(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self._tell(node, where, "is not a mapping; write keys with values, such as `key: value`")
            return
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            name = key_node.value if isinstance(key_node, yaml.ScalarNode) else kinds.shown([])
            line = key_node.start_mark.line + 1
            if name in seen:
                place = f"{where}.{name}" if where else name
                self._tell(key_node, place, f"is given twice, first in line {seen[name]}; keep one of them")
                continue
            seen[name] = line
            yield name, key_node, value

    def _value(self, kind: Any, node: yaml.Node, place: str) -> Any:
        if isinstance(kind, Entries):
            return {
                name: self._checked(partial(kind.read, name), entry, f"{place}.{name}")
                for name, _, entry in self._pairs(node, place)
            }
        return self._checked(kind, node, place)

    def _checked(self, kind: kinds.Kind, node: yaml.Node, place: str) -> Any:
        try:
            return kind(self._plain(node, place))
        except kinds.Fault as fault:
            self._tell(node, place, str(fault))
            return None

    def _plain(self, node: yaml.Node, place: str) -> Any:
        """Returns a scalar's value; of a list or mapping only that it is one."""
        if not isinstance(node, yaml.ScalarNode):
            return [] if isinstance(node, yaml.SequenceNode) else {}
        try:
            return self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError):  # a tag of one's own, a date that is none, a number too long
            raise kinds.Fault(
                f"{kinds.shown(node.value)} cannot be read as {node.tag.rpartition(':')[2]}; put it in quotes"
            ) from None

    def _tell(self, node: yaml.Node | None, place: str, what: str) -> None:
        line = node.start_mark.line + 1 if node else 1
        key = f"{place}: " if place else ""
        self.problems.append((line, f"{self.path}:{line}: {key}{what}"))


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
