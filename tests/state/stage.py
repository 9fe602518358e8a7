"""A stage: a small program and a piece of test code, run through one engine as a test is."""

from __future__ import annotations

import importlib
import linecache
import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.engines import Engine, open_engine
from pytest_mcpsmoke.state.ledger import Owner
from pytest_mcpsmoke.state.observer import Judged, Observer
from pytest_mcpsmoke.state.place import Namespace
from pytest_mcpsmoke.state.policy import WARNINGS_STATE
from pytest_mcpsmoke.state.writer import Files, Site, Span, span_of_code

SHOP = {
    "shop/__init__.py": "",
    "shop/invoker.py": """
        class HttpToolsInvoker:
            pass

        class Tracer:
            pass

        def route():
            return 1
        """,
    "shop/app.py": """
        import json as codec
        from shop.invoker import HttpToolsInvoker, route

        NAME = "shop"
        PAIR = ("a", 1)
        HANDLERS = {"a": [1]}
        LIMIT = None

        def greet():
            return "hello"

        class Config:
            mode = "prod"
            handlers = ["a"]

            def load(self):
                return 1

            @staticmethod
            def parse():
                return 1

            @classmethod
            def build(cls):
                return cls()

            @property
            def size(self):
                return 1

            class Inner:
                depth = 1
        """,
    "shop/client.py": """
        from shop.app import Config, greet
        """,
}


def working_engines() -> list[str]:
    """The engines that this interpreter can run, the best first; that one alone where one is to do."""
    found: list[str] = []
    for name in ("watch", "version", "scan"):
        try:
            open_engine(name, set())[0].stop()
        except EngineUnavailable:
            continue
        found.append(name)
    return found[:1] if "MCPSMOKE_ONE_ENGINE" in os.environ else found


def row(judged: Judged) -> str:
    """One change in one line: verdict, place, kind, before and after."""
    change, verdict, _ = judged
    before, after = describe(change.before, change.key), describe(change.after, change.key)
    return f"{verdict} {change.place} {change.kind}: {before} -> {after}"


def site_text(site: Site | None) -> str:
    """The file and the source line of a write site, without its comment."""
    if site is None:
        return "nowhere"
    line = linecache.getline(site.path, site.line).partition("#")[0].strip()
    return f"{Path(site.path).name}: {line}"


class Stage:
    """A folder of program modules (`shop`), a library (`vendor`) and test code (`checks`, `checks_*`)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.judged: list[Judged] = []

    def write(self, files: dict[str, str]) -> None:
        """Write source files, by path relative to the folder."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).strip() + "\n", encoding="utf-8")
        importlib.invalidate_caches()

    def load(
        self, test: str, files: dict[str, str] | None = None, program: dict[str, str] = SHOP
    ) -> ModuleType:
        """Write the program and the test code, and import the test code."""
        self.write(program | (files or {}) | {"checks.py": test})
        return importlib.import_module("checks")

    def observer(self, engine: str) -> Observer:
        """An observer for which the files called checks*.py are test code and `shop` is the program."""
        files = Files()
        files.tests.update(str(path) for path in self.folder.glob("checks*.py"))
        opened: Engine = open_engine(engine, files.tests)[0]
        return Observer(
            opened,
            files,
            lambda name, file: name.partition(".")[0] in {"shop", "checks"},
            undone_later=WARNINGS_STATE,
        )

    def owner(self, module: ModuleType) -> Owner:
        """The owner of what the function `test` of a module does."""
        code = module.test.__code__
        return Owner("checks.py::test", "test", find_spans=lambda: (span_of_code(code),))

    def run(self, engine: str, module: ModuleType) -> list[str]:
        """Run the function `test` of a module as a test, and return what it left, one line a change.

        What the rules ignore, places outside the program and the test code, and what is inside objects,
        are left out.
        """
        observer, owner = self.observer(engine), self.owner(module)
        observer.start()
        try:
            observer.switch(owner)
            module.test()
            left = observer.end(owner)
        finally:
            observer.stop()
        self.judged = self.ours(left)
        return sorted(map(row, self.judged))

    @staticmethod
    def ours(left: list[Judged]) -> list[Judged]:
        return [
            entry
            for entry in left
            if entry[1] != "ignored"
            and isinstance(entry[0].holder, Namespace)
            and entry[0].place.partition(".")[0] in {"shop", "checks", "checks_other"}
        ]

    def sites(self) -> list[str]:
        """Where each change of the last run was written, in the order of its lines."""
        ordered = sorted(self.judged, key=row)
        return [site_text(change.writer.site) for change, _, _ in ordered]

    def certainties(self) -> set[str]:
        """How the sites of the last run are known."""
        sites = (change.writer.site for change, _, _ in self.judged)
        return {site.certainty for site in sites if site is not None}


def whole_file(path: Path) -> Callable[[], tuple[Span, ...]]:
    """The spans of an owner that is a whole file."""
    return lambda: (Span(str(path), 1, 1_000_000_000, "<module>"),)


def forget_modules() -> None:
    """Drop the stage's modules, so that the next stage imports its own."""
    for name in list(sys.modules):
        if name.partition(".")[0] in {"shop", "vendor", "checks", "checks_other"}:
            del sys.modules[name]
