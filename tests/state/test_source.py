"""What the source of a file stores, by name."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from pytest_mcpsmoke.state.source import index_of, mentions, source_of

SOURCE = """
    import json as codec
    from os import path, sep
    NAME = 1

    @decorated
    def write(app):
        global NAME, later
        NAME += 1
        local = 2
        app.route = None
        vars(app)["item"] = 1
        del app.gone
        setattr(app, "named", 1)
        patch("shop.app.patched")
        patch.multiple("shop.app", several=1)
        setattr(app, "not a name", 1)
        import late as later
        import unseen

        def inner():
            return app.read, "text"

    class Config:
        mode = "x"

        def set(self):
            self.mode = "y"
    """


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "source.py"
    file.write_text(textwrap.dedent(SOURCE).lstrip("\n"), encoding="utf-8")
    return str(file)


def test_each_store_is_found_with_its_form_and_scope(path: str) -> None:
    stores = index_of(path).stores
    found = {name: [(store.line, store.form, store.scope.name) for store in stores[name]] for name in stores}
    assert found == {
        "codec": [(1, "name", "<module>")],
        "path": [(2, "name", "<module>")],
        "sep": [(2, "name", "<module>")],
        "NAME": [(3, "name", "<module>"), (8, "name", "write")],
        "write": [(6, "name", "<module>")],
        "route": [(10, "attribute", "write")],
        "item": [(11, "attribute", "write")],
        "gone": [(12, "attribute", "write")],
        "named": [(13, "mention", "write")],
        "patched": [(14, "mention", "write")],
        "app": [(15, "mention", "write")],
        "several": [(15, "mention", "write")],
        "later": [(17, "name", "write")],
        "Config": [(23, "name", "<module>")],
        "mode": [(24, "name", "Config"), (27, "attribute", "Config.set")],
        "set": [(26, "name", "Config")],
    }
    assert [store.on_self for store in stores["mode"]] == [False, True]


def test_a_scope_knows_its_lines_what_it_reads_and_whom_it_calls(path: str) -> None:
    scopes = {scope.name: scope for scope in index_of(path).scopes}
    assert [*scopes] == ["<module>", "write", "write.inner", "Config", "Config.set"]
    assert (scopes["write"].first, scopes["write"].last) == (5, 21)
    assert {"NAME", "app", "setattr"} <= scopes["write"].reads
    assert "local" not in scopes["write"].reads
    assert scopes["write.inner"].reads == {"app", "read", "text"}
    assert scopes["write"].calls["setattr"] == 16


@pytest.mark.parametrize(
    ("line", "scope"), [(3, "<module>"), (5, "write"), (10, "write"), (21, "write.inner"), (27, "Config.set")]
)
def test_a_line_lies_in_the_innermost_scope(path: str, line: int, scope: str) -> None:
    found = index_of(path).scope_at(line)
    assert found is not None
    assert found.name == scope


def test_a_line_beyond_the_file_lies_nowhere(path: str) -> None:
    assert index_of(path).scope_at(1000) is None


def test_the_statement_at_a_line_is_the_one_that_stores_the_name(path: str) -> None:
    statement = index_of(path).statement_at(10, "route")
    assert statement is not None
    assert statement.lineno == 10
    assert index_of(path).statement_at(10, "other") is None
    assert index_of(path).statement_at(11, "route") is None


def test_a_file_that_cannot_be_read_or_parsed_stores_nothing(tmp_path: Path) -> None:
    crooked = tmp_path / "crooked.py"
    crooked.write_text("def (:\n", encoding="utf-8")
    binary = tmp_path / "binary.py"
    binary.write_bytes(b"x = 1\x00")
    deep = tmp_path / "deep.py"
    deep.write_text("x = " + "(" * 5000 + ")" * 5000, encoding="utf-8")
    for path in (crooked, binary, deep, tmp_path / "missing.py", tmp_path):
        assert dict(index_of(str(path)).stores) == {}
    assert source_of(str(tmp_path / "missing.py")) == ""


def test_mentions_asks_the_text_only(path: str) -> None:
    assert mentions(path, "route")
    assert not mentions(path, "nowhere")
    assert not mentions(path + ".missing", "route")


def test_a_statement_that_holds_others_is_not_kept(path: str) -> None:
    stores = index_of(path).stores
    kinds = {type(store.statement).__name__ for found in stores.values() for store in found}
    assert "Assign" in kinds
    assert kinds.isdisjoint({"FunctionDef", "ClassDef", "If", "For", "With", "Try"})
