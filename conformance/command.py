"""The command: starts the profile, runs the suite for each version and way, and says what came of it."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Final

from conformance import expected, suite, table
from conformance.install import install
from conformance.results import VERSIONS, WAYS, NoResults, Run
from pytest_mcpsmoke.errors import UsageProblem

GOOD: Final = 0
DIFFERENT: Final = 1
UNUSABLE: Final = 2
INTERRUPTED: Final = 130
_COMMAND: Final = "python -m conformance"
_EPILOG: Final = """\
examples:
  python -m conformance                              both versions, against the upstream itself
  python -m conformance --through gateway            the same through the gateway
  python -m conformance --through all --write-docs   both ways, into docs/reference/conformance.md
  python -m conformance --protocol 2026-07-28 --suite DIR --install

The suite is an npm package; --install gets it, and a Node to run it, once, by npm.
exit status: 0 all is as expected-failures.yaml says, 1 it is not, 2 something given cannot be used or is not
installed, 130 interrupted (what was found until then is printed)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    ways = WAYS if options.through == "all" else (options.through or "direct",)
    versions = tuple(dict.fromkeys(options.protocol or VERSIONS))
    if options.write_docs and (ways, versions) != (WAYS, VERSIONS):
        print("--write-docs writes all tables: it goes with --through all, both protocols", file=sys.stderr)
        return UNUSABLE
    try:
        with _ending_tidily():
            reasons = expected.read(options.expected_failures)
            if options.install:
                install(suite.folder(options.suite))
            return _run(suite.find(options.suite), ways, versions, reasons, options)
    except UsageProblem as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    except (suite.Broken, NoResults) as error:
        print(error, file=sys.stderr)
        return DIFFERENT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_COMMAND,
        description="Runs the protocol's own conformance suite against an upstream with its profile.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--through", choices=("gateway", "all"), help="ask the gateway; or both, one by one")
    parser.add_argument(
        "--protocol", choices=VERSIONS, action="append", help="a version; may be given again (both)"
    )
    parser.add_argument(
        "--suite",
        type=Path,
        metavar="DIR",
        help=f"the folder with node_modules (${suite.VARIABLE}, else conformance/)",
    )
    parser.add_argument("--install", action="store_true", help="install the suite there first, by npm")
    parser.add_argument(
        "--expected-failures",
        type=Path,
        default=expected.FILE,
        metavar="FILE",
        help="which failures are known, and why (conformance/expected-failures.yaml)",
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=300.0, metavar="S", help="seconds for one version, one way (300)"
    )
    parser.add_argument("--write-docs", action="store_true", help="write the tables into the documentation")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give seconds, more than 0")
    return seconds


def _run(
    found: suite.Suite,
    ways: Sequence[str],
    versions: Sequence[str],
    reasons: expected.Reasons,
    options: argparse.Namespace,
) -> int:
    runs, is_good = [], True
    with _profile() as url:
        for way in ways:
            with _reached(way)(url) as asked:
                for version in versions:
                    run = _one(found, asked, version, way, options.timeout)
                    verdict = expected.judge(run, reasons)
                    print(*table.text(run, verdict), "", sep="\n", flush=True)
                    runs.append(run)
                    is_good &= verdict.is_good
    if options.write_docs:
        table.write(table.markdown(runs, f"{_COMMAND} --through all --write-docs", found.version), table.PAGE)
    print("as expected" if is_good else "not as expected")
    return GOOD if is_good else DIFFERENT


def _one(found: suite.Suite, url: str, version: str, way: str, at_most: float) -> Run:
    from conformance import paired

    ours = paired.checks(url, version)
    return Run(version, way, (*found.run(url, version, at_most=at_most), *ours))


@contextmanager
def _profile() -> Iterator[str]:
    """Serve the profile for as long as the block lasts, and give its URL."""
    from mcp.shared.exceptions import MCPDeprecationWarning

    from conformance.profile import conformance_upstream, serve

    with warnings.catch_warnings(), _quiet("mcp"), conformance_upstream() as up:
        # The suite asks for what 2026-07-28 has deprecated, too.
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        yield serve(up)
        for error in up.errors:  # one that matters has made a check fail
            print(f"inside the upstream: {error!r}", file=sys.stderr)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Let a logger not speak on stderr: what the suite does wrong on purpose is no news."""
    keeper = logging.NullHandler()
    logging.getLogger(name).addHandler(keeper)
    try:
        yield
    finally:
        logging.getLogger(name).removeHandler(keeper)


def _reached(way: str) -> Callable[[str], AbstractContextManager[str]]:
    from conformance.gateway import through_gateway

    return through_gateway if way == "gateway" else nullcontext


@contextmanager
def _ending_tidily() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does, in the background, too: what was started is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
