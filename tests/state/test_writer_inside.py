"""Which statement is named for a change inside an object, or around the program."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest
from stage import Stage, site_text, whole_file
from test_policy_objects import observer_of, owner_of

from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.probes.base import Probe
from pytest_mcpsmoke.state.probes.process import Environ, Umask, WorkingDirectory
from pytest_mcpsmoke.state.source import index_of
from pytest_mcpsmoke.state.writer import (
    Files,
    Site,
    Span,
    Writer,
    calls_in,
    searched_around,
    searched_inside,
    span_of_code,
)

PROGRAM = {
    "shop/__init__.py": "",
    "shop/registry.py": """
        import collections
        import itertools
        import queue

        PLUGINS = []
        TREE = {"a": {"b": 0, "c-d": []}, 1: {"b": 0}}
        IDS = itertools.count()
        X = {"k": 1, "l": 2}
        JOBS = queue.SimpleQueue()
        SEEN = set()
        LAST = collections.deque()
        COUNTS = collections.Counter()
        ROWS = [[1], [2]]
        LOG = []

        class Client:
            def __init__(self):
                self.headers = {}
                self.name = "shop"

            def rename(self, name):
                self.name = name

            def put_header(self, name, value):
                self.headers[name] = value

        CLIENT = Client()

        class Meta(type):
            known = {}

            def __init__(cls, name, bases, contents):
                Meta.known[name] = cls

        class Base:
            plugins = []

            def __init_subclass__(cls):
                Base.plugins.append(cls)

        def note(text):
            LOG.append(text)

        def note_twice(text):
            note(text)
        """,
}
HEAD = """
    import os
    from unittest import mock
    import shop.registry as R

    """

SITES = [
    # the place itself
    ("R.PLUGINS.append(1)", "test"),
    ("R.PLUGINS += [1]", "test"),
    ("R.PLUGINS[:] = [1]", "test"),
    ('R.TREE["a"]["b"] = 1', "test"),
    ('R.TREE[1]["b"] = 1', "test"),
    ('R.TREE["a"]["c-d"].append(1)', "test"),
    ('R.TREE["a"]["new-key"] = 1', "test"),
    ('R.TREE["a"].update(b=1)', "test"),
    ('R.X["k"] += 1', "test"),
    ('del R.X["k"]', "test"),
    ('R.X.pop("k")', "test"),
    ("R.X.clear()", "test"),
    ("R.SEEN.add(1)", "test"),
    ("R.SEEN |= {1}", "test"),
    ("R.LAST.appendleft(1)", "test"),
    ('R.COUNTS["a"] += 1', "test"),
    ("R.JOBS.put(1)", "test"),
    ("R.ROWS[0].append(1)", "test"),
    ('R.CLIENT.name = "other"', "test"),
    ("del R.CLIENT.name", "test"),
    ('setattr(R.CLIENT, "name", "other")', "test"),
    ('vars(R.CLIENT)["name"] = "other"', "test"),
    ('R.CLIENT.headers["a"] = 1', "test"),
    ('R.CLIENT.headers.setdefault("a", 1)', "test"),
    # it is handed over, or something on the way to it is called
    ("next(R.IDS)", "unknown"),
    ("list.append(R.PLUGINS, 1)", "unknown"),
    # a function of the program did it
    ('R.note("a")', "program"),
    ('R.CLIENT.rename("other")', "program"),
    ('R.CLIENT.put_header("a", "b")', "program"),
    ("class Registered(metaclass=R.Meta): ...", "program"),
    ("class Derived(R.Base): ...", "program"),
]


def sites(stage: Stage, engine: str, body: str) -> dict[str, tuple[str, str]]:
    """Who wrote, and the line that is named, by place; what pytest and namespaces hold is left out."""
    text = textwrap.dedent(HEAD) + "def test():\n    before = 1\n" + textwrap.indent(body, "    ")
    module = stage.load(text + "\n    return before\n", program=PROGRAM)
    observer, owner = observer_of(stage, engine), owner_of(module.test)
    observer.start()
    try:
        observer.switch(owner)
        module.test()
        left = observer.end(owner)
    finally:
        observer.stop()
    return {
        change.place: (change.writer.by, site_text(change.writer.site))
        for change, _, _ in left
        if change.holder.probe == "containers"
    }


@pytest.mark.parametrize(("line", "by"), SITES, ids=[line for line, _ in SITES])
def test_the_statement_that_changed_an_object_is_named(line: str, by: str, engine: str, stage: Stage) -> None:
    found = sites(stage, engine, line)
    assert found
    assert set(found.values()) == {(by, f"checks.py: {line}")}


def test_the_last_of_several_statements_is_named(engine: str, stage: Stage) -> None:
    found = sites(stage, engine, "R.PLUGINS.append(1)\nR.PLUGINS.append(2)\nR.LOG.append(1)")
    assert found["shop.registry.PLUGINS"] == ("test", "checks.py: R.PLUGINS.append(2)")


def test_a_statement_about_something_else_is_not_named(engine: str, stage: Stage) -> None:
    found = sites(stage, engine, 'R.X["k"] = 5\nR.TREE["a"]["b"] = 1\nlen(R.X)')
    assert found["shop.registry.X['k']"] == ("test", 'checks.py: R.X["k"] = 5')
    assert found["shop.registry.TREE['a']['b']"] == ("test", 'checks.py: R.TREE["a"]["b"] = 1')


def test_the_program_is_named_where_the_test_names_nothing(engine: str, stage: Stage) -> None:
    assert sites(stage, engine, 'R.note_twice("a")') == {
        "shop.registry.LOG": ("program", "registry.py: LOG.append(text)")
    }


def test_the_key_alone_does_not_make_a_writer(engine: str, stage: Stage) -> None:
    """Another dict of the test has the same key."""
    found = sites(stage, engine, 'own = {}\nR.CLIENT.rename("other")\nown["headers"] = 1')
    assert found == {"shop.registry.CLIENT.name": ("program", 'checks.py: R.CLIENT.rename("other")')}


# the parts by themselves


def test_nothing_is_known_where_nothing_is_mentioned(tmp_path: Path) -> None:
    owner, files = owner_in(tmp_path, "def test():\n    pass\n")
    unknown = Writer("unknown", Site(str(tmp_path / "test_a.py"), 1, "test", "searched"))
    assert searched_inside(files, ["PLUGINS"], ["no_such_module"], owner) == unknown
    assert searched_inside(files, [], [], owner) == unknown
    assert searched_around(files, ("chdir",), "", owner) == unknown
    assert searched_inside(files, ["PLUGINS"], [], Owner("a", "test")) == Writer("unknown", None)


def owner_in(folder: Path, text: str, function: str = "test", kind: str = "test") -> tuple[Owner, Files]:
    """An owner whose code is one function of a file, or all of it, and that file as test code."""
    path = folder / "test_a.py"
    path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    files = Files()
    files.tests.add(str(path))
    if kind == "module":
        return Owner("test_a.py", "module", find_spans=whole_file(path)), files
    scopes = {scope.name: scope for scope in index_of(str(path)).scopes}
    span = Span(str(path), scopes[function].first, scopes[function].last, function)
    return Owner("a", "test", find_spans=lambda: (span,)), files


TWO = """
    import os
    import shop

    shop.PLUGINS.append(0)

    def test():
        shop.PLUGINS.append(1)
        os.chdir("/")
        with shop.inside(os.getcwd()):
            os.umask(0)

    def other():
        shop.PLUGINS.append(2)
        os.chdir("/tmp")
    """


@pytest.mark.parametrize(
    ("function", "kind", "line"), [("test", "test", 7), ("other", "test", 13), ("", "module", 4)]
)
def test_only_what_ran_in_an_owner_s_time_may_have_written(
    function: str, kind: str, line: int, tmp_path: Path
) -> None:
    owner, files = owner_in(tmp_path, TWO, function, kind)
    writer = searched_inside(files, ["PLUGINS"], [], owner)
    assert writer.site is not None
    assert (writer.by, writer.site.line) == ("test", line)


@pytest.mark.parametrize(
    ("words", "line"), [(("chdir",), 8), (("umask",), 10), (("chdir", "umask"), 10), (("getcwd",), 9)]
)
def test_the_last_statement_with_a_word_is_named_for_ambient_state(
    words: tuple[str, ...], line: int, tmp_path: Path
) -> None:
    owner, files = owner_in(tmp_path, TWO)
    site = Site(str(tmp_path / "test_a.py"), line, "test", "searched")
    assert searched_around(files, words, "", owner) == Writer("test", site)


AMBIENT: list[tuple[Probe, str, str]] = [
    (WorkingDirectory(), 'os.chdir("/")', 'os.chdir("/")'),
    (Umask(), "os.umask(0o027)", "os.umask(0o027)"),
    (Environ(), 'os.environ["SHOP_X"] = "1"', 'os.environ["SHOP_X"] = "1"'),
    (Environ(), 'os.environ.update(SHOP_X="1")', 'os.environ.update(SHOP_X="1")'),
    (Environ(), 'os.environ |= {"SHOP_X": "1"}', 'os.environ |= {"SHOP_X": "1"}'),
]


@pytest.mark.parametrize(("probe", "line", "named"), AMBIENT, ids=[case[1] for case in AMBIENT])
def test_the_statement_that_changed_ambient_state_is_named(
    probe: Probe, line: str, named: str, engine: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage.folder)
    monkeypatch.setenv("SHOP_X", "0")
    before = os.umask(0o022)
    text = textwrap.dedent(HEAD) + f"def test():\n    before = 1\n    {line}\n    return before\n"
    module = stage.load(text, program=PROGRAM)
    observer, owner = observer_of(stage, engine, [probe]), owner_of(module.test)
    observer.start()
    try:
        observer.switch(owner)
        module.test()
        left = [change for change, _, _ in observer.end(owner) if change.holder is probe]
        assert [(change.writer.by, site_text(change.writer.site)) for change in left] == [
            ("test", f"checks.py: {named}")
        ]
    finally:
        observer.stop()
        os.umask(before)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("def test():\n    patch.delitem(x, 1)\n", {"delitem"}, True),
        ("def test():\n    delitem(x, 1)\n", {"delitem"}, True),
        ("def test():\n    x.delitem\n", {"delitem"}, False),
        ("def test():\n    x.setenv(1)\n", {"delitem", "setenv"}, True),
        ("def test():\n    pass\n\ndef other():\n    x.delitem(1)\n", {"delitem"}, False),
        ("def test():\n    def inner():\n        x.delitem(1)\n", {"delitem"}, True),
        ("def test():\n    x.delitem(1)\n\nx.delitem(1)\n", {"delitem"}, True),
        ("@x.delitem(1)\ndef test():\n    pass\n", {"delitem"}, True),
        ("x.delitem(1)\ndef test():\n    pass\n\nx.delitem(1)\n", {"delitem"}, False),
    ],
)
def test_whether_an_owner_calls_something(text: str, names: set[str], expected: bool, tmp_path: Path) -> None:
    assert calls_in(owner_in(tmp_path, text)[0], names) is expected


def test_a_decorator_s_call_is_not_lost_where_a_later_test_has_the_same_one(tmp_path: Path) -> None:
    """Calls of one name at module level are kept apart."""
    text = "@x.delitem(1)\ndef test():\n    pass\n\n@x.delitem(1)\ndef other():\n    pass\n"
    assert calls_in(owner_in(tmp_path, text)[0], {"delitem"})


def test_a_line_of_another_file_does_not_count(tmp_path: Path) -> None:
    owner, _ = owner_in(tmp_path, "def test():\n    pass\n")
    other = tmp_path / "test_b.py"
    other.write_text("def test_b():\n    x.delitem(1)\n", encoding="utf-8")
    assert index_of(str(other)).scopes[1].calls == {"delitem": 2}
    assert not calls_in(owner, {"delitem"})


# what the index of a source knows


def touches(tmp_path: Path, text: str) -> dict[str, list[tuple[int, str, bool]]]:
    """The touches of a function's body by name: line in the body, how, and whether it is the innermost."""
    path = tmp_path / "touches.py"
    body = textwrap.indent(textwrap.dedent(text).strip(), "    ")
    path.write_text(f"def function(given):\n{body}\n", encoding="utf-8")
    found = index_of(str(path)).touches
    return {name: [(one.line - 1, one.how, one.is_innermost) for one in found[name]] for name in found}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("R.X[1] = 2", {"X": ("stores", True), "R": ("stores", False)}),
        ("del R.X[1]", {"X": ("stores", True), "R": ("stores", False)}),
        ("R.X[1] += 2", {"X": ("stores", True), "R": ("stores", False)}),
        (
            'R.X["a"]["b"] = 2',
            {"a": ("stores", True), "X": ("stores", False), "R": ("stores", False)},
        ),
        ('R.X["a-b"][1] = 2', {"X": ("stores", True), "R": ("stores", False)}),
        ("R.X[0][1] = 2", {"X": ("stores", True), "R": ("stores", False)}),
        ("R.X.append(1)", {"X": ("mutates", True), "R": ("mutates", False)}),
        ("R.X.render()", {"X": ("calls", True), "R": ("calls", False)}),
        ("R.get().append(1)", {"get": ("mutates", True), "R": ("mutates", False)}),
        ("f(R.X)", {"X": ("passes", True), "R": ("passes", False)}),
        ("f(key=R.X)", {"X": ("passes", True), "R": ("passes", False)}),
        ("R.X = 1", {}),
        ("print(1)", {}),
    ],
)
def test_what_a_statement_touches(text: str, expected: dict[str, tuple[str, bool]], tmp_path: Path) -> None:
    found = {name: each[0][1:] for name, each in touches(tmp_path, text).items()}
    assert {name: found.get(name) for name in expected} == expected
    assert found.keys() <= expected.keys() | {"R"}


@pytest.mark.parametrize(
    ("text", "given"),
    [("X[1] = given", True), ("X[1] = given + 1", False), ("X[1] = other", False), ("X[given] = 1", False)],
)
def test_whether_what_is_stored_was_given(text: str, given: bool, tmp_path: Path) -> None:
    touches(tmp_path, text)
    (touch,) = index_of(str(tmp_path / "touches.py")).touches["X"]
    assert touch.is_given is given


@pytest.mark.parametrize("signature", ["given", "given, /", "*, given", "*given", "**given"])
def test_every_kind_of_parameter_is_given(signature: str, tmp_path: Path) -> None:
    path = tmp_path / "signature.py"
    path.write_text(f"def function({signature}):\n    X[1] = given\n", encoding="utf-8")
    (touch,) = index_of(str(path)).touches["X"]
    assert touch.is_given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("return X[1]", {"X"}),
        ("return R.X[1]", {"X"}),
        ("return R.X.get(1)", {"X"}),
        ("return R.X.setdefault(1, 2)", {"X"}),
        ("return 1 in R.X", {"X"}),
        ("return 1 not in X", {"X"}),
        ("X[1] = 2", set()),
        ("return X == Y", set()),
        ("return R.X.render()", set()),
        ("return 1 in X and 2 in Y", {"X", "Y"}),
        ("return 1 in X in Y", {"X", "Y"}),
    ],
)
def test_what_a_function_looks_into(text: str, expected: set[str], tmp_path: Path) -> None:
    touches(tmp_path, text)
    assert index_of(str(tmp_path / "touches.py")).scopes[1].lookups == expected


def test_the_span_of_the_test_is_the_one_of_its_code(stage: Stage) -> None:
    module = stage.load("def test():\n    pass\n")
    assert owner_of(module.test).spans == (span_of_code(module.test.__code__),)
