"""no_leaks(): the detector around a block of code, without pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import unittest
from pathlib import Path
from typing import Any

import pytest
from stage import SHOP, Stage

import pytest_mcpsmoke
from pytest_mcpsmoke import LeakError, no_leaks
from pytest_mcpsmoke.errors import EngineUnavailable
from pytest_mcpsmoke.report.model import Finding

HERE = os.path.relpath(__file__)


@pytest.fixture
def app(stage: Stage) -> Any:
    return stage.load("from shop import app\n\ndef test():\n    pass\n").app


def line_of(text: str) -> int:
    """The number of this file's line with a comment."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith(f"# {text}"))


def of_shop(found: list[Finding]) -> list[Finding]:
    """Without the warm-ups of whatever else runs here, such as Hypothesis's clock of the collector."""
    return [finding for finding in found if finding.place.startswith("shop.")]


def searched(engine: str) -> str:
    return "" if engine == "watch" else "  (searched)"


def test_a_leak_raises_with_the_report(app: Any, engine: str) -> None:
    with pytest.raises(LeakError) as raised, no_leaks(engine=engine):  # noqa: PT012
        app.route = None  # first leak
        del app.NAME  # second leak
    assert str(raised.value).splitlines() == [
        f"{HERE}::test_a_leak_raises_with_the_report left 2 places changed",
        "  shop.app.route   rebound: function route -> None",
        f"      {HERE}:{line_of('first leak')}  app.route = None  # first leak{searched(engine)}",
        '      use: monkeypatch.setattr(app, "route", None)',
        "  shop.app.NAME    removed: 'shop' -> (nothing)",
        f"      {HERE}:{line_of('second leak')}  del app.NAME  # second leak{searched(engine)}",
        '      use: monkeypatch.delattr(app, "NAME")',
    ]
    assert isinstance(raised.value, AssertionError)


def test_a_block_that_leaves_nothing_passes(app: Any, engine: str) -> None:
    with no_leaks(engine=engine) as found:
        before, app.route = app.route, None
        app.route = before
    assert of_shop(found) == []


def test_what_is_allowed_may_change_and_is_told(app: Any, engine: str) -> None:
    with no_leaks("shop.app.N*", "shop.app.Config.*", engine=engine) as found:
        app.NAME = "x"
        app.Config.mode = "test"
    assert [(finding.place, finding.verdict, finding.reason) for finding in of_shop(found)] == [
        ("shop.app.NAME", "allowed", "allowed by no_leaks()"),
        ("shop.app.Config.mode", "allowed", "allowed by no_leaks()"),
    ]


def test_only_what_is_allowed_may_change(app: Any) -> None:
    with pytest.raises(LeakError) as raised, no_leaks("shop.app.N*", "shop.app.ROUTE"):  # noqa: PT012
        app.NAME = "x"
        app.route = None
    assert "left 1 place changed\n  shop.app.route " in str(raised.value)


def test_an_exception_of_the_block_goes_through_untouched(app: Any) -> None:
    error = ValueError("of the block")
    with pytest.raises(ValueError, match=r"^of the block$") as raised, no_leaks():  # noqa: PT012
        app.route = None
        raise error
    assert raised.value is error
    assert not hasattr(error, "__notes__")


def test_after_the_block_nothing_is_watched(app: Any) -> None:
    with no_leaks():
        pass
    app.route = None
    with no_leaks() as found:
        pass
    assert of_shop(found) == []


def test_blocks_nest(app: Any) -> None:
    with pytest.raises(LeakError, match=r"shop\.app\.NAME") as outer, no_leaks():  # noqa: PT012
        with pytest.raises(LeakError, match=r"shop\.app\.route"), no_leaks():
            app.route = None
        app.NAME = "x"
    assert "left 2 places changed" in str(outer.value)


def test_an_unknown_engine_is_refused_before_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest_mcpsmoke.state._watch", None)
    best = "watch" if sys.version_info >= (3, 12) else "version"
    refused = pytest.raises(EngineUnavailable, match=f"^{best}: the compiled part does not load")
    with refused, no_leaks(engine=best):
        pytest.fail("the block must not run")


def test_the_public_names_are_there_and_no_others() -> None:
    assert pytest_mcpsmoke.no_leaks is no_leaks
    assert pytest_mcpsmoke.LeakError is LeakError
    with pytest.raises(AttributeError, match=r"^module 'pytest_mcpsmoke' has no attribute 'leaks'$"):
        _ = pytest_mcpsmoke.leaks


def test_a_leak_fails_a_unittest_test(app: Any) -> None:
    class LeakyCase(unittest.TestCase):
        def runTest(self) -> None:
            with no_leaks():
                app.route = None

    result = unittest.TestResult()
    LeakyCase().run(result)
    assert (len(result.failures), len(result.errors)) == (1, 0)
    text = result.failures[0][1]
    assert f"{HERE}::runTest left 1 place changed" in text
    assert "shop.app.route   rebound: function route -> None" in text


def run_script(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    for name, content in SHOP.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(textwrap.dedent(content), encoding="utf-8")
    (folder / "script.py").write_text(textwrap.dedent(text), encoding="utf-8")
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_a_script_may_set_its_own_variables(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        from pytest_mcpsmoke import no_leaks
        from shop import app
        number = 1
        with no_leaks():
            number = 2
            other = 3
        print(number, other)
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 3\n", "")


def test_a_script_that_leaks_is_told_where(tmp_path: Path) -> None:
    done = run_script(
        tmp_path,
        """
        def first(): pass
        from pytest_mcpsmoke import no_leaks
        from shop import app
        with no_leaks():
            app.route = None
        """,
    )
    assert done.returncode == 1
    place = done.stderr.splitlines()[-4:]
    assert place[0] == "pytest_mcpsmoke.errors.LeakError: script.py::<module> left 1 place changed"
    assert place[1] == "  shop.app.route   rebound: function route -> None"
    assert place[2].startswith("      script.py:6  app.route = None")
    assert place[3] == '      use: monkeypatch.setattr(app, "route", None)'


def test_loading_the_package_imports_neither_pytest_nor_the_detector() -> None:
    code = (
        "import sys, pytest_mcpsmoke; print([n for n in sys.modules if 'pytest' in n])"
        "; pytest_mcpsmoke.no_leaks; print('pytest' in sys.modules, '_pytest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60)
    loaded, names = done.stdout.splitlines()
    assert "'pytest_mcpsmoke'" in loaded
    assert "pytest_mcpsmoke.state" not in loaded
    assert names == "False False"
