"""The markers smoke, nd_real and allow_leak."""

from __future__ import annotations

from typing import Any

import pytest

REASON = "nd_real: talks to something real; set ND_REAL=1 to run it"
TIERS = """
import pytest

@pytest.mark.smoke
def test_smoke(): pass

@pytest.mark.nd_real
def test_real(): pass

@pytest.mark.nd_real
class TestReal:
    def test_method(self): pass
"""


def test_the_markers_are_registered(suite: Any) -> None:
    suite.write({"test_case.py": TIERS})
    suite.run("--strict-markers", "--leaks=off").result.assert_outcomes(passed=1, skipped=2)


def test_nd_real_is_skipped_with_its_reason(suite: Any) -> None:
    suite.write({"test_case.py": TIERS})
    run = suite.run("-rs", "-v")
    run.result.assert_outcomes(passed=1, skipped=2)
    run.result.stdout.fnmatch_lines([f"SKIPPED [[]1] test_case.py*: {REASON}"] * 2)
    assert [test["outcome"] for test in run.of_type("test")] == ["passed", "skipped", "skipped"]


@pytest.mark.parametrize(("value", "passed", "skipped"), [("1", 3, 0), ("0", 1, 2), ("", 1, 2)])
def test_nd_real_runs_when_the_environment_says_1(
    suite: Any, monkeypatch: pytest.MonkeyPatch, value: str, passed: int, skipped: int
) -> None:
    monkeypatch.setenv("ND_REAL", value)
    suite.write({"test_case.py": TIERS})
    suite.run().result.assert_outcomes(passed=passed, skipped=skipped)


def test_the_gate_does_not_depend_on_the_detector(suite: Any) -> None:
    suite.write({"test_case.py": TIERS})
    suite.run("--leaks=off").result.assert_outcomes(passed=1, skipped=2)


def verdicts(run: Any) -> dict[str, tuple[str, str | None]]:
    """Verdict and reason by "test place"."""
    return {
        f"{each['owner'].rpartition('::')[2]} {each['place']}": (each["verdict"], each["reason"])
        for each in run.of_type("finding")
    }


def allow(*places: str, reason: str = "it restarts") -> str:
    return f"pytest.mark.allow_leak({', '.join(map(repr, places))}, reason={reason!r})"


TEST = """
def test_it():
    settings.MODE = "x"
    settings.LEVEL = 2
    settings.Client.retries = 4
"""
IMPORTS = "import pytest\nfrom app import settings\n"


@pytest.mark.parametrize(
    ("places", "allowed"),
    [
        (["app.settings.MODE"], ["MODE"]),
        (["app.settings.MODE", "app.settings.LEVEL"], ["LEVEL", "MODE"]),
        (["app.settings.*"], ["Client.retries", "LEVEL", "MODE"]),
        (["app.settings.Client.*"], ["Client.retries"]),
        (["*.L?VEL"], ["LEVEL"]),
        (["*.L[A-F]VEL"], []),
        (["settings.MODE", "app.settings", "app.settings.mode"], []),
    ],
    ids=", ".join,
)
def test_by_place_and_by_glob(suite: Any, places: list[str], allowed: list[str]) -> None:
    suite.write({"test_case.py": f"{IMPORTS}\n@{allow(*places)}{TEST}"})
    run = suite.run("--leaks=fail")
    found = {place.rpartition("app.settings.")[2]: verdict for place, verdict in verdicts(run).items()}
    assert (
        sorted(place for place, verdict in found.items() if verdict == ("allowed", "it restarts")) == allowed
    )
    assert sorted(place for place, verdict in found.items() if verdict == ("leak", None)) == sorted(
        {"MODE", "LEVEL", "Client.retries"} - set(allowed)
    )
    run.result.assert_outcomes(passed=1, errors=int(len(allowed) < 3))


def test_on_module_and_class_and_test(suite: Any) -> None:
    source = f"""
pytestmark = {allow("app.settings.MODE", reason="module")}

@{allow("app.settings.LEVEL", reason="class")}
class TestIt:
    @{allow("app.settings.NAMES", reason="test")}
    def test_one(self):
        settings.MODE, settings.LEVEL, settings.NAMES, settings.ADDED = 1, 2, 3, 4

    @{allow("app.settings.MODE", reason="closer than the module")}
    def test_two(self):
        settings.MODE = settings.LEVEL = settings.NAMES = object()
"""
    suite.write({"test_case.py": IMPORTS + source})
    run = suite.run()
    assert verdicts(run) == {
        "test_one app.settings.MODE": ("allowed", "module"),
        "test_one app.settings.LEVEL": ("allowed", "class"),
        "test_one app.settings.NAMES": ("allowed", "test"),
        "test_one app.settings.ADDED": ("leak", None),
        "test_two app.settings.MODE": ("allowed", "closer than the module"),
        "test_two app.settings.LEVEL": ("allowed", "class"),
        "test_two app.settings.NAMES": ("leak", None),
    }
    assert run.section[-1] == "2 leaks left by 2 tests; 0 warm-ups, 5 allowed"


def test_a_mark_on_the_module_covers_its_import(suite: Any) -> None:
    source = f'pytestmark = {allow("app.settings.MODE")}\nsettings.MODE = "x"\nsettings.LEVEL = 2\n'
    suite.write({"test_case.py": IMPORTS + source + "def test_it(): pass\n"})
    assert verdicts(suite.run()) == {
        "test_case.py app.settings.MODE": ("allowed", "it restarts"),
        "test_case.py app.settings.LEVEL": ("leak", None),
    }


def test_added_by_a_hook(suite: Any) -> None:
    suite.write(
        {
            "conftest.py": f"""
                import pytest

                def pytest_collection_modifyitems(items):
                    for item in items:
                        item.add_marker({allow("app.settings.*")})
                """,
            "test_case.py": IMPORTS + TEST,
        }
    )
    assert {verdict for verdict, _ in verdicts(suite.run()).values()} == {"allowed"}
