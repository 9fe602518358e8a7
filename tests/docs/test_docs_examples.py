"""Every example of the documentation runs, and prints what its page shows."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from stories import DIRECTIVES, DOCS, ROOT, Command, File, Story, blocks, mismatch, pages, play, stories

STORIES = [story for page in pages() for story in stories(page)]
RUNNABLE = ("console", "python", "ini", "toml", "yaml", "json", "sh", "bash")
NEEDS = {" -n": "xdist", "randomly": "pytest_randomly", "rerunfailures": "pytest_rerunfailures"}
NEEDS["mcpsmoke ready"] = "pytest_randomly"
LIBRARIES = ("fastapi", "httpx")  # that examples import


@pytest.mark.parametrize("story", STORIES, ids=[story.name for story in STORIES])
def test_page_shows_what_happens(story: Story, tmp_path: Path) -> None:
    commands = [step.text for step in story.steps if isinstance(step, Command)]
    for text, module in NEEDS.items():
        if any(text in command for command in commands) and importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    imported = {word for step in story.steps if isinstance(step, File) for word in step.text.split()}
    for module in imported.intersection(LIBRARIES):
        pytest.importorskip(module)
    play(story, tmp_path)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_no_example_stands_outside_a_story(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.directive in DIRECTIVES or block.language in ("console", "text"):
            continue
        assert block.language in RUNNABLE, f"line {block.line}: unknown kind of block"
        assert block.caption, f"line {block.line}: name the file with :caption:, so that it is run"


@pytest.mark.parametrize("story", STORIES, ids=[story.name for story in STORIES])
def test_story_runs_something(story: Story) -> None:
    assert any(isinstance(step, Command) for step in story.steps)


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = {line for block in blocks((DOCS / "index.md").read_text("utf-8")) for line in block.lines}
    assert {str(page.relative_to(DOCS).with_suffix("")) for page in pages()} - {"index"} <= listed


def test_links_lead_somewhere() -> None:
    for page in pages():
        for target in re.findall(r"\]\(([^)#]+\.md)(?:#[\w-]+)?\)", page.read_text("utf-8")):
            assert (page.parent / target).is_file(), f"{page.relative_to(DOCS)}: {target}"


def test_quotes_are_of_examples_that_there_are() -> None:
    for page in pages():
        text = page.read_text("utf-8")
        quotes = re.findall(r"^```\{literalinclude\} (\S+)\n:pyobject: (\w+)\n```$", text, re.MULTILINE)
        assert len(quotes) == text.count("{literalinclude}"), page
        for path, name in quotes:
            quoted = (page.parent / path).resolve()
            assert quoted.is_relative_to(ROOT / "examples"), path
            assert f"\ndef {name}(" in quoted.read_text("utf-8"), f"{path}: {name}"


class TestTheComparison:
    """The comparison itself: what it lets pass, and what it does not."""

    @staticmethod
    def compare(expected: str, printed: str, command: str = "pytest") -> str | None:
        return mismatch(Command(command, tuple(expected.splitlines()), None, 1), printed)

    def test_durations_rulers_and_blank_lines_do_not_count(self) -> None:
        assert self.compare("==== 1 passed in 0.01s ====", "\n===== 1 passed in 2.34s =====\n") is None

    def test_any_lines_may_stand_for_dots(self) -> None:
        assert self.compare("a\n...\nd", "a\nb\nc\nd") is None

    @pytest.mark.parametrize("printed", ["a\nb", "x\na\nd", "a\nc\nd\ne"])
    def test_shown_lines_must_come_in_order_and_at_the_ends(self, printed: str) -> None:
        assert self.compare("a\n...\nd", printed)

    def test_a_section_is_shown_whole(self) -> None:
        shown = "== state leaks ==\n...\n1 leak left by 1 test; 0 warm-ups, 0 allowed"
        assert "whole" in (self.compare(shown, shown.replace("...", "x")) or "")

    def test_a_section_is_not_left_out(self) -> None:
        printed = "F\n== state leaks ==\n1 leak left by 1 test\n1 failed"
        assert "leaves" in (self.compare("F\n...\n1 failed", printed) or "")

    def test_a_run_that_watches_counts_only_for_a_forced_engine(self) -> None:
        seen = "  3  m.X put back: passed (0.4 s)\nm: a victim\n3 pytest runs, 1.2 s"
        searched = seen.replace("\nm:", "\n  4  watched m.X: a.py:1  m.X = 1\nm:").replace("\n3", "\n4")
        assert self.compare(seen, searched) is None
        assert self.compare(seen, searched.replace("\n4", "\n5"))
        assert self.compare(seen, searched, "mcpsmoke culprit a -- --leaks-engine=version")

    def test_searched_counts_only_for_a_forced_engine(self) -> None:
        assert self.compare("a.py:1  x = 1", "a.py:1  x = 1  (searched)") is None
        assert self.compare("a.py:1  x = 1", "a.py:1  x = 1  (searched)", "pytest --leaks-engine=scan")
