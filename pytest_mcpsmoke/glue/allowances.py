"""Every allowance of a run: from the markers, the conftests, the ini file and the baseline."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.glue.markers import allowances, marked
from pytest_mcpsmoke.glue.owners import relative_to
from pytest_mcpsmoke.report.allowances import EVERYBODY, Allowance, Declared, read_lines

if TYPE_CHECKING:
    from _pytest.nodes import Node

    from pytest_mcpsmoke.glue.options import Settings
    from pytest_mcpsmoke.report.baseline import Baseline
    from pytest_mcpsmoke.report.model import Finding

_NAME = "mcpsmoke_allow"


class Allowances:
    """Answers which findings are allowed, and keeps what is declared."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        """Read ini file and baseline. Raises UsageProblem."""
        self._root = config.rootpath
        self._relative = relative_to(config.rootpath)
        self._takes_node_ids = any("::" in argument for argument in config.args)
        self._problem: UsageProblem | None = None
        self._lines = read_lines(config.getini(_NAME), _source_of_ini(config))
        self._first: dict[tuple[int, str], Declared] = {}  # by the id of a mark: items may share one
        self.marks: dict[Declared, set[str]] = {}  # and the ids of the nodes that bear each
        self.baseline = _open_baseline(settings, self._relative)

    @property
    def lines(self) -> list[Declared]:
        """What ini file and conftests declare."""
        return [declared for line in self._lines for declared in line.declared()]

    def is_empty(self) -> bool:
        """Whether nothing is declared anywhere."""
        return not (self._lines or self.marks or self.baseline)

    @pytest.hookimpl(tryfirst=True)
    def pytest_plugin_registered(self, plugin: object) -> None:
        """Read a conftest's allowances before anything that importing it changed is judged."""
        path = getattr(plugin, "__file__", None)
        if not isinstance(path, str) or os.path.basename(path) != "conftest.py" or _NAME not in vars(plugin):
            return
        folder = os.path.dirname(path)
        owners = EVERYBODY if self._root.is_relative_to(folder) else self._relative(folder)
        try:
            found = read_lines(vars(plugin)[_NAME], f"{self._relative(path)}: {_NAME}", owners)
        except UsageProblem as problem:  # raised here, it would become an error of collecting one folder
            self._problem = self._problem or problem
        else:
            self._lines = [*found, *self._lines]  # closest first: folders come after those they lie in

    def check(self, items: list[pytest.Item]) -> None:
        """Raise UsageProblem for a misused marker, or list of a conftest; learn what the markers declare."""
        if self._problem is not None:
            raise self._problem
        for item in marked(items, "allow_leak"):
            for bearer, mark, allowance in allowances(item):
                if self._takes_node_ids and not _stands_alone(item, bearer):
                    continue  # what else the marker stands on may not be part of this run
                for declared in _of_mark(bearer, allowance).declared():
                    first = self._first.setdefault((id(mark), declared.place), declared)
                    self.marks.setdefault(first, set()).add(declared.owner)

    def decide(self, finding: Finding, node: Node | None = None) -> Finding:
        """Return a finding, allowed if it is; node is the test, or the module that was imported."""
        if finding.verdict != "leak":
            return finding
        candidates = self._candidates(finding, node)
        closest = next((allowance for allowance in candidates if allowance.covers(finding)), None)
        return finding if closest is None else finding.allowed(closest.reason)

    def _candidates(self, finding: Finding, node: Node | None) -> Iterator[Allowance]:
        yield from () if node is None else _of_node(node)
        yield from self._lines
        if self.baseline is not None:
            yield from self.baseline.covering(finding.owner, finding.place)


def _of_node(node: Node) -> list[Allowance]:
    """The allowances of a node's markers; a misused one is refused where the items are known, not here."""
    try:
        return [_of_mark(bearer, allowance) for bearer, _, allowance in allowances(node)]
    except UsageProblem:
        return []


def _of_mark(bearer: Node, allowance: Allowance) -> Allowance:
    """An allowance that says which node bears it: of a parametrised test, the test."""
    owner = bearer.nodeid
    if isinstance(bearer, pytest.Function) and hasattr(bearer, "callspec"):
        owner = owner.removesuffix(f"[{bearer.callspec.id}]")
    return allowance._replace(source=f"marker on {owner}", owners=owner)


def _stands_alone(item: pytest.Item, bearer: Node) -> bool:
    """Whether a marker stands on one plain test function, and on nothing else."""
    return bearer is item and not hasattr(item, "callspec") and getattr(item, "cls", None) is None


def _source_of_ini(config: pytest.Config) -> str:
    """Where the ini key has its value from: the file, or the command line."""
    is_given = any(text.startswith(f"{_NAME}=") for text in config.getoption("override_ini") or ())
    return f"{'-o' if is_given or config.inipath is None else config.inipath.name}: {_NAME}"


def _open_baseline(settings: Settings, relative: Callable[[str], str]) -> Baseline | None:
    if settings.baseline is None:
        return None
    from pytest_mcpsmoke.report.baseline import Baseline, read_baseline

    path, name = settings.baseline
    return Baseline(read_baseline(path, name), relative(os.path.abspath(path)))
