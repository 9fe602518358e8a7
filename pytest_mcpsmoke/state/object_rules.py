"""Which changes count inside objects, in sys.modules and around the program; see policy.py."""

from __future__ import annotations

import os
from importlib.machinery import ModuleSpec
from types import CellType, CoroutineType, FunctionType
from typing import Any, Final

from pytest_mcpsmoke.state.change import (
    Change,
    Rule,
    is_counter,
    is_first_use,
    is_none_for_nothing,
    is_twin,
)
from pytest_mcpsmoke.state.containers import FixtureValue, Node
from pytest_mcpsmoke.state.kinds import PENDING_TASKS, WORDS_OF_PARTS
from pytest_mcpsmoke.state.loggers import is_logger
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    Namespace,
    is_module,
    kind_of,
    module_dict,
    module_of,
    text_of,
)
from pytest_mcpsmoke.state.poison import function_of_cache, is_empty_cache, is_poisoned
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.registrations import PATCHES
from pytest_mcpsmoke.state.writer import calls_in, file_of_module


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
    """Not what a closure counts: that is a sequence of its own, like itertools.count."""
    return type(_object_of(change)) is not CellType and is_counter(change)


def _object_of(change: Change) -> object:
    return change.holder.object if isinstance(change.holder, Node) else None


def _is_memo(change: Change) -> bool:
    node = change.holder
    root = node.root[0] if isinstance(node, Node) else None
    if not isinstance(node, Node) or (isinstance(root, Namespace) and not node.graph.is_ours(root.module)):
        return False  # a registry of the standard library looks up, too
    grown = change.before is MISSING
    return grown and change.writer.by == "program" and change.writer.looks_up and not change.writer.is_given


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


def _is_new_logger(change: Change) -> bool:
    return change.before is MISSING and is_logger(change.after)


def _is_books_of_library(change: Change) -> bool:
    """Something that a library keeps for itself; on its loops also tasks, unless the test has made them."""
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test":
        return False
    if change.key == PENDING_TASKS and calls_in(change.owner, WORDS_OF_PARTS[PENDING_TASKS]):
        return False
    if change.key == PENDING_TASKS and not _are_of_library(node, _added(change)):
        return False
    return any(_is_wrapper_of_library(one) for one in node.ancestors()) or _is_private_to_library(
        node, change
    )


def _is_private_to_library(node: Node, change: Change) -> bool:
    """A private attribute of an object whose class is not the program's, or something inside one."""
    names: list[object] = [node.touched.get(change.key), *(one.key for one in node.ancestors())]
    for one, name in zip(node.ancestors(), names, strict=False):
        is_private = type(name) is str and name.startswith("_")
        if is_private and one.is_instance and not one.graph.is_ours(module_of(type(one.object)) or ""):
            return True
    return False


def _are_of_library(node: Node, tasks: list[Any]) -> bool:
    """Whether these tasks run coroutines of libraries."""
    coroutines = [task.get_coro() for task in tasks]
    frames = [coroutine.cr_frame for coroutine in coroutines if type(coroutine) is CoroutineType]
    homes = [text_of(frame.f_globals.get("__name__")) for frame in frames if frame is not None]
    return len(homes) == len(coroutines) and not any(node.graph.is_ours(home or "") for home in homes)


def _is_wrapper_of_library(node: Node) -> bool:
    """Whether it is a function that a library's decorator made of one of the program's."""
    function = node.object
    if kind_of(function) is not FunctionType:
        return False
    home = text_of(function.__globals__.get("__name__"))
    return home is not None and not node.graph.is_ours(home)


def _is_stopped_patch(change: Change) -> bool:
    """None of the patches that it started is started now; one that was stopped is told by its place."""
    if not isinstance(change.holder, Node) or change.holder.reader is not PATCHES:
        return False
    now = change.holder.value_now(change.key)
    return not any(one is other for one in _added(change) for other in _values(now))


def _added(change: Change) -> list[Any]:
    """What a container holds after a change, and did not before."""
    before = _values(change.before)
    return [one for one in _values(change.after) if not any(one is other for other in before)]


def _values(contents: object) -> tuple[Any, ...]:
    return contents.values if type(contents) is Contents else ()


def _is_gc_callback(change: Change) -> bool:
    return change.place == "gc.callbacks" and change.writer.by != "test"


def _is_own_value(change: Change) -> bool:
    """Also the value of a fixture that is finalised: the fixtures that it used end it, loops and clients."""
    node = change.holder
    if not (isinstance(node, Node) and change.owner.kind == "fixture"):
        return False
    root, _ = node.root
    if not isinstance(root, Namespace):
        return isinstance(root, FixtureValue) and (root.owner is change.owner or root.is_over)
    return bool(change.owner.spans) and file_of_module(root.module) == change.owner.spans[0].path


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
    if change.cause == "import" or change.writer.by == "import":
        return True
    spec = module_dict(change.after).get("__spec__") if is_module(change.after) else None
    return type(spec) is ModuleSpec and spec.name == change.key and spec.loader is not None


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


# What stands in sys.modules.
MODULE_RULES: Final[tuple[Rule, ...]] = (
    Rule("imported", "ignored", "a module was imported", _is_imported),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule(
        "re-import", "warm-up", "the module was imported anew and nobody holds the old one", _is_module_again
    ),
)

# What an object holds. Written by test code it is a leak; what the program writes into its own objects …
OBJECT_RULES: Final[tuple[Rule, ...]] = (
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", _is_put_back_inside),
    Rule("gone", "ignored", "the object came and went, or an equal one took its place", _is_gone),
    Rule("logger", "warm-up", "a logger was created", _is_new_logger),
    Rule("equal value", "warm-up", "rebuilt to an equal value", _is_equal_inside),
    Rule("order", "warm-up", "monkeypatch.delitem() puts a key back at the end", _is_order_of_undoing),
    Rule(
        "collection",
        "ignored",
        "importing a test module imports the program, which sets itself up",
        lambda change: change.owner.kind == "module" and change.writer.by != "test",
    ),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import_inside),
    Rule(
        "cache",
        "warm-up",
        "the program filled a cache, while nothing that it depends on was patched",
        _is_filled,
    ),
    Rule("first use", "warm-up", "the program found it empty and filled it on first use", is_first_use),
    Rule("counter", "warm-up", "the program counts up", _is_counter_inside),
    Rule("memo", "warm-up", "the program looked it up, and kept what it computed", _is_memo),
    Rule("named cache", "warm-up", "the program keeps a cache, and calls it so", _is_named_cache),
    Rule("empty", "warm-up", "the program put an empty container there", _is_new_and_empty),
    Rule("library", "warm-up", "a library keeps its own books in an object of its own", _is_books_of_library),
    Rule("own set-up", "warm-up", "a fixture sets up its own value", _is_own_value),
    Rule("nothing new", "warm-up", "None stands where nothing stood", is_none_for_nothing),
    Rule("stopped patch", "ignored", "a patch was stopped: its place tells", _is_stopped_patch),
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
        "importing a test module imports the program, which sets itself up",
        lambda change: change.owner.kind == "module" and change.writer.by != "test",
    ),
    Rule("set-up", "warm-up", "one-way set-up", lambda change: probe_says(change) is not None),
)
