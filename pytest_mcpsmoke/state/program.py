"""Which modules count as the program under test."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path

_NOT_OURS = frozenset(
    {"site-packages", "dist-packages", "node_modules", ".tox", ".nox", ".venv", "venv", ".eggs"}
)


def program_test(root: Path, watch: tuple[str, ...]) -> Callable[[str, str | None], bool]:
    """Return the test whether a module (name, file or None) belongs to the program.

    With watch, the packages of those names. Without: what lives under root outside virtual
    environments, and installed packages that have their source folder in root or root/src.
    """
    if watch:
        return lambda name, file: any(name == package or name.startswith(package + ".") for package in watch)
    packages = frozenset(
        folder.name
        for parent in (root, root / "src")
        if parent.is_dir()
        for folder in parent.iterdir()
        if (folder / "__init__.py").is_file()
    )
    prefix = str(root) + os.sep

    def is_program(name: str, file: str | None) -> bool:
        if name.partition(".")[0] in packages:
            return True
        if file is None or not file.startswith(prefix):
            return False
        inside = file[len(prefix) :].split(os.sep)
        return _NOT_OURS.isdisjoint(inside) and not _has_environment(root, inside)

    return is_program


def _has_environment(root: Path, parts: list[str]) -> bool:
    """Whether a file lies in a virtual environment, by whatever name."""
    return "lib" in parts and (root.joinpath(*parts[: parts.index("lib")]) / "pyvenv.cfg").exists()


def is_not_installed() -> Callable[[str, str | None], bool]:
    """Return the test whether a module is neither the interpreter's nor installed, wherever it lives."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = tuple({sysconfig.get_path(name) + os.sep for name in names})
    return lambda name, file: file is not None and not file.startswith(folders)


def is_program_file(path: str) -> bool:
    """Whether a source file is neither the interpreter's, frozen ones included, nor installed."""
    return not (os.path.basename(path).startswith("<frozen ") or is_library_file(path))


def is_library_file(path: str) -> bool:
    """Whether a source file is the interpreter's or was installed into some environment."""
    if not {"site-packages", "dist-packages"}.isdisjoint(path.split(os.sep)):
        return True
    return path.startswith(sysconfig.get_path("stdlib") + os.sep)
