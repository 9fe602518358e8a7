"""Command-line options and ini keys, and the settings that they amount to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_mcpsmoke.limits import Limits

MODES = ("off", "report", "fail")
SCREENFUL = 40  # lines
ENGINES = ("auto", "watch", "version", "scan")


class Settings(NamedTuple):
    """What the user asked of the detector."""

    mode: str  # one of MODES
    engine: str  # one of ENGINES
    report: Path | None  # absolute
    restore: tuple[str, ...]  # globs over the places that are put back
    undo: tuple[str, ...]  # globs over those where warm-ups and imports are put back, too
    spare: frozenset[str]  # owners whose doing is not put back
    limits: Limits
    watch: tuple[str, ...]  # names of packages that count as the program; empty: found by place
    baseline: tuple[Path, str] | None  # absolute, and what to call it in a message
    show: int | None  # lines of the terminal's section; None: all that there are

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read the settings; raises pytest.UsageError for a value that is none."""
        given = config.getoption("mcpsmoke_leaks")
        source = "--leaks" if given is not None else "ini mcpsmoke_leaks"
        mode = _choice(source, config.getini("mcpsmoke_leaks") if given is None else given, MODES)
        report = config.getoption("mcpsmoke_leaks_report")
        return cls(
            mode=mode,
            engine=_choice("--leaks-engine", config.getoption("mcpsmoke_leaks_engine"), ENGINES),
            report=None if report is None else config.invocation_params.dir / report,
            restore=_restore(config),
            undo=_undo(config, f"{source}={mode}"),
            spare=frozenset(config.getoption("mcpsmoke_leaks_spare")),
            limits=Limits(
                _number(config, "depth", config.getini("mcpsmoke_depth")),
                _number(config, "size", config.getini("mcpsmoke_size")),
                (*config.getini("mcpsmoke_unread"), *config.getoption("mcpsmoke_leaks_unread")),
            ),
            watch=tuple(config.getini("mcpsmoke_watch")),
            baseline=_baseline(config),
            show=_show(config),
        )


def _baseline(config: pytest.Config) -> tuple[Path, str] | None:
    given = config.getoption("mcpsmoke_leaks_baseline")
    if given is not None:
        return config.invocation_params.dir / given, f"--leaks-baseline={given}"
    named = config.getini("mcpsmoke_baseline")
    return (config.rootpath / named, f"ini mcpsmoke_baseline={named}") if named else None


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return value if it is one of the choices; argparse would tell in four lines what one can say."""
    if value not in choices:
        raise pytest.UsageError(f"{name}={value}: choose from {', '.join(choices)}")
    return value


def _restore(config: pytest.Config) -> tuple[str, ...]:
    only = tuple(config.getoption("mcpsmoke_leaks_restore_only"))
    return only or (("*",) if config.getoption("mcpsmoke_leaks_restore") else ())


def _undo(config: pytest.Config, mode: str) -> tuple[str, ...]:
    globs = tuple(config.getoption("mcpsmoke_leaks_undo"))
    if globs and mode.endswith("=off"):
        raise pytest.UsageError(f"--leaks-undo={globs[0]}: with {mode} nothing is seen; use --leaks=report")
    return globs


def _show(config: pytest.Config) -> int | None:
    given = config.getoption("mcpsmoke_leaks_show")
    if given is None:
        return None if config.getoption("verbose", 0) > 0 else SCREENFUL
    if given != "all" and not (given.isdecimal() and int(given) > 0):
        raise pytest.UsageError(f"--leaks-show={given}: a number of lines from 1 on, or all, is wanted")
    return None if given == "all" else int(given)


def _number(config: pytest.Config, name: str, default: str) -> int:
    """Return a limit: the option, else the ini key; both are texts until here, to be refused in one line."""
    given = config.getoption(f"mcpsmoke_leaks_{name}")
    source, text = (f"ini mcpsmoke_{name}", default) if given is None else (f"--leaks-{name}", given)
    if not text.isdecimal():
        raise pytest.UsageError(f"{source}={text}: a number from 0 on is wanted")
    return int(text)


def add_options(parser: pytest.Parser) -> None:
    """Declare everything that --help shows under "mcpsmoke"."""
    group = parser.getgroup("mcpsmoke", "mcpsmoke: state leaks between tests")
    group.addoption(
        "--leaks",
        dest="mcpsmoke_leaks",
        metavar="|".join(MODES),
        default=None,
        help="What to do about state that a test leaves changed: off: do not look; report: name it in the"
        " summary, change no outcome; fail: an error at the owner's teardown. Default: ini mcpsmoke_leaks.",
    )
    group.addoption(
        "--leaks-engine",
        dest="mcpsmoke_leaks_engine",
        metavar="|".join(ENGINES),
        default="auto",
        help="How to notice writes: watch (CPython 3.12+, compiled: write sites are observed), version"
        " (CPython 3.11, compiled), scan (anywhere, slow), or auto: the best that works here (default).",
    )
    group.addoption(
        "--leaks-report",
        dest="mcpsmoke_leaks_report",
        metavar="PATH",
        default=None,
        help="Write every finding, warm-ups and allowed ones included, as JSON Lines to PATH as it is made.",
    )
    group.addoption(
        "--leaks-show",
        dest="mcpsmoke_leaks_show",
        metavar="N|all",
        default=None,
        help="How many lines the summary may have at most (default: 40; with -v: all). What does not fit is"
        " counted, and what most tests left stands first.",
    )
    group.addoption(
        "--leaks-baseline",
        dest="mcpsmoke_leaks_baseline",
        metavar="PATH",
        default=None,
        help="Allow the leaks that PATH lists; `mcpsmoke baseline` writes it from a report. Default: ini"
        " mcpsmoke_baseline.",
    )
    group.addoption(
        "--leaks-restore",
        dest="mcpsmoke_leaks_restore",
        action="store_true",
        help="Put every leak back when its owner's time is over, so that no later test meets it. The findings"
        " say so; what cannot be put back is said, too.",
    )
    group.addoption(
        "--leaks-restore-only",
        dest="mcpsmoke_leaks_restore_only",
        metavar="GLOB",
        action="append",
        default=[],
        help="Put back only leaks whose place matches GLOB (may be given several times).",
    )
    group.addoption(
        "--leaks-undo",
        dest="mcpsmoke_leaks_undo",
        metavar="GLOB",
        action="append",
        default=[],
        help="For processes that are thrown away: put back what matches GLOB, warm-ups too: un-import what"
        " was first imported, empty caches (may be given several times).",
    )
    group.addoption(
        "--leaks-spare",
        dest="mcpsmoke_leaks_spare",
        metavar="OWNER",
        action="append",
        default=[],
        help="With the options that put back: leave what OWNER, a test by its node id, left changed (may be"
        " given several times).",
    )
    group.addoption(
        "--leaks-depth",
        dest="mcpsmoke_leaks_depth",
        metavar="N",
        default=None,
        help="How many steps from a module's or a class's attribute objects are looked into (default: 8); 0:"
        " only what the attribute itself holds. What lies deeper is said, once.",
    )
    group.addoption(
        "--leaks-size",
        dest="mcpsmoke_leaks_size",
        metavar="N",
        default=None,
        help="How many items of one container are read (default: 10000). What is longer is said, once.",
    )
    group.addoption(
        "--leaks-unread",
        dest="mcpsmoke_leaks_unread",
        metavar="GLOB",
        action="append",
        default=[],
        help="Leave places alone: a module, a class, or what an object holds, as the report names them (may"
        " be given several times). Nothing there is found, and nothing there is kept alive.",
    )
    group.addoption(
        "--tier",
        dest="mcpsmoke_tier",
        metavar="smoke|nd_real",
        action="append",
        default=[],
        help="Run only tests that bear the marker of this tier (several: comma-separated, or given again);"
        " beside -m and -k, which select among those.",
    )
    group.addoption(
        "--leaks-where",
        dest="mcpsmoke_leaks_where",
        metavar="PLACE",
        default=None,
        help="Look at PLACE after every line that runs, and show each statement that changes it, with the way"
        " from the test to there. Slow: for one test or a few.",
    )
    group.addoption(
        "--in-given-order",
        dest="mcpsmoke_in_given_order",
        action="store_true",
        help="Run the tests in the order in which they are named on the command line, in this process: no"
        " plugin reorders them, and no worker of pytest-xdist takes them.",
    )
    parser.addini("mcpsmoke_unread", "Globs of --leaks-unread, one per line.", type="linelist", default=[])
    parser.addini("mcpsmoke_depth", "Default of --leaks-depth.", default=str(Limits().depth))
    parser.addini("mcpsmoke_size", "Default of --leaks-size.", default=str(Limits().size))
    parser.addini("mcpsmoke_leaks", "Default of --leaks: off, report or fail.", default="report")
    parser.addini(
        "mcpsmoke_watch",
        "Names of the packages that count as the program and are watched deeply (one per line). Default:"
        " what lives under the rootdir, without virtual environments and site-packages, and the installed"
        " packages of this project. Everything else is watched shallowly.",
        type="linelist",
        default=[],
    )
    parser.addini(
        "mcpsmoke_allow",
        "Places that may stay changed, whoever changes them (one per line): place-glob  # reason. A list of"
        " the same name in a conftest.py covers what lies in its folder.",
        type="linelist",
        default=[],
    )
    parser.addini("mcpsmoke_baseline", "Default of --leaks-baseline, relative to the rootdir.", default="")
    parser.addini(
        "mcpsmoke_nd_prices",
        "What models cost whose answers do not tell, for max_cost (one per line): model-glob prompt-price"
        " completion-price, of a million tokens.",
        type="linelist",
        default=[],
    )
