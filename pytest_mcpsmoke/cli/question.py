"""The run that is asked about: of a report, or observed now."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pytest_mcpsmoke.cli.arguments import read_number
from pytest_mcpsmoke.cli.lab import Budget, read_child, run_pytest
from pytest_mcpsmoke.cli.notebook import Notebook
from pytest_mcpsmoke.cli.recorded import Told, nearest
from pytest_mcpsmoke.errors import BudgetOver, MissingExtra, UsageProblem
from pytest_mcpsmoke.order.experiment import Recorded

# Options of pytest whose value is the next word.
_VALUED: Final = frozenset(
    {"-c", "-k", "-m", "-n", "-o", "-p", "-r", "-W", "--basetemp", "--capture", "--confcutdir", "--deselect"}
    | {
        "--dist",
        "--ignore",
        "--import-mode",
        "--log-level",
        "--maxfail",
        "--override-ini",
        "--rootdir",
        "--tb",
    }
)


class Question(NamedTuple):
    """The recorded run, as it is told and as it is asked about; options for the experiments; runs made."""

    told: Told
    recorded: Recorded
    options: tuple[str, ...]
    runs: int


def ask(options: argparse.Namespace, victim: str, here: Path, notebook: Notebook, budget: Budget) -> Question:
    """Read the report, or make an observed run. Raises UsageProblem, BudgetOver, KeyboardInterrupt."""
    wanted = None if options.seed is None else read_number("--seed", options.seed)
    given = _without_names(options.pytest)
    runs = 0
    if options.report is not None:
        told = Told.of(options.report, here, is_incomplete_fine=True)
        if wanted is not None and told.seed != wanted:
            raise UsageProblem(f"--seed {wanted}: the run of {options.report} had the seed {told.seed}")
    else:
        told, runs = _observe(options, wanted, here, notebook, budget)
    ran = told.find(victim, here)
    if ran.outcome == "skipped":
        raise UsageProblem(f"{victim}: skipped in the recorded run; there is nothing to explain")
    before, after = told.around(ran)
    is_passed: bool | None = not ran.is_red
    if options.order is not None and options.report is not None:
        before, after = _reordered(options.order, ran.nodeid, [*before, *after])
        is_passed = None
    left = tuple(told.left([*before, ran.nodeid, *after]))
    recorded = Recorded(ran.nodeid, tuple(before), tuple(after), is_passed, left)
    return Question(told, recorded, (*_seeding(told.seed), *given), runs)


def _observe(
    options: argparse.Namespace, seed: int | None, here: Path, notebook: Notebook, budget: Budget
) -> tuple[Told, int]:
    """Run the suite under the detector, in the order in question; an earlier such run is remembered."""
    report, log = notebook.folder / "observed.jsonl", notebook.folder / "observed.txt"
    runs = 0
    if "observed" not in notebook.known:
        if budget.processes == 0:
            raise BudgetOver("no pytest process")
        report.unlink(missing_ok=True)
        words = [*options.pytest]
        if options.order is not None:
            names = notebook.folder / "order.txt"
            names.write_text("\n".join(_ids(options.order)) + "\n", "utf-8")
            words = [*_without_names(words), f"@{names}"]
        if seed is not None:
            words = [*_seeding(seed), *words]
        run_pytest(words, report, log, here, budget, is_ordered=options.order is not None)
        notebook.keep("observed", {})
        runs = 1
    return read_child(report, log, here), runs


def _seeding(seed: int | None) -> list[str]:
    """The generators are to be seeded as in the recorded run. Raises MissingExtra."""
    if seed is None:
        return []
    if importlib.util.find_spec("pytest_randomly") is None:
        raise MissingExtra(
            f"the order of seed {seed} needs pytest-randomly: pip install 'pytest-mcpsmoke[random]'"
        )
    return ["-p", "randomly", f"--randomly-seed={seed}"]


def _without_names(words: Sequence[str]) -> list[str]:
    """Arguments of pytest without those that name files, folders or tests: experiments name their own."""
    kept: list[str] = []
    is_value = False
    for word in words:
        if is_value or word.startswith("-"):
            kept.append(word)
        elif not os.path.exists(word.partition("::")[0]):
            raise UsageProblem(f"{word}: no such file or folder; write options with a value as --name=value")
        is_value = not is_value and word in _VALUED
    return kept


def _ids(path: str) -> list[str]:
    """The node ids of an order: of a text, one a line, or of a report. Raises UsageProblem."""
    try:
        text = Path(path).read_text("utf-8")
    except OSError as error:
        raise UsageProblem(f"--order {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageProblem(f"--order {path}: not a text in UTF-8") from error
    if text.startswith("{"):
        return [test.nodeid for test in Told.of(path, Path.cwd(), is_incomplete_fine=True).tests]
    ids = [line.strip() for line in text.splitlines() if line.strip()]
    if not ids:
        raise UsageProblem(f"--order {path}: empty; give node ids, one a line")
    return ids


def _reordered(path: str, victim: str, known: Iterable[str]) -> tuple[list[str], list[str]]:
    """Who comes before and after the victim in an order. Raises UsageProblem."""
    ids, tests = _ids(path), {victim, *known}
    for name in ids:
        if name not in tests:
            raise UsageProblem(f"--order {path}: {name}: not in the recorded run{nearest(name, tests)}")
    if victim not in ids:
        raise UsageProblem(f"--order {path}: {victim} is not among its tests")
    at = ids.index(victim)
    return ids[:at], ids[at + 1 :]
