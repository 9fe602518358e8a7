"""Who may have broken a test: what others left changed, the likeliest first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_STEP: Final = re.compile(r"[.\[]")
_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_KEY_OR_NAME: Final = re.compile(r"\[(?:['\"](.*?)['\"]|[^\]'\"]*)\](?=[.\[]|$)|([A-Za-z_]\w*)")
_AMBIENT: Final = frozenset({"os", "sys", "logging", "warnings", "locale", "time"})
_FAR: Final = 99
_SETTERS: Final = frozenset({"setattr", "setitem", "setenv", "delattr", "delenv", "object", "patch"})


class Suspect(NamedTuple):
    """One place that was left changed before a test ran.

    owner is as in a finding. test is who has to run for it, a node id; of an import, the test module's, which
    need only be imported. at: when, counted in tests; 0 for what happened at collection.
    """

    place: str
    owner: str
    test: str
    is_import: bool
    is_leak: bool
    at: int


class Reach(NamedTuple):
    """What a test can meet: modules that its code imports or names, all words in it, what those import.

    written: names of attributes and keys that the code sets itself. steps: how far names are from the code of
    the test, see distance.py; empty where that is not known.
    """

    modules: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    indirect: frozenset[str] = frozenset()
    written: frozenset[str] = frozenset()
    steps: Mapping[str, int] = MappingProxyType({})

    def __or__(self, other: Reach) -> Reach:
        return self._replace(
            modules=self.modules | other.modules,
            words=self.words | other.words,
            indirect=self.indirect | other.indirect,
            written=self.written | other.written,
        )

    def meets(self, place: str) -> bool:
        """Whether the code of the test, or what that calls, is known to come near a place."""
        if self.steps and not _inside_sys_modules(place):  # an import stands outside of definitions
            return self.distance(place) < _FAR and (self.is_near(place) or not _is_dotted(place))
        return self.holds(place) or self.is_near(place)

    def distance(self, place: str) -> int:
        """How many definitions lie between the test and the farthest name in a place; each unknown adds one.

        The last name alone would bring places deep inside objects to the fore, by keys that are common words.
        """
        names = self._names_in(place)
        found = [self.steps[name] for name in names if name in self.steps]
        return max(found) + len(names) - len(found) if found else _FAR

    def distance_of_last(self, place: str) -> int:
        """How many definitions lie between the test and the last word of a place, which may be of a key."""
        return self.steps.get(_last_name(place), _FAR)

    def holds(self, place: str) -> bool:
        """Whether a place lies in one of the modules, or in sys.modules under one of their names."""
        names = _prefixes(_inside_sys_modules(place) or place)
        return not self.modules.isdisjoint(names)

    def is_near(self, place: str) -> bool:
        """Whether a place lies in what the modules import, or in a package that one of them belongs to."""
        if not self.indirect.isdisjoint(_prefixes(_inside_sys_modules(place) or place)):
            return True
        top = (_inside_sys_modules(place) or place).partition(".")[0]
        return any(module.partition(".")[0] == top for module in self.modules)

    def _names_in(self, place: str) -> list[str]:
        """The names in a place, without those of its module: "app.state.MODE['a']" -> MODE, a."""
        prefixes = reversed(_prefixes(place))
        module = next((name for name in prefixes if name in self.modules or name in self.indirect), "")
        rest = place[len(module) :] if module else place.partition(".")[2]
        names = [name or key for key, name in _KEY_OR_NAME.findall(rest) if name or key]
        return names or [_last_name(place)]

    def mentions(self, place: str) -> bool:
        """Whether the last name in a place, a key among them, is a word of the code."""
        return _last_name(place) in self.words

    def sets(self, place: str) -> bool:
        """Whether the code itself gives a place a value: then it hardly depends on what it was."""
        return _last_name(place) in self.written


def reach_of(source: str) -> Reach:
    """Read what a Python file imports and names; of one that cannot be parsed, the words alone."""
    words = frozenset(_NAME.findall(source))
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return Reach(words=words)
    nodes = list(ast.walk(tree))
    modules = frozenset(name for node in nodes for name in _modules(node))
    return Reach(modules, words, written=frozenset(name for node in nodes for name in _written(node)))


def _is_dotted(place: str) -> bool:
    """Whether a place is in a module of the program's, as far as its name tells."""
    return place.partition(".")[0] not in _AMBIENT and not place.startswith("fixture ")


def _last_name(place: str) -> str:
    names: list[str] = _NAME.findall(place)
    return names[-1] if names else ""


def _written(node: ast.AST) -> Iterable[str]:
    """The name of an attribute or a key that is assigned to, or patched."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
        function = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        texts = (
            [one.value for one in node.args if isinstance(one, ast.Constant)] if function in _SETTERS else []
        )
        return [text.rpartition(".")[2] for text in texts if isinstance(text, str)]
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return [node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
        key = node.slice
        return [key.value] if isinstance(key, ast.Constant) and isinstance(key.value, str) else []
    return []


def _modules(node: ast.AST) -> Iterable[str]:
    """The modules that a piece of code names: by import, or in a text, as sys.modules and patches have it."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
        return [node.value]
    return []


def rank(suspects: Iterable[Suspect], reach: Reach) -> list[Suspect]:
    """Sort suspects, the likeliest first; see doubts()."""
    return sorted(suspects, key=lambda suspect: doubts(suspect, reach))


def doubts(suspect: Suspect, reach: Reach) -> tuple[int, ...]:
    """Return what speaks against a suspect, to compare: of the likeliest it is the smallest.

    Leaks come before warm-ups, and of these first imports last: un-importing takes away all that a module
    holds. Then what lies in a module that the test names, or in the same package, what the test does not set
    itself, what its code comes to soonest, by all names, then by the last; of equals, what was left last, and
    what lies fewest steps deep.
    """
    place = suspect.place
    return (
        not suspect.is_leak,
        not suspect.is_leak and _inside_sys_modules(place) is not None,
        not reach.holds(place),
        not reach.is_near(place),
        reach.sets(place),
        reach.distance(place),
        reach.distance_of_last(place),
        not reach.mentions(place),
        -suspect.at,
        len(_STEP.findall(place)),
    )


def _inside_sys_modules(place: str) -> str | None:
    """The module of a place such as "sys.modules['mcp']"."""
    found = re.fullmatch(r"sys\.modules\['([^']+)'\]", place)
    return found[1] if found else None


def _prefixes(place: str) -> list[str]:
    """ "a.b.c['d']" -> ["a", "a.b", "a.b.c"]."""
    found = _DOTTED.match(place)
    steps = found[0].split(".") if found else []
    return [".".join(steps[: at + 1]) for at in range(len(steps))]
