"""One entry for what has one cause, and for a place that several left; every place still has its record."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_mcpsmoke.state.describe import describe_pair

APP = {
    "app/registry.py": """
        HANDLERS = []
        CLASSES = {}

        class Base:
            def __init_subclass__(cls):
                CLASSES[cls.__name__] = cls
        """,
    "app/client.py": """
        from app.registry import HANDLERS, Base

        LIMIT = 3

        class Client(Base): pass

        class Other: pass

        def one(): pass

        def two(): pass
        """,
    "app/user.py": "from app.client import Client, Other, one, two\n",
}
HEAD = """\
import asyncio
import importlib
import logging.config
import os
import sys
from unittest import mock

import pytest
import app.client, app.registry, app.settings, app.user

"""
ACTS = {
    "reload": (
        "importlib.reload(app.client)",
        [
            "  app.client   rebound: module app.client -> reloaded: Client, Other, one, two defined anew",
            "      test_case.py:12  importlib.reload(app.client)",
            "      use: reload it again in a fixture's teardown, and import names from it inside the tests",
        ],
    ),
    "imported anew": (
        'for name in ("app", "app.client", "app.registry", "app.user"): del sys.modules[name]\n'
        "    import app.user as again; assert again",
        [
            "  modules imported anew: 4 places",
            "    sys.modules['app']            rebound: module app -> module app",
            "    sys.modules['app.registry']   rebound: module app.registry -> module app.registry",
            "    sys.modules['app.client']     rebound: module app.client -> module app.client",
            "    and 1 more",
            '      test_case.py:12  for name in ("app", "app.client", "app.registry", "app.user"):'
            " del sys.modules[name]",
            "      use: monkeypatch.setitem(sys.modules, …) or monkeypatch.delitem(sys.modules, …)",
        ],
    ),
    "one statement": (
        "app.client.LIMIT = app.client.one = app.client.two = app.client.cat = 0",
        [
            "  one statement, test_case.py:12: 4 places",
            "    app.client.LIMIT   rebound: 3 -> 0",
            "    app.client.one     rebound: function one -> 0",
            "    app.client.two     rebound: function two -> 0",
            "    and 1 more",
            "      test_case.py:12  app.client.LIMIT = app.client.one = app.client.two = app.client.cat = 0",
            '      use: monkeypatch.setattr(app.client, "LIMIT", 0)',
        ],
    ),
    "two places of one statement": (
        "app.client.LIMIT, app.client.one = 1, 2",
        [
            "  app.client.LIMIT   rebound: 3 -> 1",
            "      test_case.py:12  app.client.LIMIT, app.client.one = 1, 2",
            '      use: monkeypatch.setattr(app.client, "LIMIT", …)',
            "  app.client.one     rebound: function one -> 2",
            "      test_case.py:12  app.client.LIMIT, app.client.one = 1, 2",
            '      use: monkeypatch.setattr(app.client, "one", …)',
        ],
    ),
    "a class and its registration": (
        "class Fake(app.registry.Base): pass\n    app.client.Client = Fake",
        [
            "  class Fake, and where it is registered: 2 places",
            "    app.client.Client              rebound: class Client -> class Fake",
            "    app.registry.CLASSES['Fake']   added: (nothing) -> class Fake",
            "      test_case.py:13  app.client.Client = Fake",
            '      use: monkeypatch.setattr(app.client, "Client", Fake)',
        ],
    ),
    "a patch": (
        'mock.patch.object(app.client, "LIMIT", 4).start()',
        [
            "  a patch started and never stopped: 2 places",
            "    app.client.LIMIT                rebound: 3 -> 4",
            "    unittest.mock patches started   mutated: [] -> [_patch object]",
            '      test_case.py:12  mock.patch.object(app.client, "LIMIT", 4).start()',
            "      use: start it in a with statement, or stop it in a fixture's teardown",
        ],
    ),
    "a dict that is patched": (
        'mock.patch.dict(app.registry.CLASSES, {"x": 1}).start()',
        [
            "  a patch started and never stopped: 2 places",
            "    app.registry.CLASSES['x']       added: (nothing) -> 1",
            "    unittest.mock patches started   mutated: [] -> [_patch_dict object]",
            '      test_case.py:12  mock.patch.dict(app.registry.CLASSES, {"x": 1}).start()',
            "      use: start it in a with statement, or stop it in a fixture's teardown",
        ],
    ),
    "a folder": (
        "os.chdir('app')",
        [
            "  os.getcwd()   rebound: {root} -> {app}",
            "      test_case.py:12  os.chdir('app')",
            "      use: monkeypatch.chdir(…)",
        ],
    ),
}


def told(run: Any) -> list[str]:
    """The section without what says how to run the test again, and where each line was found."""
    return [line.removesuffix("  (searched)") for line in run.section[1:-1] if "again: " not in line]


@pytest.mark.parametrize("name", ACTS)
def test_what_one_act_changed_is_one_entry(suite: Any, name: str) -> None:
    body, expected = ACTS[name]
    suite.write({**APP, "test_case.py": f"{HEAD}def test_it():\n    {body}\n"})
    run = suite.run(subprocess=True)
    here = describe_pair(str(suite.path), str(suite.path / "app"), "")  # long paths are cut
    assert told(run) == [line.replace("{root}", here[0]).replace("{app}", here[1]) for line in expected]


def test_each_place_of_one_act_has_its_record(suite: Any, engine: str) -> None:
    suite.write({**APP, "test_case.py": f"{HEAD}def test_it():\n    {ACTS['imported anew'][0]}\n"})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    assert sorted((leak["place"], leak["cause"]) for leak in run.leaks) == [
        (f"sys.modules['{name}']", "modules imported anew")
        for name in ("app", "app.client", "app.registry", "app.user")
    ]
    assert run.records[-1]["leaks"] == 4


def test_what_workers_find_is_folded_in_the_same_way(suite: Any) -> None:
    pytest.importorskip("xdist")
    body = ACTS["one statement"][0]
    suite.write({**APP, "test_case.py": f"{HEAD}def test_it():\n    {body}\n"})
    alone, spread = suite.run(subprocess=True), suite.run("-p", "xdist", "-n", "1", subprocess=True)
    assert spread.section == alone.section
    assert spread.leaks == alone.leaks
    assert len({leak["cause"] for leak in alone.leaks}) == 1


def test_the_extent_of_a_reload_is_in_the_record(suite: Any, engine: str) -> None:
    suite.write({**APP, "test_case.py": f"{HEAD}def test_it():\n    importlib.reload(app.client)\n"})
    run = suite.run(f"--leaks-engine={engine}", subprocess=True)
    (leak,) = run.leaks
    assert leak["cause"] == "reload of app.client"
    assert leak["extent"] == [f"app.client.{name}" for name in ("Client", "Other", "one", "two")]
    act = [one["place"] for one in run.of_type("finding") if one.get("cause") == leak["cause"]]
    assert sorted(act) == ["app.client", "app.registry.CLASSES['Client']"]


def test_the_extent_of_many_keys_is_in_the_record(suite: Any) -> None:
    body = "app.registry.CLASSES.update(zip('abcdef', range(6)))"
    suite.write({**APP, "test_case.py": f"{HEAD}def test_it():\n    {body}\n"})
    (leak,) = suite.run().leaks
    assert leak["place"] == "app.registry.CLASSES"
    assert leak["extent"] == [f"app.registry.CLASSES['{key}']" for key in "abcdef"]


def test_an_event_loop_left_open_with_its_descriptors(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import asyncio

                def test_it():
                    asyncio.set_event_loop(asyncio.new_event_loop())
                """
        }
    )
    run = suite.run("--leaks=report", "-W", "ignore", subprocess=True)
    assert {leak["cause"] for leak in run.leaks} == {"an event loop left open"}
    assert [leak["probe"] for leak in run.leaks] == ["event loop", *["descriptors"] * 3]
    assert run.section[:3] == [
        "test_case.py::test_it left 4 places changed",
        "  an event loop left open: 4 places",
        "    asyncio.get_event_loop()      rebound: None -> _UnixSelectorEventLoop object",
    ]


def test_a_configuration_of_logging(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import logging.config

                def test_it():
                    loggers = {"a": {"level": "INFO"}, "b": {"level": 5}}
                    logging.config.dictConfig({"version": 1, "loggers": loggers, "root": {"level": 7}})
                """
        }
    )
    run = suite.run("-p", "no:logging", subprocess=True)
    assert {leak["cause"] for leak in run.leaks} == {"one statement, test_case.py:5"}
    assert run.section[1] == "  one statement, test_case.py:5: 3 places"


def test_reloads_of_two_modules_are_two_causes(suite: Any) -> None:
    suite.write(
        {
            **APP,
            "app/holder.py": "from app.settings import connect\n",
            "test_case.py": f"{HEAD}import app.holder\n\ndef test_it():\n    importlib.reload(app.client)\n"
            "    importlib.reload(app.settings)\n",
        }
    )
    run = suite.run(subprocess=True)
    assert [(leak["place"], leak["cause"]) for leak in run.leaks] == [
        ("app.client", "reload of app.client"),
        ("app.settings", "reload of app.settings"),
    ]


def test_one_place_left_by_several_tests(suite: Any) -> None:
    suite.write(
        {
            **APP,
            "test_case.py": HEAD
            + "".join(f"def test_{n}(): app.settings.MODE = {n}\n\n\n" for n in range(5))
            + "def test_other():\n    app.settings.LEVEL = 2\n",
        }
    )
    run = suite.run("--leaks-engine=scan")
    assert run.section == [
        "5 tests left app.settings.MODE changed",
        "  test_case.py::test_0   rebound: 'live' -> 0",
        "      test_case.py:11  def test_0(): app.settings.MODE = 0  (searched)",
        '      use: monkeypatch.setattr(app.settings, "MODE", 0)',
        "  test_case.py::test_1   rebound: 0 -> 1   test_case.py:14",
        "  test_case.py::test_2   rebound: 1 -> 2   test_case.py:17",
        "  and 2 more",
        "  again: pytest -p mcpsmoke --leaks-engine=scan test_case.py::test_0",
        "test_case.py::test_other left 1 place changed",
        "  app.settings.LEVEL   rebound: 1 -> 2",
        "      test_case.py:27  app.settings.LEVEL = 2  (searched)",
        '      use: monkeypatch.setattr(app.settings, "LEVEL", 2)',
        "  again: pytest -p mcpsmoke --leaks-engine=scan test_case.py::test_other",
        "6 leaks left by 6 tests; 0 warm-ups, 0 allowed",
    ]
    assert [leak["owner"] for leak in run.leaks if leak["place"] == "app.settings.MODE"] == [
        f"test_case.py::test_{n}" for n in range(5)
    ]


def test_one_registry_that_grows_with_every_test(suite: Any, engine: str) -> None:
    suite.write(
        {
            **APP,
            "test_case.py": HEAD
            + "".join(f"def test_{n}():\n    app.registry.CLASSES['{n}'] = {n}\n\n\n" for n in range(4)),
        }
    )
    run = suite.run(f"--leaks-engine={engine}")
    assert run.section == [
        "4 tests left app.registry.CLASSES[…] changed",
        "  test_case.py::test_0   ['0']   added: (nothing) -> 0",
        "      test_case.py:12  app.registry.CLASSES['0'] = 0  (searched)",
        """      use: monkeypatch.setitem(app.registry.CLASSES, "0", 0)""",
        "  test_case.py::test_1   ['1']   added: (nothing) -> 1   test_case.py:16",
        "  test_case.py::test_2   ['2']   added: (nothing) -> 2   test_case.py:20",
        "  and 1 more",
        f"  again: pytest -p mcpsmoke --leaks-engine={engine} test_case.py::test_0",
        "4 leaks left by 4 tests; 0 warm-ups, 0 allowed",
    ]
    assert {leak["within"] for leak in run.leaks} == {"app.registry.CLASSES"}


def test_one_list_that_grows_with_every_test(suite: Any) -> None:
    suite.write(
        {
            **APP,
            "test_case.py": f"{HEAD}@pytest.mark.parametrize('n', range(9))\ndef test_it(n):\n"
            "    app.registry.HANDLERS.append(n)\n",
        }
    )
    assert suite.run().section[0] == "9 tests left app.registry.HANDLERS changed"


def test_descriptors_are_one_place_whatever_their_numbers(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import os

                KEPT = []

                def test_a(): KEPT.append(open(os.devnull))

                def test_b(): KEPT.append(open(os.devnull))
                """
        }
    )
    run = suite.run("-W", "ignore", "--leaks-unread=test_case", subprocess=True)
    assert run.section[0] == "2 tests left file descriptor … (/dev/null) changed"


def test_what_was_added_is_not_what_was_removed(suite: Any) -> None:
    suite.write(
        {
            "app/registry.py": "TABLE = {'x': 1}\n",
            "test_case.py": """
                from app import registry

                def test_a(): registry.TABLE["y"] = 2

                def test_b(): del registry.TABLE["x"]
                """,
        }
    )
    heads = [line for line in suite.run().section if not line.startswith(" ")]
    assert heads[:-1] == [f"test_case.py::test_{name} left 1 place changed" for name in "ab"]


def test_a_test_and_a_fixture_that_left_the_same_place(suite: Any) -> None:
    suite.write(
        {
            "test_case.py": """
                import pytest
                from app import settings

                @pytest.fixture(scope="module")
                def wide():
                    settings.MODE = "wide"

                def test_a(): settings.MODE = "a"

                def test_b(wide): pass
                """
        }
    )
    assert suite.run("--leaks-engine=scan").section == [
        "1 test, 1 fixture left app.settings.MODE changed",
        "  test_case.py::test_a   rebound: 'live' -> 'a'",
        '      test_case.py:8  def test_a(): settings.MODE = "a"  (searched)',
        '      use: monkeypatch.setattr(settings, "MODE", "a")',
        "  module fixture test_case.py::wide (set up for test_case.py::test_b)   rebound: 'a' -> 'wide'"
        "   test_case.py:6",
        "  again: pytest -p mcpsmoke --leaks-engine=scan test_case.py::test_a",
        "2 leaks left by 1 test, 1 fixture; 0 warm-ups, 0 allowed",
    ]


# a screenful

MANY = {
    "app/registry.py": "".join(f"NAME_{n} = 0\n" for n in range(60)) + "LIST = []\n",
    "test_case.py": "from app import registry\n\n"
    + "".join(f"def test_{n}(): registry.NAME_{n} = 1\n\n" for n in range(60))
    + "def test_a(): registry.LIST.append(1)\n\ndef test_b(): registry.LIST.append(2)\n",
}


def test_a_long_section_is_cut_to_a_screenful(suite: Any) -> None:
    suite.write(MANY)
    run = suite.run()
    assert len(run.section) == 38
    assert run.section[0] == "2 tests left app.registry.LIST changed"  # what most left comes first
    assert run.section[6] == "test_case.py::test_0 left 1 place changed"
    assert run.section[-2:] == [
        "and 54 more leaks left by 54 tests: --leaks-show=all shows them, leaks.jsonl has them",
        "62 leaks left by 62 tests; 0 warm-ups, 0 allowed",
    ]
    assert len(run.leaks) == 62


@pytest.mark.parametrize(
    ("option", "told", "others"),
    [("--leaks-show=12", 6, 60), ("--leaks-show=5", 0, 62), ("--leaks-show=1", 0, 62)],
)
def test_how_long_it_may_be_can_be_chosen(suite: Any, option: str, told: int, others: int) -> None:
    suite.write(MANY)
    section = suite.run(option, report=False).section
    assert section[told:] == [
        f"and {others} more leaks left by {others} tests: --leaks-show=all shows them",
        "62 leaks left by 62 tests; 0 warm-ups, 0 allowed",
    ]


@pytest.mark.parametrize("option", ["--leaks-show=all", "-v"])
def test_all_of_it_is_shown_on_demand(suite: Any, option: str) -> None:
    suite.write(MANY)
    section = suite.run(option).section
    assert len(section) == 60 * 5 + 6 + 1
    assert not any("more" in line for line in section)


def test_one_owner_that_left_many_places(suite: Any) -> None:
    source = MANY["test_case.py"].replace("def test_", "def leak_")
    calls = "".join(f"    leak_{n}()\n" for n in range(60))
    suite.write({**MANY, "test_case.py": f"{source}\ndef test_it():\n{calls}"})
    section = suite.run().section
    assert len(section) <= 40
    assert section[0] == "test_case.py::test_it left 60 places changed"
    assert section[-3:] == [
        "  and 49 more",
        "  again: pytest -p mcpsmoke test_case.py::test_it",
        "60 leaks left by 1 test; 0 warm-ups, 0 allowed",
    ]


def test_stale_allowances_and_leaks_fit_one_screen(suite: Any) -> None:
    lines = "\n".join(f"    app.none_{n}  # why" for n in range(50))
    suite.write({**MANY, "pytest.ini": f"[pytest]\nmcpsmoke_allow =\n{lines}\n"})
    run = suite.run()
    assert len(run.section) <= 40
    assert run.section[-1] == "and 41 more stale allowances"
    assert len(run.of_type("stale")) == 50


@pytest.mark.parametrize("value", ["0", "-1", "some", ""])
def test_a_length_that_is_none_is_refused(suite: Any, value: str) -> None:
    suite.write({"test_case.py": "def test_it(): pass\n"})
    run = suite.run(f"--leaks-show={value}", report=False)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    wanted = f"ERROR: --leaks-show={value}: a number of lines from 1 on, or all, is wanted"
    assert wanted in run.result.errlines
