"""Which changes count inside objects, in sys.modules and around the program; see policy.py."""

from __future__ import annotations

import os
import socket
from importlib.machinery import ModuleSpec
from itertools import count
from types import CellType, FunctionType
from typing import Final
from weakref import CallableProxyType, ProxyType, ReferenceType

from pytest_mcpsmoke.state.books import is_books_of_decorator, is_books_of_library, is_service
from pytest_mcpsmoke.state.change import (
    Change,
    Rule,
    added,
    is_counter,
    is_first_use,
    is_name_of_metadata,
    is_none_for_nothing,
    is_twin,
    values,
)
from pytest_mcpsmoke.state.held import is_held_by_test_alone
from pytest_mcpsmoke.state.loggers import is_logger
from pytest_mcpsmoke.state.nodes import FixtureValue, Node, held_elsewhere
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    Namespace,
    dict_of_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    mro_of,
    text_of,
)
from pytest_mcpsmoke.state.poison import function_of_cache, is_empty_cache, is_poisoned
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.descriptors import Descriptors
from pytest_mcpsmoke.state.program import is_not_installed
from pytest_mcpsmoke.state.registrations import PATCHES, SUBCLASSES
from pytest_mcpsmoke.state.writer import asks, calls_in, file_of_module

WEAKLY_HELD: Final = "a weak reference to what nobody else holds"
COLLECTION: Final = "importing a test module imports the program, which sets itself up"


def _is_equal_inside(change: Change) -> bool:
    """What it holds is equal to what it held, down to the last part, and nobody holds the old one."""
    node = change.holder
    if not isinstance(node, Node) or change.before is MISSING or change.after is MISSING:
        return False
    return not node.graph.holds(change.before) and node.graph.was_equal(change.before, change.after)


def _is_order_of_undoing(change: Change) -> bool:
    """monkeypatch.delitem() puts a key back at the end."""
    is_order = type(change.after) is Contents and change.after.kind == "order"
    return is_order and calls_in(change.owner, {"delitem"})


def _is_import_inside(change: Change) -> bool:
    return change.cause == "import" and change.writer.by != "test"


def _is_put_back_inside(change: Change) -> bool:
    """Counts of a cache may be the same with other contents."""
    return change.puts_back and function_of_cache(change.holder, change.key) is None


def _is_filled(change: Change) -> bool:
    function = function_of_cache(change.holder, change.key)
    if function is None or change.writer.by == "test" or change.after is MISSING:
        return False
    return is_empty_cache(change.after) or not is_poisoned(function, change.owner)


def _is_counter_inside(change: Change) -> bool:
    """Not what a closure counts: that is a sequence of its own; nor one that the owner's code draws from."""
    node = change.holder
    if isinstance(node, Node) and type(node.object) is count:
        return not asks(change.owner, node.names(change.key))
    return type(_object_of(change)) is not CellType and is_counter(change)


def _object_of(change: Change) -> object:
    return change.holder.object if isinstance(change.holder, Node) else None


def _is_memo(change: Change) -> bool:
    if _is_answer_to_miss(change):
        return True
    node = change.holder
    root = node.root[0] if isinstance(node, Node) else None
    if not isinstance(node, Node) or (isinstance(root, Namespace) and not node.graph.is_ours(root.module)):
        return False  # a registry of the standard library looks up, too
    grown = change.before is MISSING
    return grown and change.writer.by == "program" and change.writer.looks_up and not change.writer.is_given


def _is_answer_to_miss(change: Change) -> bool:
    """Whether a dict keeps what its class computes for a key that is not there."""
    value, grown = _object_of(change), change.before is MISSING and change.after is not MISSING
    if not grown or change.writer.by == "test" or dict not in mro_of(type(value)):
        return False
    return any(type(dict_of_class(cls).get("__missing__")) is FunctionType for cls in mro_of(type(value)))


def _is_named_cache(change: Change) -> bool:
    """Something computed is kept under a name that says so: unlike a memo, by one function for another."""
    node = change.holder
    names = node.names(change.key) if isinstance(node, Node) else []
    named = any(word in name.lower() for name in names for word in ("cache", "memo"))
    return named and change.after is not MISSING and change.writer.by == "program"


def _is_new_and_empty(change: Change) -> bool:
    is_container = kind_of(change.after) in (list, dict, set)
    return change.before is MISSING and is_container and not change.after and change.writer.by != "test"


def _is_gone(change: Change) -> bool:
    """It was first met in its owner's time, and nothing leads to it any more."""
    node = change.holder
    if not isinstance(node, Node) or node.graph.holds(node.object):
        return False
    return node.born is change.owner or node.graph.is_replaced(node)


def _is_weak_inside(change: Change) -> bool:
    """A weak reference to what no name and no object of the program holds: it goes when that is collected."""
    node, before, after = change.holder, change.before, change.after
    is_one_missing = before is MISSING or after is MISSING  # not `in`, which asks whether they are equal
    if not isinstance(node, Node) or not is_one_missing or change.writer.by == "test":
        return False
    if type(before) is ReferenceType:
        return before() is None
    if type(after) is not ReferenceType:
        return False
    value = after()
    return value is None or not (node.graph.holds(value) or held_elsewhere(value, None))


def _is_metadata(change: Change) -> bool:
    """What the program notes about a function, or an instance, under dunder names that it made up."""
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test" or change.after is MISSING:
        return False
    name = node.touched.get(change.key)
    if type(node.object) is FunctionType and name == "__dict__":
        notes = change.after if change.before is None and type(change.after) is dict else {}
        return bool(notes) and all(map(is_name_of_metadata, notes))
    of_function = isinstance(node.parent, Node) and type(node.parent.object) is FunctionType
    return (node.is_instance or (of_function and node.key == "__dict__")) and is_name_of_metadata(name)


def _is_new_logger(change: Change) -> bool:
    return change.before is MISSING and is_logger(change.after)


def _is_stopped_patch(change: Change) -> bool:
    """None of the patches that it started is started now; one that was stopped is told by its place."""
    if not isinstance(change.holder, Node) or change.holder.reader is not PATCHES:
        return False
    now = values(change.holder.value_now(change.key))
    return not any(one is other for one in added(change) for other in now)


def _is_gc_callback(change: Change) -> bool:
    return change.place == "gc.callbacks" and change.writer.by != "test"


def _is_own_value(change: Change) -> bool:
    """Also the value of a fixture that is finalised: the fixtures that it used end it, loops and clients."""
    node = change.holder
    if not isinstance(node, Node) or change.owner.kind == "test":
        return False
    root, _ = node.root
    if not isinstance(root, Namespace):
        return isinstance(root, FixtureValue) and (root.owner is change.owner or root.is_over)
    return bool(change.owner.spans) and file_of_module(root.module) == change.owner.spans[0].path


def _is_subclass_in_tests(change: Change) -> bool:
    """Nobody but the tests looks for subclasses of a class of theirs; and they are gone when collected."""
    node = change.holder
    if not isinstance(node, Node) or node.reader is not SUBCLASSES:
        return False
    return node.graph.is_test(module_of(node.object) or "")


def _is_accepted(change: Change) -> bool:
    """A connection that a server in the background accepted."""
    site = change.writer.site
    is_open = change.holder.probe == "descriptors" and change.after is not MISSING
    return is_open and site is not None and site.function == "accept" and site.path == socket.__file__


def _is_dropped_with_test(change: Change) -> bool:
    """A file that a fixture's value holds, which pytest drops when the test is over."""
    if not isinstance(change.holder, Descriptors) or change.after is MISSING or change.owner.kind != "test":
        return False
    holder = change.holder.holder(change.key)
    return holder is not None and is_held_by_test_alone(holder)


def _is_farewell_of_library(change: Change) -> bool:
    """An installed library registers a function of its own with atexit."""
    if (
        change.holder.probe != "atexit"
        or kind_of(change.after) is not FunctionType
        or change.writer.by == "test"
    ):
        return False
    name = text_of(change.after.__module__) or ""
    return not is_not_installed()(name, file_of_module(name))


def _is_over(change: Change) -> bool:
    if change.holder.probe == "alarm":
        return change.after == "off" and change.writer.by != "test"
    return change.after is MISSING and change.holder.probe in ("descriptors", "threads", "children")


def probe_says(change: Change) -> str | None:
    """Why a probe takes a change for set-up by the program; None where it does not, or nobody asked one."""
    if not isinstance(change.holder, Probe):
        return None
    return change.holder.warm_up(change.key, change.before, change.after)


def _is_imported(change: Change) -> bool:
    """A module that was found and loaded, under its own name; or what a module's body put there."""
    if change.after is MISSING:
        return _makes_room(change)
    if change.before is not MISSING and not _is_namesake(change):
        return False
    if not is_module(change.after) and change.cause != "import":
        return False
    spec = module_dict(change.after).get("__spec__") if is_module(change.after) else None
    if type(spec) is ModuleSpec and spec.name == change.key and spec.loader is not None:
        return True
    return change.cause == "import" or change.writer.by == "import"  # last, for it reads source


def _is_namesake(change: Change) -> bool:
    """Another file was imported under the same name, as conftests and test modules of other folders are."""
    if not (is_module(change.before) and is_module(change.after)):
        return False
    files = {text_of(module_dict(module).get("__file__")) for module in (change.before, change.after)}
    return change.owner.kind == "module" and len(files) == 2 and None not in files


def _makes_room(change: Change) -> bool:
    """pytest takes one conftest out of sys.modules before it imports the next."""
    if change.owner.kind != "module" or change.key != "conftest" or not is_module(change.before):
        return False
    files = [text_of(module_dict(change.before).get("__file__")), *(span.path for span in change.owner.spans)]
    return len(set(files)) == 2 and all(file and os.path.basename(file) == "conftest.py" for file in files)


def _is_module_again(change: Change) -> bool:
    again = is_module(change.before) and is_module(change.after)
    return again and not is_twin(change.before)


def _is_weak(change: Change) -> bool:
    """Nobody keeps a module by a weak reference: what keeps it is state of its own."""
    values = {kind_of(value) for value in (change.before, change.after) if value is not MISSING}
    return change.kind in ("added", "removed") and values <= {ProxyType, CallableProxyType}


# What stands in sys.modules.
MODULE_RULES: Final[tuple[Rule, ...]] = (
    Rule("imported", "ignored", "a module was imported", _is_imported),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule(
        "re-import", "warm-up", "the module was imported anew and nobody holds the old one", _is_module_again
    ),
    Rule("weak", "warm-up", "it is held weakly, and goes when what it stands for is collected", _is_weak),
)

# What an object holds. Written by test code it is a leak; what the program writes into its own objects …
OBJECT_RULES: Final[tuple[Rule, ...]] = (
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", _is_put_back_inside),
    Rule("gone", "ignored", "the object came and went, or an equal one took its place", _is_gone),
    Rule("weak", "warm-up", WEAKLY_HELD, _is_weak_inside),
    Rule("logger", "warm-up", "a logger was created", _is_new_logger),
    Rule("equal value", "warm-up", "rebuilt to an equal value", _is_equal_inside),
    Rule("order", "warm-up", "monkeypatch.delitem() puts a key back at the end", _is_order_of_undoing),
    Rule(
        "collection",
        "ignored",
        COLLECTION,
        lambda change: change.owner.kind == "module" and change.writer.by != "test",
    ),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import_inside),
    Rule(
        "cache",
        "warm-up",
        "the program filled a cache, while nothing that it depends on was patched",
        _is_filled,
    ),
    Rule(
        "metadata",
        "warm-up",
        "the program notes something about an object, under a name that says so",
        _is_metadata,
    ),
    Rule("first use", "warm-up", "the program found it empty and filled it on first use", is_first_use),
    Rule("counter", "warm-up", "the program counts up", _is_counter_inside),
    Rule("memo", "warm-up", "the program looked it up, and kept what it computed", _is_memo),
    Rule("named cache", "warm-up", "the program keeps a cache, and calls it so", _is_named_cache),
    Rule("empty", "warm-up", "the program put an empty container there", _is_new_and_empty),
    Rule("library", "warm-up", "a library keeps its own books in an object of its own", is_books_of_library),
    Rule(
        "decorator",
        "warm-up",
        "the program's decorator keeps its books in a function of the tests",
        is_books_of_decorator,
    ),
    Rule(
        "service",
        "warm-up",
        "a library writes in an object of its own, which the test does not use",
        is_service,
    ),
    Rule("own set-up", "warm-up", "a fixture or a test module sets up what is its own", _is_own_value),
    Rule("nothing new", "warm-up", "None stands where nothing stood", is_none_for_nothing),
    Rule("stopped patch", "ignored", "a patch was stopped: its place tells", _is_stopped_patch),
    Rule(
        "own subclass",
        "warm-up",
        "a test derived from a class of the tests, and the garbage collector takes it away",
        _is_subclass_in_tests,
    ),
    Rule("gc callback", "warm-up", "a library listens to the garbage collector", _is_gc_callback),
)

PROBE_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "captured descriptor",
        "ignored",
        "pytest's capturing turns the standard streams to and fro",
        lambda change: change.holder.probe == "descriptors" and change.key.startswith(("0 ", "1 ", "2 ")),
    ),
    Rule(
        "accepted",
        "warm-up",
        "a server in the background accepted it, and closes it when the other end is closed",
        _is_accepted,
    ),
    Rule(
        "dropped",
        "warm-up",
        "a fixture's value holds it, and is dropped when the test is over",
        _is_dropped_with_test,
    ),
    Rule("farewell", "warm-up", "a library registered its own clean-up", _is_farewell_of_library),
    Rule(
        "ended",
        "ignored",
        "a descriptor was closed, a thread or a child process has ended, an alarm has run out",
        _is_over,
    ),
    Rule(
        "pytest",
        "ignored",
        "a plugin of pytest took out what it had put there",
        lambda change: change.writer.by == "runner",
    ),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import_inside),
    Rule(
        "collection",
        "ignored",
        COLLECTION,
        lambda change: change.owner.kind == "module" and change.writer.by != "test",
    ),
    Rule("set-up", "warm-up", "one-way set-up", lambda change: probe_says(change) is not None),
)
