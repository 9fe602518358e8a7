"""The README shows what a run prints today, and names only what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from stories import DOCS, ROOT, blocks, environment, normal
from test_docs_reference import Declared, section

README = (ROOT / "README.md").read_text("utf-8")
STORY = "pytest -p mcpsmoke examples/leaky_smoke"


def test_first_screen_is_a_real_run() -> None:
    for needed in ("fastapi", "httpx"):
        pytest.importorskip(needed)
    assert f"`{STORY}`" in README
    done = subprocess.run(
        [str(Path(sys.executable).parent / "pytest"), *STORY.split()[1:]],
        cwd=ROOT,
        env=environment("-p no:cacheprovider"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=600,
        check=False,
    )
    printed = re.search(r"^=+ state leaks =+\n(?:.*\n)*?\d+ leaks? left by .*\n", done.stdout, re.MULTILINE)
    assert printed is not None, done.stdout
    shown = next(block for block in blocks(README) if block.language == "text")
    assert comparable(shown.lines) == comparable(printed[0].splitlines())


def comparable(lines: list[str] | tuple[str, ...]) -> list[str]:
    """How much a library sets up on first use depends on its version: that one number is masked."""
    return [re.sub(r"\d+ warm-ups?", "… warm-ups", line) for line in normal(lines)]


def test_story_stands_on_the_first_screen() -> None:
    assert "leaks left by" in "\n".join(README.splitlines()[:30])


def test_the_example_is_the_file_that_it_names() -> None:
    path = re.search(r"`(examples/clean_smoke/\w+\.py)`", README)
    assert path is not None
    (shown,) = (block for block in blocks(README) if block.language == "python")
    assert (ROOT / path[1]).read_text("utf-8").endswith("\n" + "\n".join(shown.lines) + "\n")


def test_every_fixture_is_named() -> None:
    headings = re.findall(
        r"^## `(\w+)`$", (DOCS / "reference" / "fixtures.md").read_text("utf-8"), re.MULTILINE
    )
    named = re.findall(r"`(\w+)`", section(README, "Make leaking unnecessary"))
    assert [name for name in named if name in headings] == headings


def test_named_options_exist() -> None:
    named = set(re.findall(r"--leaks[\w-]*", README))
    assert named == {name for name in Declared().options if name.startswith("--leaks")}


def test_named_commands_exist() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"^    make ([\w-]+)", README, re.MULTILINE)
    assert named == ["smoke", "test"]
    assert set(named) <= set(targets)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).is_file(), target
