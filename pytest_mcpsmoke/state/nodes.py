"""An object of the program that can change, and what it is called: the path by which it was found."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state import readers
from pytest_mcpsmoke.state.describe import is_secret_name, redact_value
from pytest_mcpsmoke.state.place import MISSING, Contents, Namespace, is_module, module_dict
from pytest_mcpsmoke.state.readers import Parts, Reader

if TYPE_CHECKING:
    from pytest_mcpsmoke.state.containers import Graph

_LONGEST_LABEL: Final = 60
_NAMES_IN: Final = r"'([^']*)'|([A-Za-z_]\w*)"
_MANGLED: Final = r"^_[^\W_]\w*?__(?=\w*[^_])"
_ADDRESS: Final = r" at 0x[0-9a-f]+(?=>?\]$)"  # of a function, a class, an object as key
NAMES: Final = readers.NamesReader()  # of the attributes of functions


class Library:
    """State of a library that its functions give out: the root of what is found through them."""

    probe: ClassVar[str] = "containers"

    def __init__(self, name: str, words: tuple[str, ...] = ()) -> None:
        self.name = name
        self.words = words  # of code that changes it

    def place(self, key: str) -> str:
        return self.name


class FixtureValue:
    """The value of a fixture of class to session scope: the root of what hangs on it."""

    probe: ClassVar[str] = "fixtures"

    def __init__(self, name: str, owner: object) -> None:
        self.name = name
        self.owner = owner
        self.is_over = False  # the fixture is finalised: no test gets the value any more

    def place(self, key: str) -> str:
        return f"fixture {self.name}"


class Node:
    """An object that can change, and the parts that it had when it was last read."""

    __slots__ = (
        *("born", "children", "depth", "graph", "index", "key", "keys", "object", "order", "parent"),
        *("number", "reader", "sources", "touched", "values"),
    )
    probe: ClassVar[str] = "containers"
    is_one_act: ClassVar[bool] = False

    def __init__(
        self, graph: Graph, value: Any, reader: Reader, parent: Parent, key: Any, depth: int
    ) -> None:
        self.graph = graph
        self.born = graph.now
        self.object = value
        self.reader = reader
        self.parent = parent
        self.key = key  # of the parent's, under which it was found
        self.depth = depth
        self.keys: tuple[Any, ...] | None = None
        self.values: tuple[Any, ...] = ()
        self.number = 0  # in the order of being followed
        self.index = -1  # of the comparer's; -1: it is read by Python, or not at all
        self.sources: list[int] = []  # indices of the comparer's: of what its parts are taken from
        self.children: list[Node] = []  # found through this one
        self.touched: dict[str, Any] = {}  # label -> key, of what has changed
        self.order: tuple[Any, ...] = ()  # of the keys before one was removed

    @property
    def path(self) -> str:
        """The dotted name of the object."""
        steps: list[str] = []
        node = self
        while isinstance(node.parent, Node):
            steps.append(shown(node.parent.reader.label(node.key)))
            node = node.parent
        return node.parent.place(node.key) + "".join(reversed(steps))

    @property
    def root(self) -> tuple[Root, str]:
        """The namespace or the fixture that the path begins at, and the name there."""
        node = self
        while isinstance(node.parent, Node):
            node = node.parent
        return node.parent, node.key

    def place(self, key: str) -> str:
        return self.path + shown(key)

    @property
    def is_instance(self) -> bool:
        """Whether its parts are attributes."""
        return isinstance(self.reader, readers.AttributesReader | readers.SlotsReader)

    def ancestors(self) -> Iterator[Node]:
        """The node itself and those that it was found through, innermost first."""
        node: Parent = self
        while isinstance(node, Node):
            yield node
            node = node.parent

    def names(self, label: str) -> list[str]:
        """What the place under a label is called in source code, innermost first."""
        keys = [self.touched.get(label), *(node.key for node in self.ancestors())]
        named = [name for key in keys if type(key) is str for name in _names_in(key)]
        return [re.sub(_MANGLED, "__", name) for name in named if name != "__dict__"]

    def restore(self, label: str, before: Any) -> None:
        """Put one part back, in place. Raises CannotRestore."""
        reader = self.reader
        if isinstance(reader, readers.PartsReader) and reader.remake is not None:
            self._replace(reader.remake(self.object, before))
            return
        if label == "" and isinstance(before, Contents) and isinstance(reader, readers.DictReader):
            reader.arrange(self.object, before.values)
            return
        reader.restore(self.object, self.touched.get(label), before)
        for node in self.ancestors():  # singledispatch keeps what it has looked up
            if node.reader is NAMES and "_clear_cache" in node.object:
                node.object["_clear_cache"]()
        if self.order and isinstance(reader, readers.DictReader):
            reader.arrange(self.object, self.order)

    def _replace(self, value: Any) -> None:
        """Put another object in this one's place, if nobody else holds it."""
        namespace = self.parent
        contents = namespace.contents if isinstance(namespace, Namespace) else None
        if contents is None or held_elsewhere(self.object, contents):
            raise CannotRestore("it can only be replaced, and others hold it, too")
        contents[self.key] = value
        self.graph.replace(self, value)

    def value_now(self, label: str) -> Any:
        """What stands under a label now, or the contents of the whole."""
        parts = self.reader.read(self.object)
        if self.reader.is_whole or (label == "" and isinstance(self.reader, readers.DictReader)):
            return self.reader.contents(parts)
        return labelled(self.reader, parts).get(label, (None, MISSING))[1]

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Its keys (the indices of a sequence) and values."""
        return enumerate(self.values) if self.keys is None else zip(self.keys, self.values, strict=True)


def _names_in(key: str) -> list[str]:
    """A name, or the names in a label such as ".state.mode" or ".headers['x-app']", innermost first."""
    if key.isidentifier():
        return [key]
    is_label = key.startswith(".") and not key.endswith(")")
    return [quoted or name for quoted, name in re.findall(_NAMES_IN, key)][::-1] if is_label else []


def held_elsewhere(value: object, own: dict[str, Any] | None) -> bool:
    """Whether a module holds an object under some name, other than the one with this namespace."""
    for module in list(sys.modules.values()):
        if is_module(module):
            contents = module_dict(module)
            if contents is not own and any(held is value for held in list(contents.values())):
                return True
    return False


Root = Namespace | FixtureValue | Library
Parent = Node | Root


def shown(label: str) -> str:
    """A label as it stands in a place: short, without addresses and credentials."""
    label = re.sub(_ADDRESS, "", label)
    if label.startswith("[(") and is_secret_name(label):
        return "[(…)]"  # a pair such as that of a header
    label = redact_value(label)
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 3]}…']"


def labelled(reader: Reader, parts: Parts) -> dict[str, tuple[Any, Any]]:
    """Keys and values, by the label that a place ends in."""
    keys, values = parts
    return {reader.label(key): (key, value) for key, value in zip(keys or (), values, strict=True)}
