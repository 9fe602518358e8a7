"""Beside a plugin that sets a framework up as pytest-django does: before all tests, per session, per test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

# An installed framework, and its plugin: names are read there, objects are not.
FRAMEWORK = {
    "site-packages/dj/__init__.py": "",
    "site-packages/dj/conf.py": """
        import os

        class Settings:
            def __init__(self, name):
                self.NAME = name
                self.DEBUG = True
                self.EMAIL_BACKEND = "smtp"
                self.DATABASES = {"default": {"NAME": "live"}}

        class LazySettings:
            _wrapped = None

            def _setup(self):
                LazySettings._wrapped = Settings(os.environ["DJ_SETTINGS_MODULE"])

            def __getattr__(self, name):
                if self._wrapped is None:
                    self._setup()
                return getattr(self._wrapped, name)

            def __setattr__(self, name, value):
                setattr(self._wrapped, name, value)

        settings = LazySettings()
        """,
    "site-packages/dj/db.py": """
        import sqlite3
        import threading

        from dj.conf import settings

        class Connection:
            def __init__(self):
                self.raw = None

            def ensure_connection(self):
                if self.raw is None:
                    self.raw = sqlite3.connect(":memory:", isolation_level=None)

            def execute(self, statement):
                self.ensure_connection()
                return self.raw.execute(statement)

            def close(self):
                self.raw.close()
                self.raw = None

        class Connections:
            def __init__(self):
                self._local = threading.local()

            def __getitem__(self, alias):
                if not hasattr(self._local, alias):
                    setattr(self._local, alias, Connection())
                return getattr(self._local, alias)

        connections = Connections()
        """,
    "site-packages/dj/mail.py": "def send(text):\n    outbox.append(text)\n",
    "site-packages/dj/translation.py": """
        _active = None

        def activate(language):
            global _active
            _active = language
        """,
    "site-packages/dj/apps.py": """
        import logging.config

        ready = False

        def populate():
            global ready
            if ready:
                return
            logging.config.dictConfig({
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"console": {"class": "logging.StreamHandler"}},
                "loggers": {"dj": {"handlers": ["console"], "level": "INFO", "propagate": False}},
            })
            ready = True
        """,
    "site-packages/djplugin.py": """
        import os
        from contextlib import contextmanager

        import pytest

        BLOCKER = pytest.StashKey()

        class Blocker:
            def __init__(self, cls):
                self.cls = cls
                self.real = cls.ensure_connection

            @contextmanager
            def _with(self, method):
                before = self.cls.ensure_connection
                self.cls.ensure_connection = method
                try:
                    yield
                finally:
                    self.cls.ensure_connection = before

            def block(self):
                return self._with(self.refuse)

            def unblock(self):
                return self._with(self.real)

            def refuse(self, *args):
                raise RuntimeError("Database access not allowed")

        def pytest_load_initial_conftests():
            os.environ.setdefault("DJ_SETTINGS_MODULE", "proj.settings")
            from dj.conf import settings
            settings.DEBUG

        def pytest_configure(config):
            from dj import apps
            from dj.db import Connection
            config.addinivalue_line("markers", "django_db: allows the data base")
            apps.populate()
            blocker = config.stash[BLOCKER] = Blocker(Connection)
            Connection.ensure_connection = blocker.refuse

        def pytest_unconfigure(config):
            config.stash[BLOCKER].cls.ensure_connection = config.stash[BLOCKER].real

        @pytest.fixture(scope="session")
        def django_db_blocker(request):
            return request.config.stash[BLOCKER]

        @pytest.fixture(scope="session", autouse=True)
        def django_test_environment():
            from dj import mail
            from dj.conf import settings
            before = settings.DEBUG, settings.EMAIL_BACKEND
            settings.DEBUG, settings.EMAIL_BACKEND = False, "locmem"
            mail.outbox = []
            os.environ["DJ_TESTING"] = "1"
            yield
            del os.environ["DJ_TESTING"]
            del mail.outbox
            settings.DEBUG, settings.EMAIL_BACKEND = before

        @pytest.fixture(scope="session")
        def django_db_setup(django_test_environment, django_db_blocker):
            from dj.db import connections, settings
            with django_db_blocker.unblock():
                settings.DATABASES["default"]["NAME"] = "test_live"
                connections["default"].execute("create table things (name)")
            yield
            with django_db_blocker.unblock():
                connections["default"].close()
                settings.DATABASES["default"]["NAME"] = "live"

        @pytest.fixture
        def db(django_db_setup, django_db_blocker):
            from dj.db import connections
            with django_db_blocker.unblock():
                connections["default"].execute("begin")
                yield
                connections["default"].execute("rollback")

        @pytest.fixture(scope="class", autouse=True)
        def _django_setup_unittest(request, django_db_blocker):
            yield

        @pytest.fixture(autouse=True)
        def _django_db_marker(request):
            if request.node.get_closest_marker("django_db"):
                request.getfixturevalue("db")

        @pytest.fixture(autouse=True)
        def _dj_autoclear_mailbox(django_test_environment):
            from dj import mail
            mail.outbox.clear()

        @pytest.fixture
        def settings(django_test_environment):
            from dj.conf import settings
            before = vars(settings._wrapped).copy()
            yield settings
            vars(settings._wrapped).update(before)
        """,
}

CLEAN = {
    "test_clean.py": """
        import unittest

        import pytest
        from dj import mail
        from dj.conf import settings as of_framework
        from dj.db import connections

        def test_is_blocked():
            with pytest.raises(RuntimeError):
                connections["default"].ensure_connection()

        @pytest.mark.django_db
        @pytest.mark.parametrize("number", [1, 2])
        def test_data_base(number):
            connections["default"].execute("insert into things values (1)")
            assert connections["default"].execute("select count(*) from things").fetchone() == (1,)

        def test_settings(settings):
            settings.DEBUG = True
            assert of_framework.DEBUG

        def test_mail():
            mail.send("text")

        def test_mail_again():
            assert mail.outbox == []

        @pytest.mark.django_db
        class TestClass(unittest.TestCase):
            def test_method(self):
                connections["default"].execute("insert into things values (1)")
        """
}

LEAKY = {
    "test_leaky.py": """
        import os

        from dj import db, mail, translation

        def test_language():
            translation.activate("de")  # leak

        def test_outbox():
            mail.outbox = ["fake"]  # leak

        def test_environ():
            os.environ["DJ_SETTINGS_MODULE"] = "other.settings"  # leak

        def test_connection_class():
            db.Connection.execute = lambda self, statement: None  # leak
        """
}

UNBLOCKED = {
    "test_unblocked.py": """
        import pytest

        @pytest.fixture(scope="module")
        def unblocked(django_db_blocker):
            held = django_db_blocker.unblock()
            held.__enter__()  # leak
            return [held]

        def test_unblocked(unblocked):
            pass

        def test_after():
            pass
        """
}
OPTIONS = ("-p", "djplugin", "-o", "pythonpath=site-packages")


@pytest.fixture
def framework(suite: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A suite with the framework and its plugin where installed packages lie."""
    monkeypatch.setenv("PYTHONPATH", str(suite.path / "site-packages"), prepend=":")
    suite.write(FRAMEWORK)
    return suite


def test_set_up_of_the_framework_is_not_blamed(framework: Any, engine: str) -> None:
    framework.write(CLEAN)
    run = framework.run(*OPTIONS, f"--leaks-engine={engine}", subprocess=True)
    run.result.assert_outcomes(passed=7)
    assert run.told == []


def test_leaks_into_the_framework_are_named(framework: Any, sites: Callable[[Any], list[str]]) -> None:
    framework.write(LEAKY)
    run = framework.run(*OPTIONS, subprocess=True)
    run.result.assert_outcomes(passed=4)
    assert sorted(run.told) == [
        "test/function test_leaky.py::test_connection_class rebound dj.db.Connection.execute",
        "test/function test_leaky.py::test_environ rebound os.environ['DJ_SETTINGS_MODULE']",
        "test/function test_leaky.py::test_language rebound dj.translation._active",
        "test/function test_leaky.py::test_outbox rebound dj.mail.outbox",
    ]
    assert sites(run.leaks) == framework.marked()


def test_what_a_plugin_s_object_writes_for_a_fixture_is_the_fixture_s(
    framework: Any, sites: Callable[[Any], list[str]], best_engine: str
) -> None:
    if best_engine != "watch":
        pytest.skip("who wrote is searched there, and a function of a plugin is taken for its hook")
    framework.write(UNBLOCKED)
    run = framework.run(*OPTIONS, subprocess=True)
    run.result.assert_outcomes(passed=2)
    owner = "fixture/module test_unblocked.py::unblocked during test_unblocked.py::test_unblocked"
    assert run.told == [f"{owner} rebound dj.db.Connection.ensure_connection"]
    assert sites(run.leaks) == framework.marked()
