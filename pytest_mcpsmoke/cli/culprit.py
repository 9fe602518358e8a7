"""mcpsmoke culprit: from a red test to the polluter, the place and the line, proven."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_mcpsmoke.cli.arguments import read_number
from pytest_mcpsmoke.cli.exits import Exit
from pytest_mcpsmoke.errors import BudgetOver, UsageProblem

if TYPE_CHECKING:  # loaded only where they are used: `mcpsmoke --help` stays cheap
    from pytest_mcpsmoke.cli.lab import Budget, PytestLab
    from pytest_mcpsmoke.order.conclusion import Conclusion
    from pytest_mcpsmoke.report.culprit import Told
    from pytest_mcpsmoke.report.model import Finding, SiteText

_EXAMPLES: Final = """\
examples:
  mcpsmoke culprit tests/test_b.py::test_victim --from leaks.jsonl
                                        with the report of the red run: usually three pytest processes
  mcpsmoke culprit tests/test_b.py::test_victim -- tests -p no:cacheprovider
                                        without: one observed run of what stands after -- comes first
  mcpsmoke culprit --last-failed --seed 1234
                                        the order that pytest-randomly made of this seed
  mcpsmoke culprit tests/test_b.py::test_victim --order ids.txt --budget 10m
                                        an order of your own, one node id a line; ten minutes at most

what stands behind -- goes to pytest; give an option with a value as --name=value

exit status: 0 a polluter or a state-setter is proven, 1 none is, 2 bad usage, 3 the budget was used up, 130
Ctrl-C; after 3 and 130 the same command goes on where it stopped
"""


def add_to(commands: Any) -> None:
    """Declare the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "culprit",
        help="prove which test breaks another one, by which place and line",
        description="Find out why a test fails in company and passes alone, or the reverse: which test, which"
        " place, which line; proven by putting that one place back. Experiments run in throw-away processes.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("victim", nargs="?", metavar="VICTIM", help="node id of the test")
    add("--last-failed", action="store_true", help="the tests that failed last, by pytest's cache")
    add(
        "--from", dest="report", metavar="REPORT", help="a file of pytest --leaks-report: the run in question"
    )
    add("--order", metavar="FILE", help="the order in question: node ids, one a line, or a report")
    add("--seed", metavar="N", help="of pytest-randomly: the order in question")
    add("--budget", metavar="N|Ns|Nm", help="at most so many pytest processes, seconds, minutes")
    add("--confirm", metavar="N", default="0", help="repeat the deciding experiments N times (default: 0)")
    add("--fresh", action="store_true", help="forget what an interrupted investigation has found")
    add("--json", action="store_true", help="print the conclusion as one JSON object a line")
    parser.set_defaults(run=run, takes_pytest=True)


def run(options: argparse.Namespace) -> int:
    """Explain each test that is asked for. Raises UsageProblem; then nothing is proven."""
    from pytest_mcpsmoke.cli.recorded import last_failed

    budget, confirm = _budget(options.budget), read_number("--confirm", options.confirm)
    if (options.victim is None) is not options.last_failed:
        raise UsageProblem("give either the node id of a test, or --last-failed")
    here = Path.cwd()
    victims = [options.victim] if options.victim is not None else last_failed(here)
    status = Exit.GREEN
    for victim in victims:
        try:
            told = _explain(options, victim, here, budget, confirm)
        except BudgetOver as over:
            print(f"{victim}: used up: {over}; the same command goes on from here", file=sys.stderr)
            return Exit.UNFINISHED
        except KeyboardInterrupt:
            print(f"\n{victim}: interrupted; the same command goes on from here", file=sys.stderr)
            return Exit.INTERRUPTED
        text = json.dumps(told.record(), ensure_ascii=False) if options.json else "\n".join(told.lines())
        print(text)
        if not told.conclusion.is_proven:
            status = Exit.RED
    return status


def _explain(options: argparse.Namespace, victim: str, here: Path, budget: Budget, confirm: int) -> Told:
    from pytest_mcpsmoke.cli.lab import Project, PytestLab
    from pytest_mcpsmoke.cli.notebook import Notebook
    from pytest_mcpsmoke.cli.question import ask
    from pytest_mcpsmoke.order.investigation import Investigation
    from pytest_mcpsmoke.order.reaching import Reader
    from pytest_mcpsmoke.report.culprit import Told, find, progress_line
    from pytest_mcpsmoke.report.text import plural

    began = time.monotonic()
    given = [victim, str(options.report), str(options.order), str(options.seed), *options.pytest]
    notebook = Notebook(here, given, options.fresh)
    out = sys.stderr

    def tell(*told: Any) -> None:
        print(progress_line(*told), file=out, flush=True)

    earlier = len(notebook.known)
    if earlier:
        known = plural(earlier, "known experiment")
        print(f"going on from {known} (--fresh begins anew)", file=out)
    question = ask(options, victim, here, notebook, budget)
    nodeid, told = question.recorded.victim, question.told
    failed_in = next(
        (test.failure.path for test in told.tests if test.nodeid == nodeid and test.failure), None
    )
    reach = Reader(told.root).reach_of_test(nodeid, failed_in)
    project = Project(here, told.root, question.options)
    lab = PytestLab(project, nodeid, reach, notebook, budget, tell)
    lab.runs = question.runs
    found = Investigation(lab, question.recorded, reach.meets, confirm).conclude()
    findings = find(found, lab.findings)
    ways = tuple(_way(finding, found, lab, nodeid, str(told.root)) for finding in findings)
    notebook.close()
    reproduce, turned = found.reproduce, found.turned
    return Told(
        victim=nodeid,
        conclusion=found,
        findings=findings,
        ways=ways,
        reproduce=None if reproduce is None else project.command(reproduce, nodeid),
        heal=None if turned is None else project.command(turned, nodeid),
        runs=earlier + lab.runs,
        earlier=earlier,
        seconds=time.monotonic() - began,
        root=str(told.root),
    )


def _way(finding: Finding, found: Conclusion, lab: PytestLab, victim: str, root: str) -> tuple[SiteText, ...]:
    """The lines from the test to the write, where the report has not seen it: one run that watches.

    Empty where there is nothing to ask, or nothing was seen.
    """
    from pytest_mcpsmoke.report.culprit import watched_line
    from pytest_mcpsmoke.report.writes import way_to

    site = finding.site
    if found.reproduce is None or (site is not None and site.certainty == "observed"):
        return ()
    try:
        way = way_to(lab.watch(finding.place, found.reproduce), finding.owner, victim, root)
    except BudgetOver:  # all but the line is proven, and the line says so
        print(f"     {finding.place}: no time to watch each line; `mcpsmoke where` does", file=sys.stderr)
        return ()
    print(watched_line(lab.runs, finding.place, way, root), file=sys.stderr)
    return way


def _budget(text: str | None) -> Budget:
    from pytest_mcpsmoke.cli.lab import Budget

    if text is None:
        return Budget()
    found = re.fullmatch(r"(\d+)(s|m)?", text, re.ASCII)
    if found is None or not int(found[1]):
        raise UsageProblem(
            f"--budget {text}: give a number of pytest processes, or a time such as 90s or 10m"
        )
    if found[2] is None:
        return Budget(processes=int(found[1]))
    return Budget(until=time.monotonic() + int(found[1]) * (60 if found[2] == "m" else 1))
