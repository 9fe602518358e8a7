"""Command-line options and ini keys, and the settings that they amount to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

MODES = ("off", "report", "fail")
ENGINES = ("auto", "watch", "version", "scan")


class Settings(NamedTuple):
    """What the user asked of the detector."""

    mode: str  # one of MODES
    engine: str  # one of ENGINES
    report: Path | None  # absolute
    watch: tuple[str, ...]  # names of packages that count as the program; empty: found by place

    @classmethod
    def of(cls, config: pytest.Config) -> Settings:
        """Read the settings; raises pytest.UsageError for a value that is none."""
        mode = config.getoption("mcpsmoke_leaks")
        source = "--leaks" if mode is not None else "ini mcpsmoke_leaks"
        report = config.getoption("mcpsmoke_leaks_report")
        return cls(
            mode=_choice(source, config.getini("mcpsmoke_leaks") if mode is None else mode, MODES),
            engine=_choice("--leaks-engine", config.getoption("mcpsmoke_leaks_engine"), ENGINES),
            report=None if report is None else config.invocation_params.dir / report,
            watch=tuple(config.getini("mcpsmoke_watch")),
        )


def _choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return value if it is one of the choices; argparse would tell in four lines what one can say."""
    if value not in choices:
        raise pytest.UsageError(f"{name}={value}: choose from {', '.join(choices)}")
    return value


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
    parser.addini("mcpsmoke_leaks", "Default of --leaks: off, report or fail.", default="report")
    parser.addini(
        "mcpsmoke_watch",
        "Names of the packages that count as the program and are watched deeply (one per line). Default:"
        " what lives under the rootdir, without virtual environments and site-packages, and the installed"
        " packages of this project. Everything else is watched shallowly.",
        type="linelist",
        default=[],
    )
