"""Reads the examples of docs/ out of the Markdown, and runs them as a reader would.

The convention, for whoever writes a page:

- A code block with a `:caption:` is a file of that name, written when the story comes to it; a later block of
  the same name replaces it.
- A `console` block holds commands (`$ pytest …`, `$ python …`, `$ cat …`) and what each prints. A line `...`
  stands for any lines, but never inside a `state leaks` section. Blank lines, durations and the width of
  rulers do not count. `$ echo $?` shows the exit status of the command before it.
- A page is one story in one folder; the comment `<!-- fresh folder -->` begins another.
- A command with nothing below it may print anything: its exit status is what the page is about.
- A `literalinclude` with `:pyobject:` quotes one function out of examples/, whose tests run it there.
- A `text` block is prose, not an example.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FRESH = "<!-- fresh folder -->"
# Fences that hold no example of their own; what a literalinclude quotes is run where it stands.
DIRECTIVES = frozenset({"toctree", "note", "warning", "important", "literalinclude"})

_OPENING = re.compile(r"^(`{3,})(?:\{(?P<directive>[\w-]+)\})?\s*(?P<argument>\S*)")
_SECTION = "== state leaks =="


@dataclass(frozen=True)
class Block:
    """A fenced block: its language ("" for a directive that holds none), caption, text and first line."""

    directive: str
    language: str
    caption: str | None
    lines: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class File:
    """A file that the story writes."""

    name: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command that the story runs, what it prints, and its exit status where that is shown."""

    text: str
    expected: tuple[str, ...]
    status: int | None
    line: int


@dataclass(frozen=True)
class Story:
    """Steps that follow one another in one folder."""

    page: Path
    steps: list[File | Command] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the test is called: the page, and the line where the story begins."""
        return f"{self.page.relative_to(DOCS)}:{self.steps[0].line}"


def pages() -> list[Path]:
    """Every page of the documentation."""
    return sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a Markdown text."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        opening = _OPENING.match(line)
        if opening is None:
            continue
        inside = []
        for _, following in lines:
            if following.strip() == opening[1]:
                break
            inside.append(following)
        else:
            raise ValueError(f"line {number}: the block is not closed")
        directive = opening["directive"] or ""
        options = {}
        while directive and inside and (option := re.match(r":([\w-]+):\s*(.*)", inside[0])):
            options[option[1]] = option[2]
            del inside[0]
        yield Block(directive, opening["argument"], options.get("caption"), tuple(inside), number)


def stories(page: Path) -> Iterator[Story]:
    """Yield the stories of one page."""
    for part in _parts(page.read_text("utf-8")):
        story = Story(page)
        for block in blocks(part):
            if block.directive in DIRECTIVES:
                continue
            if block.caption is not None:
                text = "\n".join(block.lines).strip("\n") + "\n"
                story.steps.append(File(block.caption, text, block.line))
            elif block.language == "console":
                story.steps.extend(_commands(block))
        if story.steps:
            yield story


def _parts(text: str) -> Iterator[str]:
    """Split a page where a fresh folder begins, keeping line numbers."""
    before = 0
    for part in text.split(FRESH):
        yield "\n" * before + part
        before += part.count("\n")


def _commands(block: Block) -> Iterator[Command]:
    groups: list[tuple[int, str, list[str]]] = []
    for number, line in enumerate(block.lines, block.line + 1):
        if line.startswith("$ "):
            groups.append((number, line[2:], []))
        elif groups:
            groups[-1][2].append(line)
        elif line.strip():
            raise ValueError(f"line {number}: output without a command")
    for at, (number, text, output) in enumerate(groups):
        if text == "echo $?":
            continue
        follower = groups[at + 1] if at + 1 < len(groups) else None
        asked = follower is not None and follower[1] == "echo $?"
        status = int(follower[2][0]) if asked and follower is not None else None
        yield Command(text, tuple(output), status, number)


def environment(addopts: str) -> dict[str, str]:
    """The environment of a reader who has installed nothing but this plugin (and what addopts load)."""
    dropped = ("PYTEST_", "COV_", "TOX_", "GITHUB_", "READINESS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    for name in ("CI", "BUILD_NUMBER", "ND_REAL", "STRICT_READY", "PYTHONDEVMODE", "FORCE_COLOR"):
        kept.pop(name, None)
    return kept | {
        "COLUMNS": "80",
        "PY_COLORS": "0",
        "NO_COLOR": "1",
        "PYTHON_COLORS": "0",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUNBUFFERED": "1",  # both streams in the order of a terminal
        # other people's installed plugins neither slow these runs down nor speak in their output
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": addopts,
    }


def run(text: str, folder: Path) -> tuple[str, int]:
    """Run one command of a story; return what it printed and its exit status."""
    words = shlex.split(text)
    if words[0] == "cat":
        return (folder / words[1]).read_text("utf-8"), 0
    env = environment("-p mcpsmoke" + (" -p xdist" if "-n" in words else ""))
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        env[name] = value
    # not installed: such a page says that it is about a checkout
    if any(_is_about_a_checkout(word, folder / word) for word in words):
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [env.get("PYTHONPATH"), str(ROOT)]))
    here = Path(sys.executable).parent
    program = {
        "pytest": [str(here / "pytest")],
        "python": [sys.executable],
        "mcpsmoke": [str(here / "mcpsmoke")],
    }
    done = subprocess.run(
        program[words[0]] + words[1:],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    return done.stdout, done.returncode


def _is_about_a_checkout(word: str, script: Path) -> bool:
    if script.suffix == ".py" and script.is_file():
        return "from reference_app" in script.read_text("utf-8")
    return word.startswith(("reference_app", "benchmarks.", "conformance"))


def play(story: Story, folder: Path) -> None:
    """Write the files and run the commands of a story; raises AssertionError where the page is wrong."""
    for step in story.steps:
        if isinstance(step, File):
            path = folder / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, "utf-8")
            continue
        printed, status = run(step.text, folder)
        where = f"{story.page.relative_to(ROOT)}, line {step.line}: $ {step.text}"
        problem = mismatch(step, printed)
        assert problem is None, f"{where}\n{problem}\n--- printed ---\n{printed}"
        if step.status is not None:
            assert status == step.status, f"{where}\nexit status {status}\n--- printed ---\n{printed}"


def mismatch(command: Command, printed: str) -> str | None:
    """Say what differs between what the page shows and what the command printed; None when nothing does."""
    forced = "--leaks-engine" in command.text or "engine=" in command.text
    expected = normal(command.expected, forced)
    actual = normal(printed.splitlines(), forced)
    if not expected:
        return None
    section = False
    for line in expected:
        section = (section or line == _SECTION) and not re.match(r"\d+ leaks? left by", line)
        if section and line == "...":
            return "a `state leaks` section is shown whole"
    if _SECTION in actual and _SECTION not in expected:
        return "the page leaves the `state leaks` section out"
    return _first_difference(expected, actual)


def _first_difference(expected: list[str], actual: list[str]) -> str | None:
    """Match lines, `...` standing for any number of them."""
    chunks: list[list[str]] = [[]]
    for line in expected:
        if line == "...":
            chunks.append([])
        else:
            chunks[-1].append(line)
    at = 0
    for index, chunk in enumerate(chunks):
        last = index == len(chunks) - 1
        starts = [len(actual) - len(chunk)] if last else list(range(at, len(actual) - len(chunk) + 1))
        starts = [at] if index == 0 else starts
        fits = (start for start in starts if start >= at and actual[start : start + len(chunk)] == chunk)
        start = next(fits, None)
        if start is None or (last and start + len(chunk) != len(actual)):
            return "not printed like this:\n  " + "\n  ".join(chunk)
        at = start + len(chunk)
    return None


def normal(lines: list[str] | tuple[str, ...], is_engine_forced: bool = False) -> list[str]:
    """Take out of printed lines what may differ from run to run, and from engine to engine unless forced."""
    told = [line.rstrip() for line in lines if line.strip() and line.strip() != "bringing up nodes..."]
    if not is_engine_forced:
        told = _without_watching(told)
    return [_normal_line(line, is_engine_forced) for line in told]


def _without_watching(lines: list[str]) -> list[str]:
    """Take out the run of `mcpsmoke culprit` that watches for a line which some engines have seen already."""
    kept = [line for line in lines if not re.match(r"  \d+  watched ", line)]
    watched = len(lines) - len(kept)
    return [re.sub(r"^\d+(?= pytest runs, )", lambda runs: str(int(runs[0]) - watched), one) for one in kept]


def _normal_line(line: str, is_engine_forced: bool) -> str:
    if line.startswith("{"):
        return _normal_record(line, is_engine_forced)
    ruler = re.fullmatch(r"([=_!-])\1+ (.*?) \1+", line)
    if ruler:
        line = f"{ruler[1] * 2} {ruler[2]} {ruler[1] * 2}"
    line = re.sub(r"\b\d+\.\d{3} s\b", "0.000 s", line)
    line = re.sub(r"(?<=[( ])\d+\.\d s\b", "0.0 s", line)
    line = re.sub(r"in \d+\.\d+s\b( \(\d+:\d\d:\d\d\))?", "in 0.00s", line)
    line = re.sub(r"(\d\d\d\d-\d\d-\d\d)T(\d\d[:-]\d\d[:-]\d\d)Z(\.\d+)?", "<time>", line)
    line = re.sub(r"(?<=\| )\d+\.\d\d(?= \|$)|(?<=, took )\d+\.\d\d(?= s)", "0.00", line)
    if not is_engine_forced:
        line = line.removesuffix("  (searched)")
        line = re.sub(r"^(mcpsmoke: --leaks=\w+ --leaks-engine=)\w+(| .*?)( \(.*\))?$", r"\1auto\2", line)
    return line


def _normal_record(line: str, is_engine_forced: bool) -> str:
    """A line of the report: what depends on versions, the clock and the engine is masked."""
    try:
        record: dict[str, Any] = json.loads(line)
    except ValueError:
        return line
    masked = {"python", "pytest", "duration", "wall_s"} | (set() if is_engine_forced else {"engine"})
    for name in masked & record.keys():
        record[name] = "…"
    if isinstance(record.get("site"), dict) and not is_engine_forced:
        record["site"]["certainty"] = "…"
    return json.dumps(record, ensure_ascii=False)
