"""--leaks-undo: a cause that is a warm-up is proven by undoing it, in a process that is thrown away."""

from __future__ import annotations

from typing import Any

import pytest

T = "test_case.py"
PAIR = (f"{T}::test_polluter", f"{T}::test_victim")
PROGRAM = {
    "mcplib.py": "KIND = 'real'\n",
    "app/gate.py": """
        import os
        from functools import cached_property, lru_cache

        import mcplib

        KIND = mcplib.KIND
        _client = None
        _memo = {}

        def client():
            global _client
            if _client is None:
                _client = object()
            return _client

        @lru_cache
        def url():
            return os.environ.get("APP_URL", "default")

        def square(number):
            if number not in _memo:
                _memo[number] = number * number
            return _memo[number]

        class Settings:
            @cached_property
            def mode(self):
                return os.environ.get("APP_MODE", "live")

        SETTINGS = Settings()
        """,
}
STUBS_BEFORE_IMPORTING = """
    import sys
    import types

    def test_polluter():
        import app.gate

    def test_victim(monkeypatch):
        stub = types.ModuleType("mcplib")
        stub.KIND = "stub"
        monkeypatch.setitem(sys.modules, "mcplib", stub)
        from app import gate
        assert gate.KIND == "stub"
    """
STUBBED_BY_POLLUTER = """
    import sys
    import types

    def test_polluter(monkeypatch):
        stub = types.ModuleType("mcplib")
        stub.KIND = "stub"
        monkeypatch.setitem(sys.modules, "mcplib", stub)
        from app import gate

    def test_victim():
        from app import gate
        assert gate.KIND == "real"
    """
CACHED = """
    from app import gate

    def test_polluter():
        gate.url()

    def test_victim(monkeypatch):
        monkeypatch.setenv("APP_URL", "mine")
        assert gate.url() == "mine"
    """
CACHED_PROPERTY = """
    from app import gate

    def test_polluter():
        gate.SETTINGS.mode

    def test_victim(monkeypatch):
        monkeypatch.setenv("APP_MODE", "test")
        assert gate.SETTINGS.mode == "test"
    """
SINGLETON = """
    from app import gate

    def test_polluter():
        gate.client()

    def test_victim():
        assert gate._client is None
    """
MEMO = """
    from app import gate

    def test_polluter():
        gate.square(3)

    def test_victim():
        assert gate._memo == {}
    """
TWINS = """
    import sys

    def test_polluter():
        for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
            del sys.modules[name]
        import app.gate

    def test_victim(monkeypatch):
        from conftest import client
        monkeypatch.setattr("app.gate._client", 7)
        assert client() == 7
    """
KEEPS = "from app.gate import client\n"  # as a test module of the user's would, but for one that is collected
IMPORTED = "a module was imported"
POLLUTED = {
    "stubs before importing": (STUBS_BEFORE_IMPORTING, "sys.modules['app.gate']"),
    "bound to a stub": (STUBBED_BY_POLLUTER, "app.gate"),
    "lru_cache": (CACHED, "app.gate.url.cache_info()"),
    "cached_property": (CACHED_PROPERTY, "app.gate.SETTINGS.mode"),
    "singleton": (SINGLETON, "app.gate._client"),
    "memo": (MEMO, "app.gate._memo[3]"),
    "twins": (TWINS, "sys.modules['app.gate']"),
}


def left(run: Any, owner: str = PAIR[0]) -> dict[str, tuple[str, bool | None]]:
    """What an owner left: verdict and whether it was put back, by place; the same place counts once."""
    found = [finding for finding in run.of_type("finding") if finding["owner"] == owner]
    return {finding["place"]: (finding["verdict"], finding["restored"]) for finding in found}


@pytest.mark.parametrize(("source", "place"), POLLUTED.values(), ids=POLLUTED)
def test_undoing_the_one_place_heals_and_undoing_everything_does(suite: Any, source: str, place: str) -> None:
    suite.write(PROGRAM | {T: source} | ({"conftest.py": KEEPS} if source is TWINS else {}))
    plain = suite.run(*PAIR, subprocess=True)
    plain.result.assert_outcomes(passed=1, failed=1)
    assert all(restored is None for _, restored in left(plain).values())

    one = suite.run(f"--leaks-undo={place}", *PAIR, subprocess=True)
    one.result.assert_outcomes(passed=2)
    assert {at for at, (_, restored) in left(one).items() if restored is not None} == {place}

    everything = suite.run("--leaks-undo=*", *PAIR, subprocess=True)
    everything.result.assert_outcomes(passed=2)
    assert left(everything)[place][1] is True
    assert left(everything)[place][0] == ("leak" if source in (TWINS, STUBBED_BY_POLLUTER) else "warm-up")


def test_the_findings_of_a_first_import(suite: Any) -> None:
    suite.write(PROGRAM | {T: STUBS_BEFORE_IMPORTING})
    run = suite.run("--leaks-undo=*", PAIR[0], subprocess=True)
    found = [
        (finding["place"], finding["probe"], finding["change"], finding["verdict"], finding["reason"])
        for finding in run.of_type("finding")
        if finding["probe"] == "sys.modules"
    ]
    assert found == [
        ("sys.modules['app']", "sys.modules", "added", "warm-up", IMPORTED),
        ("sys.modules['mcplib']", "sys.modules", "added", "warm-up", IMPORTED),
        ("sys.modules['app.gate']", "sys.modules", "added", "warm-up", IMPORTED),
    ]
    assert left(run) == {
        "app.gate": ("warm-up", True),
        "sys.modules['app']": ("warm-up", True),
        "sys.modules['mcplib']": ("warm-up", True),
        "sys.modules['app.gate']": ("warm-up", True),
    }


def test_a_run_without_the_option_records_no_import(suite: Any) -> None:
    suite.write(PROGRAM | {T: STUBS_BEFORE_IMPORTING})
    assert left(suite.run(PAIR[0], subprocess=True)) == {"app.gate": ("warm-up", None)}
    assert left(suite.run("--leaks-restore", PAIR[0], subprocess=True)) == {"app.gate": ("warm-up", None)}


def test_the_attribute_alone_is_not_taken_from_a_package(suite: Any) -> None:
    suite.write(PROGRAM | {T: STUBS_BEFORE_IMPORTING})
    run = suite.run("--leaks-undo=app.gate", PAIR[0], subprocess=True)
    assert left(run)["app.gate"] == ("warm-up", None)


def test_an_import_of_a_test_module_is_undone_only_when_it_is_named(suite: Any) -> None:
    """The polluter is a whole file: its import was the first of the app's."""
    suite.write(PROGRAM | {T: STUBS_BEFORE_IMPORTING, "test_a.py": "from app import gate\n"})
    asked, place = ("test_a.py", PAIR[1]), "sys.modules['app.gate']"
    globbed = suite.run("--leaks-undo=*", *asked, subprocess=True)
    globbed.result.assert_outcomes(failed=1)
    assert left(globbed, "test_a.py")[place] == ("warm-up", False)
    named = suite.run(f"--leaks-undo={place}", *asked, subprocess=True)
    named.result.assert_outcomes(passed=1)
    assert left(named, "test_a.py")[place] == ("warm-up", True)


def test_a_wide_fixture_is_undone_when_its_time_is_over(suite: Any) -> None:
    suite.write(
        PROGRAM
        | {
            T: """
            import sys
            import pytest

            class TestOne:
                @pytest.fixture(scope="class")
                def gate(self):
                    from app import gate
                    return gate

                def test_first(self, gate):
                    pass

                def test_second(self, gate):
                    assert sys.modules["app.gate"] is gate

            def test_victim():
                assert "app.gate" not in sys.modules
            """
        }
    )
    suite.run(subprocess=True).result.assert_outcomes(passed=2, failed=1)
    run = suite.run("--leaks-undo=sys.modules['app.gate']", subprocess=True)
    run.result.assert_outcomes(passed=3)
    assert left(run, f"{T}::gate")["sys.modules['app.gate']"] == ("warm-up", True)


def test_what_cannot_be_loaded_twice_stays_and_pytest_goes_on(suite: Any) -> None:
    suite.write(
        {
            "fast/__init__.py": "import fast._speed\n",
            "fast/_speed.py": """
                import importlib.machinery
                __file__ = f"_speed{importlib.machinery.EXTENSION_SUFFIXES[0]}"  # as one has that is compiled
                """,
            T: """
                LOADED = []

                def load():
                    import fast, sqlite3, wsgiref.util, pytest_mcpsmoke.order.rates as rates
                    return fast, fast._speed, sqlite3, wsgiref.util, rates

                def test_polluter():
                    LOADED.extend(load())

                def test_victim():
                    assert [*map(id, LOADED)] == [*map(id, load())]

                def test_fails():
                    assert {"a": 1} == {"a": 2}
                """,
        }
    )
    suite.run("--leaks-undo=*", subprocess=True).result.assert_outcomes(passed=1, failed=2)  # LOADED is empty
    run = suite.run("--leaks-undo=sys.modules[*]", subprocess=True)
    run.result.assert_outcomes(passed=2, failed=1)
    kept = {
        finding["place"]: finding["reason"]
        for finding in run.of_type("finding")
        if finding["owner"] == PAIR[0] and finding["restored"] is False
    }
    assert kept["sys.modules['fast']"] == kept["sys.modules['fast._speed']"]
    assert kept["sys.modules['fast']"].startswith("its package holds an extension module")
    assert kept["sys.modules['sqlite3']"].startswith("it is the standard library's")
    assert kept["sys.modules['pytest_mcpsmoke.order.rates']"].startswith("it belongs to pytest")


def test_a_cache_that_held_something_before_is_emptied(suite: Any) -> None:
    suite.write(
        {
            "app/twice.py": "import functools\n\n@functools.cache\ndef twice(n):\n    return n * 2\n",
            "conftest.py": "from app.twice import twice\ntwice(1)\n",
            T: """
            from app.twice import twice

            def test_polluter():
                twice(2)

            def test_victim():
                assert twice.cache_info().currsize == 0
            """,
        }
    )
    run = suite.run("--leaks-undo=app.twice.*", subprocess=True)
    run.result.assert_outcomes(passed=2)
    assert left(run) == {"app.twice.twice.cache_info()": ("warm-up", True)}


@pytest.mark.parametrize(
    ("arguments", "ini", "source"),
    [
        (("--leaks=off",), "", "--leaks=off"),
        ((), "[pytest]\nmcpsmoke_leaks = off\n", "ini mcpsmoke_leaks=off"),
    ],
)
def test_with_the_detector_off_it_is_refused(
    suite: Any, arguments: tuple[str, ...], ini: str, source: str
) -> None:
    suite.write({T: "def test_it():\n    pass\n", "pytest.ini": ini})
    run = suite.run("--leaks-undo=app.*", *arguments, subprocess=True)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    message = f"ERROR: --leaks-undo=app.*: with {source} nothing is seen; use --leaks=report"
    assert [line for line in run.result.errlines if line] == [message]
