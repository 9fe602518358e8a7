"""The declarations: what is read from pyproject.toml, and every fault in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.gate.checks import Check, find_config, nearest, read_checks

TABLE = "tool.mcpsmoke.readiness.checks"


def read(folder: Path, text: str) -> tuple[Check, ...]:
    path = folder / "pyproject.toml"
    path.write_text(text, "utf-8")
    declared = read_checks(path, "pyproject.toml")
    assert declared.root == folder
    return declared.checks


def test_all_keys_and_their_defaults(tmp_path: Path) -> None:
    text = f"""
        [{TABLE}.smoke]
        kind = "pytest"

        [{TABLE}."gate-way.2"]
        kind = "probe"
        args = ["http://127.0.0.1:1/mcp", "--expect", "CATALOG"]
        tier = "nd_real"
        optional = true
        timeout = 2.5
        artifacts = ["reports/*.html", "*.xml"]
    """
    args, artifacts = ("http://127.0.0.1:1/mcp", "--expect", "CATALOG"), ("reports/*.html", "*.xml")
    assert read(tmp_path, text) == (
        Check("smoke", "pytest", (), None, False, 600.0, ()),
        Check("gate-way.2", "probe", args, "nd_real", True, 2.5, artifacts),
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("knd = 'pytest'", "{}.a.knd: no such key; did you mean kind? "
         "(kind, args, tier, optional, timeout, artifacts)"),
        ("", "{}.a.kind: missing; choose from pytest, command, probe, clients"),
        ("kind = 'pytst'",
         "{}.a.kind: 'pytst' is none of pytest, command, probe, clients; did you mean pytest?"),
        ("kind = 3", "{}.a.kind: 3 is none of pytest, command, probe, clients"),
        ("kind = 'command'",
         "{}.a.args: missing; a command has its program first: args = [\"make\", \"lint\"]"),
        ("kind = 'pytest'\nargs = 'tests'",
         "{}.a.args: a list of texts is wanted, as in args = [\"one\", \"two\"]"),
        ("kind = 'pytest'\nargs = ['-n', 2]",
         "{}.a.args: a list of texts is wanted, as in args = [\"one\", \"two\"]"),
        ("kind = 'pytest'\ntier = 'smok'",
         "{}.a.tier: 'smok' is none of smoke, nd_real; did you mean smoke?"),
        ("kind = 'pytest'\noptional = 'yes'", "{}.a.optional: true or false is wanted"),
        ("kind = 'pytest'\ntimeout = 0", "{}.a.timeout: a number of seconds above 0 is wanted"),
        ("kind = 'pytest'\ntimeout = true", "{}.a.timeout: a number of seconds above 0 is wanted"),
        ("kind = 'pytest'\ntimeout = inf", "{}.a.timeout: a number of seconds above 0 is wanted"),
        ("kind = 'pytest'\nartifacts = ['../secret']",
         "{}.a.artifacts: '../secret' leaves the project; name files below it"),
        ("kind = 'pytest'\nartifacts = ['.']",
         "{}.a.artifacts: '.' leaves the project; name files below it"),
        ("kind = 'pytest'\nartifacts = ['a/**.xml']",
         "{}.a.artifacts: 'a/**.xml': ** stands alone between slashes, as in reports/**/*.xml"),
        ("kind = 'pytest'\nartifacts = ['/etc/passwd']",
         "{}.a.artifacts: '/etc/passwd' leaves the project; name files below it"),
    ],
)  # fmt: skip
def test_a_fault_in_a_check(tmp_path: Path, lines: str, problem: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        read(tmp_path, f"[{TABLE}.a]\n{lines}\n")
    assert str(caught.value) == f"pyproject.toml: {problem.format(TABLE)}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"no check is declared: add a table [{TABLE}.NAME]"),
        ("[tool.ruff]", f"no check is declared: add a table [{TABLE}.NAME]"),
        (f"[{TABLE}]", f"no check is declared: add a table [{TABLE}.NAME]"),
        ("[tool.mcpsmoke.readyness.checks.a]\nkind = 'pytest'",
         f"no check is declared: add a table [{TABLE}.NAME];"
         " did you mean readiness by tool.mcpsmoke.readyness?"),
        ("[tool.mcpsmoke.readiness]\nchecks = ['a']", f"{TABLE}: a table is wanted, not a list"),
        (f"[{TABLE}]\na = 'pytest'", f"{TABLE}.a: a table is wanted, not a text; write [{TABLE}.a]"),
        (f"[{TABLE}.'a/b']\nkind = 'pytest'",
         f"{TABLE}.a/b: a name is made of letters, digits, and . _ - after the first"),
        (f"[{TABLE}.a]\nkind = 'pytest'\n[{TABLE}.A]\nkind = 'pytest'",
         f"{TABLE}.A: too like a; call it something else"),
        ("[tool", "not TOML: Expected ']' at the end of a table declaration (at end of document)"),
    ],
)  # fmt: skip
def test_a_fault_in_the_file(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"pyproject.toml: {problem}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"^checks.toml: cannot be read: No such file or directory$"):
        read_checks(tmp_path / "checks.toml", "checks.toml")


def test_the_nearest_file_is_found_from_below(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_config(below) == tmp_path / "pyproject.toml"


def test_nearest_names_come_first() -> None:
    assert nearest("all_smoke_core", ["nd_real", "all_smokes_core", "smoke"]) == [
        *("all_smokes_core", "smoke", "nd_real")
    ]
