"""Where the suites of others come from: pinned sdists, each with an environment of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.process import RunFailed

ROOT: Final = Path(__file__).resolve().parents[1]
LIST: Final = Path(__file__).with_name("suites.toml")
_BUILT_FROM: Final = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "pytest_mcpsmoke")


@dataclass(frozen=True, slots=True)
class Suite:
    """A released version of a project, and how its tests are run.

    sdist: project name, version and SHA-256 as the index has them. requires: what the tests need beyond the
    project. pytest: where it is another one than for the others. without: tests that are left out, each id
    with the reason.
    """

    name: str
    version: str
    sha256: str
    kind: str
    requires: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    pytest: str = ""
    without: dict[str, str] = field(default_factory=dict)


def suites() -> dict[str, Suite]:
    """The suites of the list, by name, in its order."""
    listed: list[dict[str, Any]] = tomllib.loads(LIST.read_text("utf-8"))["suite"]
    return {one["name"]: Suite(**one) for one in listed}


def runner_pin() -> str:
    """The pytest that all suites are run with."""
    pin: str = tomllib.loads(LIST.read_text("utf-8"))["pytest"]
    return pin


@dataclass(frozen=True, slots=True)
class Ground:
    """A suite made ready: its unpacked sources and the interpreter that has it installed."""

    sources: Path
    python: Path


def _command(*arguments: str | Path) -> None:
    """Run a command to its end. Raises RunFailed with the end of its output."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        text = (done.stdout + done.stderr)[-3000:]
        raise RunFailed(f"{' '.join(map(str, arguments))}: exit status {done.returncode}\n{text}")


def _install(python: Path, *arguments: str | Path) -> None:
    _command(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *arguments)


def prepare(suite: Suite, folder: Path, python: str) -> Ground:
    """Download, unpack and install a suite in this folder; what is there already is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    sdist = _downloaded(suite, folder)
    environment = folder / "environment"
    interpreter = environment / "bin" / "python"
    runner = suite.pytest or runner_pin()
    wanted = "\n".join([python, runner, suite.sha256, *suite.extras, *suite.requires])
    stamp = environment / "installed.txt"
    if not stamp.exists() or stamp.read_text("utf-8") != wanted:
        shutil.rmtree(environment, ignore_errors=True)
        _command(python, "-m", "venv", "--without-pip", environment)
        extras = f"[{','.join(suite.extras)}]" if suite.extras else ""
        _install(interpreter, f"{suite.name}{extras} @ {sdist.as_uri()}", runner, *suite.requires)
        stamp.write_text(wanted, "utf-8")
    return Ground(_unpacked(sdist, folder), interpreter)


def _downloaded(suite: Suite, folder: Path) -> Path:
    """The sdist. Raises RunFailed where it is not the one that is pinned."""
    for path in folder.glob("*.tar.gz"):
        if _digest(path) == suite.sha256:
            return path
    wanted = folder / "sdist.txt"
    wanted.write_text(f"{suite.name}=={suite.version} --hash=sha256:{suite.sha256}\n", "utf-8")
    options = ("--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", folder)
    _command(sys.executable, "-m", "pip", "download", *options, "-r", wanted)
    return next(path for path in folder.glob("*.tar.gz") if _digest(path) == suite.sha256)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unpacked(sdist: Path, folder: Path) -> Path:
    """The sources, as fresh as they came: an earlier run may have written among them."""
    into = folder / "sources"
    shutil.rmtree(into, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(into, filter="data")
    (root,) = into.iterdir()
    return root


def plugin_folder(into: Path, python: str) -> Path:
    """A folder with this checkout's plugin and nothing else: on the path, it is installed.

    So the same environment serves the plain run, to which the plugin is unknown, runs in runs included.
    """
    checkout, plugin = into / "checkout", into / "plugin"
    for path in (checkout, plugin):
        shutil.rmtree(path, ignore_errors=True)
    checkout.mkdir(parents=True)
    for name in _BUILT_FROM:  # a copy: building leaves a folder behind, which the next build would trust
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("*.so", "__pycache__")
            shutil.copytree(ROOT / name, checkout / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, checkout)
    _install(Path(python), "--no-deps", "--target", plugin, checkout)
    return plugin


def recorder_folder(into: Path) -> Path:
    """A folder with the plugin that records outcomes and nothing else."""
    folder = into / "recorder"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).with_name("suite_outcomes.py"), folder)
    return folder


def joined(*folders: Path) -> str:
    """A value for PYTHONPATH."""
    return os.pathsep.join(map(str, folders))
