"""The folder of a run's evidence: everything in it is written as it happens, and without secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.readiness.gate.scrubbing import Scrubber

DEFAULT: Final = Path(".mcpsmoke", "evaluation")
LATEST: Final = "latest"
PREVIOUS: Final = "previous"
REPORT: Final = "report.json"
_LARGEST: Final = 100_000_000  # bytes of an artifact: it is read as a whole


class Evidence:
    """Writes into one new folder. After a failure (a full disk) it goes on; problems tells which."""

    def __init__(self, base: Path, began: datetime, scrubber: Scrubber) -> None:
        """Make the folder. Raises UsageProblem when that cannot be."""
        self._scrubber = scrubber
        self.base = base
        self.problems: list[str] = []
        try:
            _keep_out_of_git(base)
            self.folder = _new_folder(base, began.strftime("%Y-%m-%dT%H-%M-%SZ"))
            for part in ("junit", "logs", "leaks"):
                (self.folder / part).mkdir()
            _point(base / LATEST, self.folder.name)
        except OSError as error:
            raise UsageProblem(f"{base}: no evidence can be written there: {error.strerror}") from error

    def write_report(self, record: dict[str, Any]) -> None:
        """Replace report.json: whoever reads it finds the old text or the new."""
        values = self._scrubber.values(record)
        shown = self._scrubber.known(json.dumps(values, ensure_ascii=False, indent=1))
        self._write(self.folder / REPORT, (shown + "\n").encode("utf-8", "backslashreplace"))

    def write_markdown(self, text: str) -> None:
        """Replace report.md."""
        self._write(self.folder / "report.md", self._scrubber.text(text).encode("utf-8", "backslashreplace"))

    def tail(self, source: Path, name: str, is_log: bool) -> Tail:
        """Return what copies a growing file here; a log loses what looks like a credential, too."""
        scrub = self._scrubber.text if is_log else self._scrubber.known
        return Tail(source, self.folder / name, scrub, self._failed)

    def write_junit(self, name: str, content: bytes) -> None:
        """Write the JUnit file of a check."""
        self._write(self.folder / "junit" / f"{name}.xml", self._scrubber.junit(content))

    def keep(self, root: Path, globs: Iterable[str], check: str, since: float) -> tuple[list[str], list[str]]:
        """Copy the files that globs match below the root. Returns their names here, and notes.

        since: when the check began, in seconds of the epoch: files that are older are no news of it.
        """
        names: list[str] = []
        notes: list[str] = []
        for glob in globs:
            try:
                found = list(self._matching(root, glob))
            except OSError as error:
                notes.append(f"artifacts {glob}: {error.strerror}")
                continue
            for path in found:
                name = Path("artifacts", check, path.relative_to(root))
                if path.stat().st_size > _LARGEST:
                    notes.append(f"artifact {path.relative_to(root)}: larger than 100 MB, not copied")
                elif self._copy(path, self.folder / name):
                    names.append(name.as_posix())
            if not found:
                notes.append(f"artifacts {glob}: there is no such file")
            elif all(path.stat().st_mtime < since - 2 for path in found):
                notes.append(f"artifacts {glob}: written before this check began")
        return names, notes

    def _matching(self, root: Path, glob: str) -> Iterator[Path]:
        """Files of the project; not what a link outside of it leads to, nor evidence of other runs."""
        within, base = root.resolve(), self.base.resolve()
        for path in sorted(root.glob(glob)):
            real = path.resolve()
            if real.is_file() and real.is_relative_to(within) and not real.is_relative_to(base):
                yield path

    def _copy(self, source: Path, target: Path) -> bool:
        try:
            content = source.read_bytes()
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._failed(target, error)
            return False
        return self._write(target, self._scrubber.data(content))

    def _write(self, path: Path, content: bytes) -> bool:
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            fresh.write_bytes(content)
            os.replace(fresh, path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            self._failed(path, error)
            return False
        return True

    def _failed(self, path: Path, error: OSError) -> None:
        name = path.relative_to(self.folder).as_posix()
        problem = f"the evidence is incomplete: {name}: {error.strerror}"
        if problem not in self.problems:
            self.problems.append(problem)


class Tail:
    """Copies a file that grows, line by line, so that what can be read is always without secrets."""

    def __init__(
        self, source: Path, target: Path, scrub: Callable[[str], str], failed: Callable[[Path, OSError], None]
    ) -> None:
        self._source = source
        self._target = target
        self._scrub = scrub
        self._failed = failed
        self._at = 0
        self._is_broken = False

    def follow(self, is_end: bool = False) -> None:
        """Copy the lines that are complete; at the end also what is not."""
        if self._is_broken or not self._source.exists():
            return
        with self._source.open("rb") as source:
            source.seek(self._at)
            content = source.read()
        if not is_end:
            content = content[: content.rfind(b"\n") + 1]
        if not content:
            return
        self._at += len(content)
        text = self._scrub(content.decode("utf-8", "backslashreplace"))
        try:
            with self._target.open("a", encoding="utf-8", newline="") as target:
                target.write(text)
        except OSError as error:
            self._is_broken = True
            self._failed(self._target, error)


def find_report(name: str, base: Path) -> Path:
    """Return the report.json of a run: a folder, a file, or the name of a run below base.

    "latest" and "previous" are names, too. Raises UsageProblem when there is none.
    """
    if name == PREVIOUS and not Path(name).exists():
        runs = sorted(path.parent for path in base.glob(f"*Z*/{REPORT}"))
        if len(runs) < 2:
            raise UsageProblem(f"{name}: {base} holds no two runs")
        return runs[-2] / REPORT
    for path in (Path(name), base / name):
        if path.name == LATEST and path.is_file():  # where no link can be made
            path = path.with_name(path.read_text("utf-8").strip())
        if path.is_dir() and (path / REPORT).is_file():
            return path / REPORT
        if path.is_file():
            return path
    raise UsageProblem(f"{name}: no evidence there, nor in {base}; name a folder with a {REPORT}")


def _new_folder(base: Path, name: str) -> Path:
    """Make a folder; two runs of the same second get two."""
    number = 1
    while True:
        folder = base / (name if number == 1 else f"{name}.{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not base.is_dir():
                raise
            number += 1
        else:
            return folder


def _keep_out_of_git(base: Path) -> None:
    """The default folder, when it is made, tells git to leave it alone: it would make each commit dirty."""
    top = base.parent
    if top.name == DEFAULT.parts[0] and not top.exists():
        top.mkdir(parents=True)
        (top / ".gitignore").write_text("*\n", "utf-8")


def _point(link: Path, name: str) -> None:
    """Let `latest` lead to a run; a text file where links cannot be made."""
    fresh = link.with_name(f".{LATEST}.{os.getpid()}")
    try:
        fresh.symlink_to(name)
    except (OSError, NotImplementedError):
        fresh.write_text(f"{name}\n", "utf-8")
    os.replace(fresh, link)
