"""JSON, TOML and environment files with the lines of their keys."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_mcpsmoke.readiness.configurations.env_text import read_env
from pytest_mcpsmoke.readiness.configurations.json_text import read_json
from pytest_mcpsmoke.readiness.configurations.located import Located, Path, Unreadable, at, key_text, plain
from pytest_mcpsmoke.readiness.configurations.toml_text import read_toml

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)
GAPS = st.sampled_from(["", " ", "\n", "\r\n", "\n\n  ", "\t"])
LOOSE = st.sampled_from(["", " ", "\n", '// a "b": {\n', "/* , ] \n */", " \n// x\r\n"])


def lines_of(located: Located, path: Path = ()) -> dict[Path, int]:
    """The line of everything that stands in a value."""
    found = {path: located.line}
    if isinstance(located.value, dict):
        for name, item in located.value.items():
            found |= lines_of(item, (*path, name))
    elif isinstance(located.value, list):
        for index, item in enumerate(located.value):
            found |= lines_of(item, (*path, index))
    return found


def has_fault(text: str) -> bool:
    """Whether a text is refused, or read with a fault: a comment, a trailing comma."""
    try:
        return bool(read_json(text)[1])
    except Unreadable:
        return True


class Writer:
    """Writes JSON with gaps that are drawn, and keeps where it has put what."""

    def __init__(self, draw: Any, gaps: st.SearchStrategy[str], comma: str) -> None:
        self.text = ""
        self.lines: dict[Path, int] = {}
        self._draw = draw
        self._gaps = gaps
        self._comma = comma

    def gap(self) -> None:
        self.text += self._draw(self._gaps)

    def here(self) -> int:
        return self.text.count("\n") + 1

    def value(self, value: Any, path: Path = (), line: int | None = None) -> None:
        self.gap()
        self.lines[path] = self.here() if line is None else line
        if isinstance(value, dict):
            self._items("{}", value.items(), lambda item: self._pair(item, path))
        elif isinstance(value, list):
            items = enumerate(value)
            self._items("[]", items, lambda item: self.value(item[1], (*path, item[0])))
        else:
            self.text += json.dumps(value, ensure_ascii=self._draw(st.booleans()))
        self.gap()

    def _pair(self, item: tuple[str, Any], path: Path) -> None:
        self.gap()
        line = self.here()
        self.text += json.dumps(item[0])
        self.gap()
        self.text += ":"
        self.value(item[1], (*path, item[0]), line)

    def _items(self, brackets: str, items: Any, write: Any) -> None:
        items = list(items)
        self.text += brackets[0]
        for at_, item in enumerate(items):
            write(item)
            if at_ < len(items) - 1:
                self.text += ","
            elif self._comma:
                self.text += self._comma
        self.gap()
        self.text += brackets[1]


class TestJson:
    @given(JSON, st.data())
    def test_values_are_those_of_json_and_lines_are_right(self, value: Any, data: st.DataObject) -> None:
        writer = Writer(data.draw, GAPS, "")
        writer.value(value)
        root, faults = read_json(writer.text)
        assert plain(root) == json.loads(writer.text) == value
        assert repr(plain(root)) == repr(json.loads(writer.text)), "of the same types, too"
        assert lines_of(root) == writer.lines
        assert faults == []

    @given(JSON, st.data(), st.sampled_from(["", ","]))
    def test_with_comments_the_values_are_the_same(self, value: Any, data: st.DataObject, comma: str) -> None:
        writer = Writer(data.draw, LOOSE, comma)
        writer.value(value)
        root, faults = read_json(writer.text, is_relaxed=True)
        assert plain(root) == value
        assert lines_of(root) == writer.lines
        assert faults == []

    @given(st.text('{}[]",:0123.e-tfn\\ \n/*a', max_size=14))
    def test_what_json_refuses_is_refused(self, text: str) -> None:
        try:
            expected = json.loads(text)
        except ValueError:
            assert has_fault(text)
        else:
            assert plain(read_json(text)[0]) == expected

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("", (1, "", "no JSON: a value is missing (end of the text)")),
            ('{"a": 1\n "b": 2}', (2, "a", "no JSON: a comma or } is missing (column 2)")),
            ('{"a": {\n"b": nope}}', (2, "a.b", "no JSON: a value is missing (column 6)")),
            ('{"a": [1,\n2', (2, "a[1]", "no JSON: ] is missing (end of the text)")),
            ('{"a" 1}', (1, "", 'no JSON: no : after the key "a" (column 6)')),
            ("{a: 1}", (1, "", "no JSON: a key in double quotes is missing (column 2)")),
            ('{"a":\n"b', (2, "a", "no JSON: unterminated string starting (column 1)")),
            ("1\n2", (2, "", "no JSON: something follows the end of the JSON (column 1)")),
            ("NaN", (1, "", "no JSON: NaN is no JSON (column 1)")),
            ("/* a", (1, "", "no JSON: a comment is not closed (column 1)")),
        ],
    )
    def test_refusals_name_line_and_key(self, text: str, fault: tuple[int, str, str]) -> None:
        with pytest.raises(Unreadable) as caught:
            read_json(text)
        assert caught.value.fault[:3] == fault

    def test_what_is_too_deep_is_refused(self) -> None:
        with pytest.raises(Unreadable, match="nested deeper than 200 levels"):
            read_json("[" * 100_000)

    def test_faults_that_can_be_read_over(self) -> None:
        root, faults = read_json(
            '{ // one\n "a": 1,\n // two\n "b": {"c": 1, "c": 2},\n "a": 3,\n}', first_line=5
        )
        assert plain(root) == {"a": 3, "b": {"c": 2}}
        assert [fault[:3] for fault in faults] == [
            (5, "", "a comment (column 3)"),
            (8, "b.c", "stands twice; line 8 is lost"),
            (9, "a", "stands twice; line 6 is lost"),
            (9, "", "a trailing comma (column 8)"),
        ]


KEYS = st.text("abc_-1 .é\"'", min_size=1, max_size=4) | st.sampled_from(["a", "b"])
TOML_SCALARS = (
    st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
)
TOML = st.recursive(
    TOML_SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


class TomlWriter:
    """Writes TOML in ways that are drawn, and keeps where it has put what."""

    def __init__(self, draw: Any) -> None:
        self.text = ""
        self.lines: dict[Path, int] = {}
        self._draw = draw

    def here(self) -> int:
        return self.text.count("\n") + 1

    def table(self, table: dict[str, Any], path: Path) -> None:
        """A table's own values, and then the tables in it under headers of their own."""
        later = {}
        for name, value in table.items():
            is_list = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
            if (isinstance(value, dict) or is_list) and self._draw(st.booleans()):
                later[name] = value
                continue
            self.lines[(*path, name)] = self.here()
            self.text += f"{self.key(name)} = "
            self.value(value, (*path, name))
            self.text += self._draw(st.sampled_from(["\n", " # [x]\n", "\n\n# y = 1\n"]))
        for name, value in later.items():
            inner = (*path, name)
            self.lines[inner] = self.here()
            for index, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
                where = inner if index is None else (*inner, index)
                self.lines[where] = self.here()
                header = ".".join(self.key(step) for step in inner if isinstance(step, str))
                self.text += f"[{header}]\n" if index is None else f"[[ {header} ]]\n"
                self.table(item, where)

    def value(self, value: Any, path: Path) -> None:
        if isinstance(value, bool):
            self.text += str(value).lower()
        elif isinstance(value, str):
            self.string(value)
        elif isinstance(value, list):
            self.text += "["
            for index, item in enumerate(value):
                self.text += self._draw(st.sampled_from(["", "\n", " # ] '\n"]))
                self.lines[(*path, index)] = self.here()
                self.value(item, (*path, index))
                self.text += ","
            self.text += "]"
        elif isinstance(value, dict):
            self.text += "{"
            for index, (name, item) in enumerate(value.items()):
                self.text += ", " if index else ""
                self.lines[(*path, name)] = self.here()
                self.text += f"{self.key(name)}="
                self.value(item, (*path, name))
            self.text += "}"
        else:
            self.text += str(value)

    def string(self, value: str) -> None:
        if "'''" not in value and not value.startswith("\n") and not value.endswith("'") and is_plain(value):
            self.text += self._draw(st.sampled_from([f"'''{value}'''", basic(value)]))
        else:
            self.text += basic(value)

    def key(self, name: str) -> str:
        is_bare = name.isascii() and name.replace("_", "a").replace("-", "a").isalnum()
        return name if is_bare and self._draw(st.booleans()) else json.dumps(name)


def basic(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def is_plain(value: str) -> bool:
    return all(character >= " " or character in "\n\t" for character in value) and "\x7f" not in value


class TestToml:
    @given(st.dictionaries(KEYS, TOML, max_size=4), st.data())
    def test_values_are_those_of_tomllib_and_lines_are_right(
        self, value: dict[str, Any], data: st.DataObject
    ) -> None:
        writer = TomlWriter(data.draw)
        writer.table(value, ())
        root = read_toml(writer.text)
        assert plain(root) == tomllib.loads(writer.text)
        assert lines_of(root) == {(): 1} | writer.lines

    def test_lines_of_all_that_toml_knows(self) -> None:
        text = (
            'top = 1 # "\n'
            "a.b . 'c d' = 1979-05-27 07:32:00\n"
            "[[list.of]]\n"
            'x = """\n'
            '["no"]\n'
            '\\"""""\n'
            "y = '''\n'''''\n"
            "[[list.of]]\n"
            "[list.of.under]\n"
            "z = [ { q = 1 },\n"
            " { q = [\n"
            "2] } ]\r\n"
            "[list]\n"
            "after = 'x'\n"
        )
        lines = {key_text(path): line for path, line in lines_of(read_toml(text)).items() if path}
        assert plain(read_toml(text)) == tomllib.loads(text)
        assert lines == {
            **{"top": 1, "a": 2, "a.b": 2, 'a.b."c d"': 2, "list": 14, "list.of": 3, "list.of[0]": 3},
            **{"list.of[0].x": 4, "list.of[0].y": 7, "list.of[1]": 9, "list.of[1].under": 10},
            **{"list.of[1].under.z": 11, "list.of[1].under.z[0]": 11, "list.of[1].under.z[0].q": 11},
            **{"list.of[1].under.z[1]": 12, "list.of[1].under.z[1].q": 12, "list.of[1].under.z[1].q[0]": 13},
            "list.after": 15,
        }

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("a = 1\nb =\n", (2, "", "no TOML: invalid value (column 4)")),
            ("a = 1\n[b\n", (2, "", "no TOML: expected ']' at the end of a table declaration (column 3)")),
            ('a = """x\n', (1, "", "no TOML: unterminated string (end of the text)")),
        ],
    )
    def test_refusals_name_the_line(self, text: str, fault: tuple[int, str, str]) -> None:
        with pytest.raises(Unreadable) as caught:
            read_toml(text)
        assert caught.value.fault[:3] == fault


class TestEnvironment:
    def test_all_ways_to_write_a_value(self) -> None:
        text = (
            "# A comment\n"
            "PLAIN=a b # not this\n"
            "export EXPORTED = x#y\n"
            "\n"
            "SINGLE='a\n"
            ' "${PLAIN}"\' # not this\n'
            'DOUBLE="a\\n\\"${PLAIN}\\" $b" \n'
            "EMPTY=\n"
            "DEFAULT=${NOT_SET:-d}${GIVEN}\n"
            "LAST=${DEFAULT}"
        )
        found, faults = read_env(text, {"GIVEN": "g", "PLAIN": "outer"})
        assert {name: tuple(reversed(item)) for name, item in found.items()} == {
            "PLAIN": (2, "a b"),
            "EXPORTED": (3, "x#y"),
            "SINGLE": (5, 'a\n "${PLAIN}"'),
            "DOUBLE": (7, 'a\n"a b" $b'),
            "EMPTY": (8, ""),
            "DEFAULT": (9, "dg"),
            "LAST": (10, "dg"),
        }
        assert faults == []

    def test_faults(self) -> None:
        found, faults = read_env("A=1\nnonsense\nA=${UNSET}\nB='x\n", {})
        assert plain(found["A"]) == ""
        assert [fault[:3] for fault in faults] == [
            (2, "", "no assignment"),
            (3, "A", "${UNSET} is not set"),
            (3, "A", "stands twice; line 1 is lost"),
            (4, "B", "the quote ' is not closed"),
        ]

    @given(
        st.dictionaries(
            st.text("ABC_", min_size=1, max_size=3), st.text("a$ '\"\n#=\\", max_size=6), max_size=4
        )
    )
    def test_what_is_quoted_comes_back(self, variables: dict[str, str]) -> None:
        text = ""
        lines = {}
        for name, value in variables.items():
            lines[name] = text.count("\n") + 1
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            text += f'{name}="{escaped}"\n' if "'" in value else f"{name}='{value}'\n"
        found, faults = read_env(text, {})
        assert {name: item.value for name, item in found.items()} == variables
        assert {name: item.line for name, item in found.items()} == lines
        assert faults == []


def test_at_finds_what_stands_at_a_path() -> None:
    root, _ = read_json('{"a": {"b": 1}}')
    assert at(root, ("a", "b")) == Located(1, 1)
    assert at(root, ("a", "c")) is None
    assert at(root, ("a", "b", "c")) is None
