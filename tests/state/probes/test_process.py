"""The environment and the limits of the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.place import MISSING
from pytest_mcpsmoke.state.probes.process import Environ, ResourceLimits

resource = pytest.importorskip("resource")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two variables that are there, and one that is not; all back afterwards."""
    monkeypatch.setenv("MCPSMOKE_KEPT", "1")
    monkeypatch.setenv("MCPSMOKE_OLD", "old")
    monkeypatch.delenv("MCPSMOKE_NEW", raising=False)


def child_sees(name: str) -> str:
    code = f"import os; print(os.environ.get({name!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()


@pytest.mark.usefixtures("variables")
class TestEnviron:
    def leak(self) -> None:
        os.environ["MCPSMOKE_NEW"] = "new"
        os.environ["MCPSMOKE_OLD"] = "other"
        del os.environ["MCPSMOKE_KEPT"]

    def test_added_changed_and_removed_are_found(self) -> None:
        assert sorted(found_around(Environ(), self.leak), key=str) == [
            ("os.environ['MCPSMOKE_KEPT']", "1", MISSING),
            ("os.environ['MCPSMOKE_NEW']", MISSING, "new"),
            ("os.environ['MCPSMOKE_OLD']", "old", "other"),
        ]

    def test_restoring_reaches_child_processes(self) -> None:
        with watching(Environ()) as watch:
            self.leak()
            watch.restore(watch.writes())
        names = ("MCPSMOKE_KEPT", "MCPSMOKE_OLD", "MCPSMOKE_NEW")
        assert [os.environ.get(name) for name in names] == ["1", "old", None]
        assert [child_sees(name) for name in names] == ["1", "old", "None"]

    def test_what_is_undone_is_no_change(self) -> None:
        def lend() -> None:
            with pytest.MonkeyPatch.context() as patches:
                patches.setenv("MCPSMOKE_NEW", "new")
                patches.delenv("MCPSMOKE_OLD")

        assert found_around(Environ(), lend) == []

    def test_reading_is_no_change(self) -> None:
        assert found_around(Environ(), lambda: os.environ.get("MCPSMOKE_OLD"), lambda: {**os.environ}) == []
        assert is_quiet(Environ())

    def test_the_variables_of_pytest_are_not_read(self) -> None:
        def next_stage() -> None:
            os.environ["PYTEST_CURRENT_TEST"] = "another (call)"

        assert "PYTEST_CURRENT_TEST" in os.environ
        assert found_around(Environ(), next_stage) == []

    def test_what_is_no_text_is_kept(self) -> None:
        name, value = os.fsdecode(b"MCPSMOKE_NEW"), os.fsdecode(b"\xff\xfe")
        with watching(Environ()) as watch:
            os.environ[name] = value
            writes = watch.writes()
            watch.restore(writes)
        assert [(write.key, write.new) for write in writes] == [(name, value)]
        assert name not in os.environ

    def test_a_replaced_environ_is_not_its_business(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def replace() -> None:
            monkeypatch.setattr(os, "environ", {"MCPSMOKE_NEW": "new"})

        assert found_around(Environ(), replace) == []

    def test_what_did_not_change_stays_the_same_object(self) -> None:
        with watching(Environ()) as watch:
            before = watch.probe.read()
            os.environ["MCPSMOKE_NEW"] = "new"
            after = watch.probe.read()
        assert all(after[name] is before[name] for name in before)


class TestResourceLimits:
    @pytest.fixture(autouse=True)
    def _limits_are_put_back(self):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

    def lower(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 10, hard))

    def test_a_lowered_limit_is_found_with_who_did_it(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with watching(ResourceLimits()) as watch:
            self.lower()
            (write,) = watch.writes()
        assert watch.probe.place(write.key) == "resource.RLIMIT_NOFILE"
        assert (write.old, write.new) == ((soft, hard), (soft - 10, hard))
        assert write.stack[0] is TestResourceLimits.lower.__code__

    def test_restoring_puts_it_back(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        with watching(ResourceLimits()) as watch:
            self.lower()
            watch.restore(watch.writes())
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
            assert [new for _, _, new in watch.found()] == [before]

    def test_undone_and_reading_are_no_change(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        undo = [self.lower, lambda: resource.setrlimit(resource.RLIMIT_NOFILE, before)]
        assert found_around(ResourceLimits(), *undo) == []
        assert found_around(ResourceLimits(), lambda: resource.getrlimit(resource.RLIMIT_NOFILE)) == []
        assert is_quiet(ResourceLimits())

    def test_a_limit_that_cannot_be_raised_again_says_so(self) -> None:
        probe = ResourceLimits()
        probe.start()
        probe.stop()
        with pytest.raises(CannotRestore, match="hard limit"):
            probe.restore("RLIMIT_NOFILE", (20, 10), (5, 5))
