"""A leak that another leak masks is found all the same, whatever became of the first."""

from __future__ import annotations

from typing import Any

import pytest

FIRST = """
    import os
    from app import settings

    def test_first():
        settings.MODE = "first"
        settings.TOOLS.append("first")
        settings.TREE["db"]["size"] = 1
        os.environ["APP_MODE"] = "first"
    """
SECOND = """
    import os
    from app import settings

    def test_second():
        settings.MODE = "second"
        settings.TOOLS.append("second")
        settings.TREE["db"]["size"] = 2
        os.environ["APP_MODE"] = "second"
    """
BACK_AND_ON = """
    import os
    from app import settings

    def test_second():
        settings.MODE = "live"
        settings.MODE = "second"
        settings.TOOLS.remove("first")
        settings.TOOLS.append("second")
        settings.TREE["db"]["size"] = 0
        settings.TREE["db"]["size"] = 2
        del os.environ["APP_MODE"]
        os.environ["APP_MODE"] = "second"
    """
PROGRAM = {
    "app/settings.py": """
        MODE = "live"
        TOOLS = ["echo"]
        TREE = {"db": {"size": 0}}
        """,
}
PLACES = (
    "app.settings.MODE",
    "app.settings.TOOLS",
    "app.settings.TREE['db']['size']",
    "os.environ['APP_MODE']",
)
BASELINE = (
    '{"schema": 1, "allowed": ['
    + ", ".join(
        f'{{"owner": "test_a.py::test_first", "place": "{place}", "since": "2026-11-21"}}' for place in PLACES
    )
    + "]}"
)
WAYS = {
    "reported": {},
    "allowed by a marker": {
        "test_a.py": FIRST.replace(
            "    def test_first",
            "    import pytest\n\n"
            "    @pytest.mark.allow_leak('app.settings.*', 'os.environ*', reason='it is meant')\n"
            "    def test_first",
        )
    },
    "in the baseline": {"pytest.ini": "[pytest]\nmcpsmoke_baseline = base.json\n", "base.json": BASELINE},
}
LEFT = [
    ("app.settings.MODE", "rebound", "'first'", "'second'"),
    ("app.settings.TOOLS", "mutated", "['echo', 'first']", "['echo', 'first', 'second']"),
    ("app.settings.TREE['db']['size']", "rebound", "1", "2"),
    ("os.environ['APP_MODE']", "rebound", "'first'", "'second'"),
]
AFTER_BACK = [
    LEFT[0],
    ("app.settings.TOOLS", "mutated", "['echo', 'first']", "['echo', 'second']"),
    *LEFT[2:],
]
FROM_THE_START = [
    ("app.settings.MODE", "rebound", "'live'", "'second'"),
    ("app.settings.TOOLS", "mutated", "['echo']", "['echo', 'second']"),
    ("app.settings.TREE['db']['size']", "rebound", "0", "2"),
    ("os.environ['APP_MODE']", "added", "(nothing)", "'second'"),
]


def left_by(run: Any, owner: str) -> list[tuple[str, ...]]:
    return sorted(
        (leak["place"], leak["change"], leak["before"], leak["after"])
        for leak in run.leaks
        if leak["owner"] == owner
    )


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_MODE", "")
    monkeypatch.delenv("APP_MODE")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("second", [SECOND, BACK_AND_ON], ids=["on top", "back and on"])
def test_the_second_is_named_with_what_it_found(suite: Any, engine: str, way: str, second: str) -> None:
    suite.write({**PROGRAM, "test_a.py": FIRST, "test_b.py": second, **WAYS[way]})
    run = suite.run(f"--leaks-engine={engine}")
    assert left_by(run, "test_b.py::test_second") == (LEFT if second is SECOND else AFTER_BACK)
    first = {finding["verdict"] for finding in run.of_type("finding") if "test_first" in finding["owner"]}
    assert first == {"leak" if way == "reported" else "allowed"}


def test_put_back_the_second_is_named_with_the_first_state(suite: Any, engine: str) -> None:
    suite.write({**PROGRAM, "test_a.py": FIRST, "test_b.py": SECOND})
    run = suite.run(f"--leaks-engine={engine}", "--leaks-restore")
    assert left_by(run, "test_b.py::test_second") == FROM_THE_START
    assert [leak["restored"] for leak in run.leaks] == [True] * 8


@pytest.mark.parametrize("at", range(len(PLACES)), ids=PLACES)
def test_one_place_put_back_leaves_the_others_as_they_are(suite: Any, engine: str, at: int) -> None:
    suite.write({**PROGRAM, "test_a.py": FIRST, "test_b.py": SECOND})
    pattern = PLACES[at].replace("'", "?")
    run = suite.run(f"--leaks-engine={engine}", f"--leaks-restore-only={pattern}")
    expected = [FROM_THE_START[n] if n == at else LEFT[n] for n in range(len(PLACES))]
    assert left_by(run, "test_b.py::test_second") == expected


def test_the_very_same_again_is_named_once_the_first_is_put_back(suite: Any, engine: str) -> None:
    same = {**PROGRAM, "test_a.py": FIRST, "test_b.py": FIRST.replace("test_first", "test_second")}
    suite.write(same)
    run = suite.run(f"--leaks-engine={engine}", "--leaks-restore")
    assert [place for place, *_ in left_by(run, "test_b.py::test_second")] == sorted(PLACES)


def test_a_leak_inside_the_time_of_a_fixture_is_no_less_one(suite: Any, engine: str) -> None:
    suite.write(
        {
            **PROGRAM,
            "test_a.py": """
                import pytest
                from app import settings

                @pytest.fixture(scope="module")
                def wide():
                    with pytest.MonkeyPatch.context() as patch:
                        patch.setattr(settings, "MODE", "wide")
                        patch.setitem(settings.TREE["db"], "size", 1)
                        yield

                def test_first(wide):
                    settings.MODE = "first"
                    settings.TREE["db"]["size"] = 2

                def test_second(wide):
                    settings.MODE = "second"
                    settings.TREE["db"]["size"] = 3

                def test_last(wide):
                    pass
                """,
        }
    )
    run = suite.run(f"--leaks-engine={engine}")
    assert left_by(run, "test_a.py::test_first") == [
        ("app.settings.MODE", "rebound", "'wide'", "'first'"),
        ("app.settings.TREE['db']['size']", "rebound", "1", "2"),
    ]
    assert left_by(run, "test_a.py::test_second") == [
        ("app.settings.MODE", "rebound", "'first'", "'second'"),
        ("app.settings.TREE['db']['size']", "rebound", "2", "3"),
    ]
    assert len(run.leaks) == 4  # and none of the fixture's, which puts back what it found


def test_who_puts_the_first_state_back_leaks_nothing_and_the_next_does(suite: Any, engine: str) -> None:
    suite.write(
        {
            **PROGRAM,
            "test_a.py": FIRST,
            "test_b.py": """
                import os
                from app import settings

                def test_back():
                    settings.MODE = "live"
                    settings.TOOLS.remove("first")
                    settings.TREE["db"]["size"] = 0
                    del os.environ["APP_MODE"]
                """,
            "test_c.py": SECOND,
        }
    )
    run = suite.run(f"--leaks-engine={engine}")
    assert left_by(run, "test_b.py::test_back") == []
    assert left_by(run, "test_c.py::test_second") == FROM_THE_START


HOLDS = """
    from app import settings

    class Fake:
        retries = 1

    def test_first():
        settings.Client = Fake
        settings.TREE = {"db": {"size": 1}}
        settings.extra = []
    """
WRITES = """
    from app import settings

    def test_second():
        settings.Client.retries = 2
        settings.TREE["db"]["size"] = 2
        settings.extra.append(1)
    """


@pytest.mark.parametrize("lines", [[], ["app.settings.*  # it is meant"]], ids=["reported", "allowed"])
def test_what_the_first_put_there_is_looked_into(suite: Any, engine: str, lines: list[str]) -> None:
    suite.write(
        {
            "app/settings.py": "TREE = {}\nclass Client: pass\n",
            "first/conftest.py": f"mcpsmoke_allow = {lines!r}\n",
            "first/test_a.py": HOLDS,
            "second/test_b.py": WRITES,
        }
    )
    run = suite.run(f"--leaks-engine={engine}")
    assert left_by(run, "second/test_b.py::test_second") == [
        ("app.settings.TREE['db']['size']", "rebound", "1", "2"),
        ("app.settings.extra", "mutated", "[]", "[1]"),
        ("test_a.Fake.retries", "rebound", "1", "2"),
    ]
