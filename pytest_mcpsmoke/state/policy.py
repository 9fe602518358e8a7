"""Which changes count. A table of rules, tried in order; every exemption carries its reason.

"ignored" is the interpreter's or pytest's own book-keeping and is not recorded; "warm-up" is one-way
set-up by the program itself: counted, kept in the JSON, not reported. What no rule takes is a leak.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Final

from pytest_mcpsmoke.state.change import (
    Change,
    Rule,
    Verdict,
    is_counter,
    is_first_use,
    is_name_of_metadata,
    is_none_for_nothing,
    is_twin,
)
from pytest_mcpsmoke.state.diff import BUILT_IN_VALUES, equal_structure, redefinition
from pytest_mcpsmoke.state.nodes import Node, held_elsewhere
from pytest_mcpsmoke.state.object_rules import (
    COLLECTION,
    MODULE_RULES,
    OBJECT_RULES,
    PROBE_RULES,
    WEAKLY_HELD,
    probe_says,
)
from pytest_mcpsmoke.state.place import (
    MISSING,
    Holder,
    Namespace,
    dict_of_class,
    is_class,
    is_module,
    kind_of,
    module_dict,
    module_of,
    mro_of,
    qualname_of,
    text_of,
)
from pytest_mcpsmoke.state.probes.modules import SysModules
from pytest_mcpsmoke.state.stubs import BoundToStubs
from pytest_mcpsmoke.state.writer import file_of_module, is_file_of, is_runner_module

# Names that the interpreter itself writes, whatever code happens to be running.
_INTERPRETER_NAMES: Final = frozenset(
    {"__warningregistry__", "__builtins__", "__annotations__", "__annotations_cache__", "__annotate_func__"}
    | {"__slotnames__", "__abstractmethods__", "__type_params__", "__static_attributes__", "__firstlineno__"}
    | {"tearDown_exceptions"}  # unittest's, on each class whose cleanups ran
)
_LAST_SHOWN: Final = frozenset(
    {"sys.last_type", "sys.last_value", "sys.last_traceback", "sys.last_exc", "builtins._"}
)
_STREAMS: Final = frozenset({"sys.stdin", "sys.stdout", "sys.stderr"})
WARNINGS_STATE: Final = frozenset(
    {"warnings.filters", "warnings._filters_version", "warnings.showwarning", "warnings._showwarnmsg_impl"}
)
_TIME_ZONE: Final = frozenset({"time.tzname", "time.timezone", "time.altzone", "time.daylight"})

_TABLES: Final = (dict, list, set, frozenset, tuple)
_DOUBLES: Final = "unittest.mock"


def _is_captured_stream(change: Change) -> bool:
    if change.place not in _STREAMS:
        return False
    return any(module_of(type(value)) == "_pytest.capture" for value in (change.before, change.after))


def _is_runner(change: Change) -> bool:
    own = change.writer.by in ("unknown", "import") and is_runner_module(change.namespace.module)
    return change.writer.by == "runner" or own or _is_runner_again(change)


def _is_runner_again(change: Change) -> bool:
    """A run in a run imports parts of pytest anew: sys.modules gets its own back, the package does not."""
    if not (is_runner_module(change.namespace.module) and is_module(change.after)):
        return False
    name = text_of(module_dict(change.after).get("__name__"))
    return name == change.place and (change.before is MISSING or is_module(change.before))


def is_submodule(change: Change) -> bool:
    """Whether a package got a submodule as its attribute, which sys.modules holds, too."""
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
    return len(names) == 1 and not is_twin(change.before)


def _is_lazy_attribute(change: Change) -> bool:
    return change.writer.by == "program" and change.writer.is_lazy and change.kind != "rebound"


def _is_metadata(change: Change) -> bool:
    dunder = change.key.startswith("__") and change.key.endswith("__")
    code = kind_of(change.after) in (FunctionType, BuiltinFunctionType)
    notes = is_name_of_metadata(change.key) or (dunder and not code)
    by_program = change.writer.by in ("program", "unknown")  # as when it is set under a name that is computed
    return by_program and notes and change.after is not MISSING


def _is_cache(change: Change) -> bool:
    if not any(word in change.key.lower() for word in ("cache", "memo")):
        return False
    if change.before is MISSING and change.after is not MISSING:
        return change.writer.by in ("program", "unknown")  # as when it is set under a name that is computed
    return change.writer.by == "program" and change.writer.reads


def _is_renewed(change: Change) -> bool:
    """A function that looks whether its private table still fits, and computes it anew."""
    writer, before, after = change.writer, change.before, change.after
    is_computed = writer.by == "program" and writer.checks and not writer.is_given
    return is_computed and change.key.startswith("_") and kind_of(before) is kind_of(after) in _TABLES


def _is_stopped_patch(change: Change) -> bool:
    """mock.patch.stopall() also stops what a plugin has patched in the classes of the doubles themselves."""
    before, after = change.before, change.after
    if change.namespace.module != _DOUBLES or kind_of(before) is not FunctionType:
        return False
    is_own = kind_of(after) is FunctionType and after.__module__ == _DOUBLES
    return text_of(before.__module__) != _DOUBLES and (after is MISSING or is_own)


def _is_inherited(change: Change) -> bool:
    """A class has got as its own what it inherits anyway: whoever patched it put it back by setting it."""
    cls = change.namespace.ref()
    if change.before is not MISSING or not is_class(cls) or change.writer.by in ("test", "runner"):
        return False
    held = (dict_of_class(base).get(change.key, MISSING) for base in mro_of(cls)[1:])
    return next((value for value in held if value is not MISSING), MISSING) is change.after


def _is_books_of_library(change: Change) -> bool:
    """A library adds a private attribute to a class of its own: nothing that somebody gave it to keep."""
    namespace, is_private = change.namespace, change.key.startswith("_") and not change.key.endswith("__")
    if not (is_private and namespace.kind == "class" and change.kind == "added"):
        return False
    if change.is_ours(namespace.module) or change.writer.by != "program":
        return False
    home = file_of_module(namespace.module.partition(".")[0])
    return home is not None and (change.writer.function or "").startswith(os.path.dirname(home) + os.sep)


def _is_equal(change: Change) -> bool:
    if not equal_structure(change.before, change.after):
        return False
    is_object = kind_of(change.after) not in BUILT_IN_VALUES
    if is_object and change.writer.by == "test":
        return False  # an object of the program is more than what it holds
    return not held_elsewhere(change.before, change.namespace.contents)


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
    if change.owner.kind == "test":
        return _is_set_up_by_library(change)
    if not change.owner.spans:
        return False
    return file_of_module(change.namespace.module) == change.owner.spans[0].path or _is_set_up_for(change)


def _is_set_up_by_library(change: Change) -> bool:
    """Whether a base class of a library's sets up the class of the test: anew for each of its tests."""
    namespace, (_, *names) = change.namespace, change.owner.id.partition("[")[0].split("::")
    is_its_class = namespace.kind == "class" and namespace.name == ".".join([namespace.module, *names[:-1]])
    function = change.writer.function
    if not (names[:-1] and is_its_class) or change.writer.by not in ("program", "unknown"):
        return False
    return function is None or not is_file_of(function.rpartition(":")[0], change.is_ours)


def _is_set_up_for(change: Change) -> bool:
    """Whether a fixture of another file wrote into the class, or module, that asked for it: request.cls."""
    if change.owner.scope != change.namespace.kind or change.during is None:
        return False
    path, *names = change.during.partition("[")[0].split("::")
    qualified = names[:-1] if change.owner.scope == "class" else []
    is_named = change.namespace.name == ".".join([change.namespace.module, *qualified])
    file = Path(file_of_module(change.namespace.module) or "").as_posix()
    return is_named and (
        change.owner.scope == "class" or file.endswith(path)
    )  # a class may be made elsewhere


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
        COLLECTION,
        lambda change: change.owner.kind == "module" and (is_submodule(change) or change.cause == "import"),
    ),
    Rule("submodule", "warm-up", "the import system set a submodule on its package", is_submodule),
    Rule("re-import", "warm-up", "the module was imported anew and nobody holds the old one", _is_reimport),
    Rule("reload", "warm-up", "the module was reloaded and nobody holds the old objects", _is_clean_reload),
    Rule("put back", "warm-up", "puts back what an earlier leak replaced", lambda change: change.puts_back),
    Rule("stopped patch", "warm-up", "a patch of the doubles' own classes was stopped", _is_stopped_patch),
    Rule("time zone", "warm-up", "time.tzset() computed it anew", lambda change: change.place in _TIME_ZONE),
    Rule("equal value", "warm-up", "rebuilt to an equal value, and nobody holds the old one", _is_equal),
    # by who wrote
    Rule("nothing new", "warm-up", "None stands where nothing stood", is_none_for_nothing),
    Rule("import", "warm-up", "a module body that ran for the first time set it up", _is_import),
    Rule("pytest", "ignored", "pytest wrote it, not the test", _is_runner),
    Rule("inherited", "warm-up", "the class holds what it inherits anyway", _is_inherited),
    Rule("lazy attribute", "warm-up", "an attribute computed on demand was kept", _is_lazy_attribute),
    Rule("metadata", "warm-up", "the program completed its own metadata on first use", _is_metadata),
    Rule("first use", "warm-up", "the program found it empty and filled it on first use", is_first_use),
    Rule("counter", "warm-up", "the program counts up", is_counter),
    Rule("cache", "warm-up", "the program renewed a cache of its own", _is_cache),
    Rule("renewed", "warm-up", "the program renewed a table of its own that was out of date", _is_renewed),
    Rule(
        "library",
        "warm-up",
        "a library completes a class of its own on first use",
        _is_books_of_library,
    ),
    Rule(
        "put right",
        "warm-up",
        "imported while patched, it got its original when the patch ended",
        _is_put_right,
    ),
    Rule(
        "own set-up",
        "warm-up",
        "a fixture sets up the test module or class that it belongs to, and a test module itself",
        _is_own_setup,
    ),
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
            return rule.verdict, probe_says(change) if rule.name == "set-up" else rule.reason
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
    counter drags along what the same function reads and renews with it (a cache and its stamp); a weak
    reference what the same object notes with it (the order in which they came).
    """
    verdicts = [(change, *judge(change, classify)) for change in changes]
    exempt = [
        (change, reason)
        for change, verdict, reason in verdicts
        if verdict == "warm-up" and change.is_writer_known
    ]
    filled = {change.writer.function: change.place for change, _ in exempt if is_first_use(change)}
    counted = {change.writer.function: change.place for change, _ in exempt if is_counter(change)}
    weak = {_whole(change): change.place for change, reason in exempt if reason == WEAKLY_HELD}
    return [
        (change, "warm-up", together)
        if verdict == "leak" and (together := _together(change, filled, counted, weak)) is not None
        else (change, verdict, reason)
        for change, verdict, reason in verdicts
    ]


def _whole(change: Change) -> object:
    """The object that a container belongs to, which one of its parts is."""
    node = change.holder
    parent = node.parent if isinstance(node, Node) else None
    return parent if isinstance(parent, Node) and parent.is_instance else None


def _together(
    change: Change,
    filled: dict[str | None, str],
    counted: dict[str | None, str],
    weak: dict[object, str],
) -> str | None:
    """Why a change goes along with another of the same function, or object; None when it stands alone."""
    writer, whole = change.writer, _whole(change)
    if whole is not None and whole in weak and writer.by != "test":
        return f"noted together with {weak[whole]}, which is weak"
    if writer.by != "program" or writer.function is None:
        return None
    if writer.function in filled:
        return f"set together with {filled[writer.function]} on first use"
    if writer.function in counted and writer.reads:
        return f"renewed together with {counted[writer.function]}"
    return None
