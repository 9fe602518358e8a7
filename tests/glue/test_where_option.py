"""--leaks-where in a run of pytest: stages, fixtures, what the detector makes of it, workers."""

from __future__ import annotations

import sys
from typing import Any

import pytest

# What app.settings holds when a test module begins is the program's; see PROGRAM in conftest.
CONFTEST = """
    import pytest
    from app import settings

    class Client:
        def __init__(self):
            self.headers = {}

        def __eq__(self, other):
            raise AssertionError("asked")

        def __getattr__(self, name):
            raise AssertionError("asked")

    @pytest.fixture(scope="module")
    def client():
        return Client()

    @pytest.fixture
    def mode():
        settings.MODE = "set up"
        yield
        settings.MODE = "torn down"
    """


def writes(suite: Any, place: str, source: str, *args: str) -> list[dict[str, Any]]:
    suite.write({"conftest.py": CONFTEST, "test_a.py": source})
    run = suite.run(f"--leaks-where={place}", *args)
    assert run.result.ret == 0
    found: list[dict[str, Any]] = run.of_type("write")
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [
        (one["stage"], one["before"], one["after"], f"{one['chain'][-1]['path']}:{one['chain'][-1]['line']}")
        for one in found
    ]


def test_a_record(suite: Any) -> None:
    source = """
        from app import settings

        def change():
            settings.NAMES = ["c"]

        def test_a():
            change()
        """
    assert writes(suite, "app.settings.NAMES", source) == [
        {
            "type": "write",
            "nodeid": "test_a.py::test_a",
            "stage": "call",
            "place": "app.settings.NAMES",
            "change": "rebound",
            "before": "('a', 'b')",
            "after": "['c']",
            "thread": "MainThread",
            "times": 1,
            "certainty": "observed",
            "chain": [
                {"path": "test_a.py", "line": 7, "function": "test_a"},
                {"path": "test_a.py", "line": 4, "function": "change"},
            ],
            "lasts": True,
        }
    ]


def test_each_stage(suite: Any) -> None:
    source = """
        from app import settings
        settings.MODE = "imported"

        def test_a(mode, monkeypatch, request):
            request.addfinalizer(lambda: setattr(settings, "MODE", "finalised"))
            monkeypatch.setattr(settings, "MODE", "patched")
        """
    found = writes(suite, "app.settings.MODE", source)
    assert [one[:3] for one in told(found)] == [
        ("import", "'live'", "'imported'"),
        ("setup", "'imported'", "'set up'"),
        ("call", "'set up'", "'patched'"),
        ("teardown", "'patched'", "'finalised'"),
        ("teardown", "'finalised'", "'set up'"),
        ("teardown", "'set up'", "'torn down'"),
    ]
    sites = [one[3] for one in told(found)]
    assert [site for site in sites if not site.startswith("/")] == [
        "test_a.py:2",
        "conftest.py:20",
        "test_a.py:5",
        "conftest.py:22",
    ]
    assert [site.rpartition("/")[2].partition(":")[0] for site in sites if site.startswith("/")] == [
        "monkeypatch.py",
        "monkeypatch.py",
    ]
    patched = found[2]["chain"]
    assert (patched[0]["path"], patched[0]["line"], patched[-1]["function"]) == ("test_a.py", 6, "setattr")


def test_the_value_of_a_fixture_whose_class_must_not_be_asked(suite: Any) -> None:
    source = """
        def test_a(client):
            client.headers["x"] = 1

        def test_b(client):
            client.headers["x"] = 2
        """
    found = writes(suite, "fixture client.headers['x']", source)
    assert told(found) == [
        ("call", "(nothing)", "1", "test_a.py:2"),
        ("call", "1", "2", "test_a.py:5"),
    ]
    assert [one["nodeid"] for one in found] == ["test_a.py::test_a", "test_a.py::test_b"]


def test_a_module_that_only_the_test_imports(suite: Any) -> None:
    source = """
        def test_a():
            import late
            late.VALUE = late.made()
        """
    suite.write({"late.py": "VALUE = None\n\ndef made():\n    return 1\n"})
    assert told(writes(suite, "late.VALUE", source)) == [("call", "None", "1", "test_a.py:3")]


def test_secrets_are_not_shown(suite: Any) -> None:
    source = """
        import os

        def test_a(monkeypatch):
            monkeypatch.setenv("API_TOKEN", "hush-hush")
        """
    suite.write({"conftest.py": CONFTEST, "test_a.py": source})
    run = suite.run("--leaks-where=os.environ['API_TOKEN']")
    first, last = run.of_type("write")
    assert (first["before"], first["after"], last["after"]) == ("(nothing)", "str ***", "(nothing)")
    assert "hush" not in "\n".join(run.result.outlines)


def test_the_detector_finds_what_it_finds_without(suite: Any) -> None:
    """The watching changes the switch interval, and on 3.11 the trace function: both are its own doing."""
    source = """
        from app import settings

        def test_a(mode):
            settings.NAMES = None

        def test_b(mode):
            pass
        """
    suite.write({"conftest.py": CONFTEST, "test_a.py": source})
    plain = suite.run().told
    interval, trace = sys.getswitchinterval(), sys.gettrace()
    assert suite.run("--leaks-where=app.settings.NAMES").told == plain != []
    assert (sys.getswitchinterval(), sys.gettrace()) == (interval, trace)


def test_there_was_no_such_place(suite: Any) -> None:
    suite.write({"test_a.py": "from app import settings\n\ndef test_a(): pass\n"})
    run = suite.run("--leaks-where=app.settings.MODEL")
    assert run.of_type("where") == [
        {
            "type": "where",
            "place": "app.settings.MODEL",
            "is_there": False,
            "nearest": ["app.settings.MODE"],
        }
    ]
    run.result.stdout.fnmatch_lines(["app.settings.MODEL: nothing wrote it"])


def test_workers_are_refused(suite: Any) -> None:
    pytest.importorskip("xdist")
    suite.write({"test_a.py": "def test_a(): pass\n"})
    run = suite.run("-p", "xdist", "-n1", "--leaks-where=app.settings.MODE", subprocess=True, report=False)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert run.result.errlines == [
        "ERROR: --leaks-where=app.settings.MODE: it watches this process only; use -n 0",
        "",
    ]
