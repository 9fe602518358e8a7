"""Which changes count. A table of rules, tried in order; every exemption carries its reason.

"ignored" is the interpreter's or pytest's own book-keeping and is not recorded; "warm-up" is one-way
set-up by the program itself: counted, kept in the JSON, not reported. What no rule takes is a leak.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cached_property
from importlib.machinery import ModuleSpec
from types import BuiltinFunctionType, CellType, FrameType, FunctionType
from typing import Any, Final, Literal, NamedTuple

from pytest_mcpsmoke.state.containers import FixtureValue, Node, held_elsewhere
from pytest_mcpsmoke.state.diff import BUILT_IN_VALUES, equal_structure, redefinition
from pytest_mcpsmoke.state.kinds import is_logger
from pytest_mcpsmoke.state.ledger import Cause, Owner, Step
from pytest_mcpsmoke.state.place import (
    MISSING,
    Contents,
    Holder,
    Namespace,
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.poison import function_of_cache, is_empty_cache, is_poisoned
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.stubs import BoundToStubs
from pytest_mcpsmoke.state.writer import Writer, calls_in, file_of_module, is_runner_module

Kind = Literal["added", "removed", "rebound", "mutated"]
Verdict = Literal["leak", "warm-up", "allowed", "ignored"]


class Change:
    """One place that its owner left changed, with what is needed to judge it.

    puts_back: after is the value that an earlier, reported leak replaced. at numbers the changes of a run.
    undone_later: places that the runner puts back when a test's protocol ends.
    """

    def __init__(
        self,
        holder: Holder,
        key: str,
        before: Any,
        after: Any,
        owner: Owner,
        find_writer: Callable[[], Writer],
        during: str | None = None,
        cause: Cause | None = None,
        puts_back: bool = False,
        at: int = 0,
        undone_later: frozenset[str] = frozenset(),
    ) -> None:
        self.undone_later = undone_later
        self.at = at
        self.holder = holder
        self.key = key
        self.before = before
        self.after = after
        self.owner = owner
        self.find_writer = find_writer
        self.during = during
        self.cause = cause
        self.puts_back = puts_back

    @cached_property
    def writer(self) -> Writer:
        """Who wrote. Searching for it costs: most rules look at the values first."""
        return self.find_writer()

    @property
    def is_writer_known(self) -> bool:
        """Whether the writer had to be found already."""
        return "writer" in self.__dict__

    @property
    def kind(self) -> Kind:
        if self.before is MISSING:
            return "added"
        if self.after is MISSING:
            return "removed"
        return "mutated" if type(self.after) is Contents or self.key == "" else "rebound"

    @property
    def place(self) -> str:
        return self.holder.place(self.key)

    @property
    def namespace(self) -> Namespace:
        """The holder of a change to a name of a namespace: only the rules about those ask for it."""
        assert isinstance(self.holder, Namespace)
        return self.holder


class Rule(NamedTuple):
    """An exemption: when it applies, what becomes of the change, and why."""

    name: str
    verdict: Literal["ignored", "warm-up"]
    reason: str
    applies: Callable[[Change], bool]


# Names that the interpreter itself writes, whatever code happens to be running.
_INTERPRETER_NAMES: Final = frozenset(
    {"__warningregistry__", "__builtins__", "__annotations__", "__annotations_cache__", "__annotate_func__"}
    | {"__slotnames__", "__abstractmethods__", "__type_params__", "__static_attributes__", "__firstlineno__"}
)
_LAST_SHOWN: Final = frozenset(
    {"sys.last_type", "sys.last_value", "sys.last_traceback", "sys.last_exc", "builtins._"}
)
_STREAMS: Final = frozenset({"sys.stdin", "sys.stdout", "sys.stderr"})
WARNINGS_STATE: Final = frozenset(
    {"warnings.filters", "warnings._filters_version", "warnings.showwarning", "warnings._showwarnmsg_impl"}
)
_TIME_ZONE: Final = frozenset({"time.tzname", "time.timezone", "time.altzone", "time.daylight"})


def _is_captured_stream(change: Change) -> bool:
    if change.place not in _STREAMS:
        return False
    return any(module_of(type(value)) == "_pytest.capture" for value in (change.before, change.after))


def _is_runner(change: Change) -> bool:
    own = change.writer.by == "unknown" and is_runner_module(change.namespace.module)
    return change.writer.by == "runner" or own


def _is_submodule(change: Change) -> bool:
    return (
        is_module(change.after) and change.before is MISSING and sys.modules.get(change.place) is change.after
    )


def _is_import(change: Change) -> bool:
    if is_module(change.before) or change.cause == "reload":
        return False  # a twin of a module, or a body that ran twice
    return change.cause == "import" or change.writer.by == "import"


def _is_reimport(change: Change) -> bool:
    if not (is_module(change.before) and is_module(change.after)):
        return False
    names = {text_of(module_dict(value).get("__name__")) for value in (change.before, change.after)}
    if sys.modules.get(next(iter(names)) or "") is change.before:
        return False  # the attribute names the twin, sys.modules the module
    return len(names) == 1 and not _is_twin(change.before)


def _is_lazy_attribute(change: Change) -> bool:
    return change.writer.by == "program" and change.writer.is_lazy and change.kind != "rebound"


def _is_metadata(change: Change) -> bool:
    dunder = change.key.startswith("__") and change.key.endswith("__")
    code = kind_of(change.after) in (FunctionType, BuiltinFunctionType)
    return change.writer.by == "program" and dunder and not code and change.after is not MISSING


def _is_empty(value: object) -> bool:
    if value is None or value is False or value is MISSING:
        return True
    return kind_of(value) in (str, bytes, tuple, list, dict, set, frozenset) and not value


def is_first_use(change: Change) -> bool:
    """The writing function looks whether there is anything under the name, and fills it if not."""
    return (
        change.writer.by == "program"
        and change.writer.checks
        and _is_empty(change.before)
        and change.after is not MISSING
    )


def _is_counter(change: Change) -> bool:
    before, after = change.before, change.after
    if not {kind_of(before), kind_of(after)} <= {int, float} or not after > before:
        return False
    return change.writer.by == "program" and change.writer.reads


def _is_cache(change: Change) -> bool:
    named = any(word in change.key.lower() for word in ("cache", "memo"))
    return change.writer.by == "program" and change.writer.reads and named


def _is_equal(change: Change) -> bool:
    if not equal_structure(change.before, change.after):
        return False
    is_object = kind_of(change.after) not in BUILT_IN_VALUES
    if is_object and change.writer.by == "test":
        return False  # an object of the program is more than what it holds
    return not held_elsewhere(change.before, change.namespace.contents)


def _is_none_for_nothing(change: Change) -> bool:
    return change.before is MISSING and change.after is None and change.writer.by == "program"


def _is_clean_reload(change: Change) -> bool:
    if change.cause != "reload":
        return False
    if change.key.startswith("__"):
        return True  # the import system sets __spec__ and its like anew
    again = redefinition(change.before, change.after)
    return again and not held_elsewhere(change.before, change.namespace.contents)


def _is_original(value: object) -> bool:
    """Whether the module that a class or function says it comes from holds it under its name."""
    if is_class(value):
        home, name = module_of(value), text_of(qualname_of(value))
    elif kind_of(value) in (FunctionType, BuiltinFunctionType):
        home, name = text_of(value.__module__), text_of(value.__name__)  # type: ignore[attr-defined]
    else:
        return False
    module = sys.modules.get(home or "")
    return is_module(module) and module_dict(module).get(name or "") is value


def _is_put_right(change: Change) -> bool:
    """A module first imported while a name was patched got the double, and whoever patched put it right."""
    born_here = change.namespace.born is change.owner
    return (
        born_here and change.writer.by != "test" and change.kind == "rebound" and _is_original(change.after)
    )


def _is_own_setup(change: Change) -> bool:
    if change.owner.kind != "fixture" or not change.owner.spans:
        return False
    return file_of_module(change.namespace.module) == change.owner.spans[0].path


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
    return type(_object_of(change)) is not CellType and _is_counter(change)


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
    """A private attribute of an object whose class is not the program's, or something inside one."""
    node = change.holder
    if not isinstance(node, Node) or change.writer.by == "test":
        return False
    if any(_is_wrapper_of_library(one) for one in node.ancestors()):
        return True
    names: list[object] = [node.touched.get(change.key), *(one.key for one in node.ancestors())]
    for one, name in zip(node.ancestors(), names, strict=False):
        is_private = type(name) is str and name.startswith("_")
        if is_private and one.is_instance and not one.graph.is_ours(module_of(type(one.object)) or ""):
            return True
    return False


def _is_wrapper_of_library(node: Node) -> bool:
    """Whether it is a function that a library's decorator made of one of the program's."""
    function = node.object
    if kind_of(function) is not FunctionType:
        return False
    home = text_of(function.__globals__.get("__name__"))
    return home is not None and not node.graph.is_ours(home)


def _is_gc_callback(change: Change) -> bool:
    return change.place == "gc.callbacks" and change.writer.by != "test"


def _is_own_value(change: Change) -> bool:
    node = change.holder
    if not (isinstance(node, Node) and change.owner.kind == "fixture"):
        return False
    root, _ = node.root
    if not isinstance(root, Namespace):
        return isinstance(root, FixtureValue) and root.owner is change.owner
    return bool(change.owner.spans) and file_of_module(root.module) == change.owner.spans[0].path


def _is_over(change: Change) -> bool:
    return change.after is MISSING and change.holder.probe in ("descriptors", "threads", "children")


def _probe_says(change: Change) -> str | None:
    """Why a probe takes a change for set-up by the program; None where it does not, or nobody asked one."""
    if not isinstance(change.holder, Probe):
        return None
    return change.holder.warm_up(change.key, change.before, change.after)


RULES: Final[tuple[Rule, ...]] = (
    # by the place and the values alone
    Rule(
        "interpreter",
        "ignored",
        "the interpreter keeps its own books under this name",
        lambda change: change.key in _INTERPRETER_NAMES,
    ),
    Rule(
        "last shown",
        "ignored",
        "the interpreter and pytest keep the last traceback, or the last value displayed, there",
        lambda change: change.place in _LAST_SHOWN,
    ),
    Rule(
        "module spec",
        "ignored",
        "the import system describes the module anew",
        lambda change: type(change.before) is ModuleSpec and type(change.after) is ModuleSpec,
    ),
    Rule(
        "captured stream",
        "ignored",
        "pytest's capturing swaps the streams at every stage",
        _is_captured_stream,
    ),
    Rule(
        "warnings",
        "ignored",
        "pytest puts it back when the test's protocol ends",
        lambda change: change.place in change.undone_later,
    ),
    Rule(
        "collection",
        "ignored",
        "importing a test module imports the program, which sets itself up",
        lambda change: change.owner.kind == "module" and (_is_submodule(change) or change.cause == "import"),
    ),
    Rule("submodule", "warm-up", "the import system set a submodule on its package", _is_submodule),
    Rule("re-import", "warm-up", "the module was imported anew and nobody holds the old one", _is_reimport),
    Rule("reload", "warm-up", "the module was reloaded and nobody holds the old objects", _is_clean_reload),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule("time zone", "warm-up", "time.tzset() computed it anew", lambda change: change.place in _TIME_ZONE),
    Rule("equal value", "warm-up", "rebuilt to an equal value, and nobody holds the old one", _is_equal),
    # by who wrote
    Rule("nothing new", "warm-up", "None stands where nothing stood", _is_none_for_nothing),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import),
    Rule("pytest", "ignored", "pytest wrote it, not the test", _is_runner),
    Rule("lazy attribute", "warm-up", "an attribute computed on demand was kept", _is_lazy_attribute),
    Rule("metadata", "warm-up", "the program completed its own metadata on first use", _is_metadata),
    Rule("first use", "warm-up", "the program found it empty and filled it on first use", is_first_use),
    Rule("counter", "warm-up", "the program counts up", _is_counter),
    Rule("cache", "warm-up", "the program renewed a cache of its own", _is_cache),
    Rule(
        "put right",
        "warm-up",
        "imported while patched, it got its original when the patch ended",
        _is_put_right,
    ),
    Rule(
        "own set-up",
        "warm-up",
        "a fixture sets up the test module or class that it belongs to",
        _is_own_setup,
    ),
)


def _is_imported(change: Change) -> bool:
    """A module that was found and loaded, under its own name; or what a module's body put there."""
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


def _is_module_again(change: Change) -> bool:
    again = is_module(change.before) and is_module(change.after)
    return again and not _is_twin(change.before)


def _is_twin(module: Any) -> bool:
    """Whether somebody still holds a module that was imported anew, or what it defined."""
    contents = module_dict(module)
    name = text_of(contents.get("__name__"))
    defined = {
        id(value)
        for value in list(contents.values())
        if (is_class(value) and module_of(value) == name)
        or (kind_of(value) is FunctionType and value.__globals__ is contents)
    }
    others = [module_dict(one) for one in list(sys.modules.values()) if is_module(one)]
    held = any(id(value) in defined for one in others if one is not contents for value in list(one.values()))
    return held or any(_is_of_program(holder) for holder in gc.get_referrers(module))


def _is_of_program(holder: Any) -> bool:
    """Whether what refers to a module is neither a running function nor one of the detector's own books."""
    if type(holder) in (Change, Step, FrameType, CellType):
        return False
    return not (type(holder) is dict and "find_writer" in holder)  # the attributes of a Change


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
    Rule("nothing new", "warm-up", "None stands where nothing stood", _is_none_for_nothing),
    Rule("gc callback", "warm-up", "a library listens to the garbage collector", _is_gc_callback),
)

PROBE_RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "captured descriptor",
        "ignored",
        "pytest's capturing turns the standard streams to and fro",
        lambda change: change.holder.probe == "descriptors" and change.key.startswith(("0 ", "1 ", "2 ")),
    ),
    Rule("ended", "ignored", "a descriptor was closed, a thread or a child process has ended", _is_over),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import_inside),
    Rule(
        "collection",
        "ignored",
        "importing a test module imports the program, which sets itself up",
        lambda change: change.owner.kind == "module" and change.writer.by != "test",
    ),
    Rule("set-up", "warm-up", "one-way set-up", lambda change: _probe_says(change) is not None),
)


Classify = Callable[[Change], tuple[Verdict, str] | None]


def judge(change: Change, classify: Classify | None = None) -> tuple[Verdict, str | None]:
    """Return the verdict on one change, and the reason when it is exempt.

    classify is asked before the rules are.
    """
    found = None if classify is None else classify(change)
    if found is not None:
        return found
    for rule in rules_for(change.holder):
        if rule.applies(change):
            return rule.verdict, _probe_says(change) if rule.name == "set-up" else rule.reason
    return "leak", None


def rules_for(holder: Holder) -> tuple[Rule, ...]:
    """The table of rules that a change of this holder is tried against."""
    if isinstance(holder, BoundToStubs):
        return ()  # nothing excuses it
    if isinstance(holder, SysModules):
        return MODULE_RULES
    if isinstance(holder, Namespace):
        return RULES
    return OBJECT_RULES if isinstance(holder, Node) else PROBE_RULES


def judge_all(
    changes: list[Change], classify: Classify | None = None
) -> list[tuple[Change, Verdict, str | None]]:
    """Judge what one owner left; what one function of the program keeps together is judged together.

    Names that a function fills on first use drag along what else it sets then (a flag, a table); a
    counter drags along what the same function reads and renews with it (a cache and its stamp).
    """
    verdicts = [(change, *judge(change, classify)) for change in changes]
    exempt = [change for change, verdict, _ in verdicts if verdict == "warm-up" and change.is_writer_known]
    filled = {change.writer.function: change.place for change in exempt if is_first_use(change)}
    counted = {change.writer.function: change.place for change in exempt if _is_counter(change)}
    return [
        (change, "warm-up", together)
        if verdict == "leak" and (together := _together(change, filled, counted)) is not None
        else (change, verdict, reason)
        for change, verdict, reason in verdicts
    ]


def _together(change: Change, filled: dict[str | None, str], counted: dict[str | None, str]) -> str | None:
    """Why a change goes along with another of the same function; None when it stands alone."""
    writer = change.writer
    if writer.by != "program" or writer.function is None:
        return None
    if writer.function in filled:
        return f"set together with {filled[writer.function]} on first use"
    if writer.function in counted and writer.reads:
        return f"renewed together with {counted[writer.function]}"
    return None
