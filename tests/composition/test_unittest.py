"""Items of unittest: set-up of classes is a class's, clean-ups of all kinds are waited for."""

from __future__ import annotations

import asyncio  # noqa: F401 - so that runs in this process share it, and the running loop that C keeps
from collections.abc import Callable
from typing import Any

import pytest

CLEAN = {
    "test_clean.py": """
        import asyncio
        import logging
        import os
        import shutil
        import tempfile
        import unittest
        import warnings
        from unittest import mock

        from app import settings

        class TestPlain(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.mode = settings.MODE
                settings.MODE = "class"
                cls.addClassCleanup(setattr, settings, "LEVEL", settings.LEVEL)
                settings.LEVEL = 9
                cls.folder = tempfile.mkdtemp()
                cls.addClassCleanup(shutil.rmtree, cls.folder)
                cls.enterClassContext(mock.patch.dict(os.environ, {"OF_CLASS": "1"}))

            @classmethod
            def tearDownClass(cls):
                settings.MODE = cls.mode

            def setUp(self):
                self.addCleanup(setattr, settings, "NAMES", settings.NAMES)
                settings.NAMES = ()
                self.enterContext(mock.patch("app.settings.connect"))

            def test_class_state(self):
                self.assertEqual((settings.MODE, settings.LEVEL), ("class", 9))

            def test_subtests(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertLess(number, 3)

            def test_assertions(self):
                with self.assertLogs("some", "INFO"), self.assertWarns(DeprecationWarning):
                    logging.getLogger("some").info("hello")
                    warnings.warn("old", DeprecationWarning)

            def test_skipped(self):
                self.skipTest("for a reason")

            @unittest.expectedFailure
            def test_expected(self):
                self.fail()

        class TestAsync(unittest.IsolatedAsyncioTestCase):
            def setUp(self):
                settings.MODE = "async"

            async def asyncSetUp(self):
                settings.LEVEL = 5
                self.addAsyncCleanup(self.clean)

            async def clean(self):
                settings.LEVEL = 1

            async def asyncTearDown(self):
                settings.MODE = "live"

            async def test_thread(self):
                self.assertEqual(await asyncio.to_thread(settings.connect), "real")

            async def test_subtest(self):
                with self.subTest("one"):
                    await asyncio.sleep(0)
        """
}

LEAKY = {
    "test_leaky.py": """
        import asyncio
        import os
        import unittest

        from app import settings

        class TestPlain(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                settings.MODE = "class"  # leak

            @classmethod
            def tearDownClass(cls):
                os.environ["LATE"] = "1"  # leak

            def setUp(self):
                settings.NAMES = ()  # leak

            def test_subtests(self):
                for number in range(2):
                    with self.subTest(number):
                        settings.LEVEL += 1  # leak

            def tearDown(self):
                settings.Client.retries = 9  # leak

        class TestAsync(unittest.IsolatedAsyncioTestCase):
            async def asyncSetUp(self):
                settings.LEVEL = 50  # leak

            async def test_body(self):
                await asyncio.sleep(0)
                settings.extra = "new"  # leak

            async def asyncTearDown(self):
                settings.MODE = "async"  # leak

        class TestBrokenSetUp(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                settings.MODE = "broken"  # leak
                raise ValueError

            def test_never(self): pass

        class TestBrokenTearDown(unittest.TestCase):
            @classmethod
            def tearDownClass(cls):
                settings.MODE = "broken late"  # leak
                raise ValueError

            def test_passes(self): pass
        """
}


def test_what_is_cleaned_up_is_no_leak(suite: Any, engine: str) -> None:
    suite.write(CLEAN)
    run = suite.run(f"--leaks-engine={engine}")
    outcomes = run.result.parseoutcomes()
    assert (outcomes["passed"], outcomes["skipped"], outcomes["xfailed"]) == (5, 1, 1)
    assert run.told == []


def test_leaks_of_tests_and_classes_are_named(
    suite: Any, sites: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LATE", "0")
    suite.write(LEAKY)
    run = suite.run()
    broken = "test_leaky.py::TestBrokenSetUp"
    assert sorted(run.told) == [
        f"fixture/class {broken}::setUpClass during {broken}::test_never rebound app.settings.MODE",
        "fixture/class test_leaky.py::TestBrokenTearDown::setUpClass rebound app.settings.MODE",
        "fixture/class test_leaky.py::TestPlain::setUpClass during test_leaky.py::TestPlain::test_subtests"
        " rebound app.settings.MODE",
        "fixture/class test_leaky.py::TestPlain::setUpClass rebound os.environ['LATE']",
        "test/function test_leaky.py::TestAsync::test_body added app.settings.extra",
        "test/function test_leaky.py::TestAsync::test_body rebound app.settings.LEVEL",
        "test/function test_leaky.py::TestAsync::test_body rebound app.settings.MODE",
        "test/function test_leaky.py::TestPlain::test_subtests rebound app.settings.Client.retries",
        "test/function test_leaky.py::TestPlain::test_subtests rebound app.settings.LEVEL",
        "test/function test_leaky.py::TestPlain::test_subtests rebound app.settings.NAMES",
    ]
    assert sites(run.leaks) == suite.marked()
