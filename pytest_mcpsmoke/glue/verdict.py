"""A double's failures become its test's, also where the code under test swallowed the exception."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import pytest

from pytest_mcpsmoke.errors import MissingExtra, UnusedScript

if TYPE_CHECKING:
    from pytest_mcpsmoke.doubles.double import Double

D = TypeVar("D", bound="Double")


@contextmanager
def judged(request: pytest.FixtureRequest, make: Callable[[], D]) -> Iterator[D]:
    """Yield the double to a test; fail the test with what the double refused, or what is left of its script.

    A test that did not pass is not failed again for what is left over. A missing extra is one line.
    """
    try:
        double = make()
    except MissingExtra as missing:
        raise pytest.fail.Exception(str(missing), pytrace=False) from None
    verdict = _Verdict(request.node, double)
    plugins = request.config.pluginmanager
    plugins.register(verdict)  # for this test only: whoever uses no double pays for no hook
    try:
        yield double
    finally:
        plugins.unregister(verdict)
        double.close()
    if verdict.passed:
        if double.failures:  # of another fixture's finaliser: the test itself was asked before
            raise double.failures[0]
        _verify(double)


def _verify(double: Double) -> None:
    """Tell what is left over in its own words: where in the plugin it was noticed helps nobody."""
    try:
        double.verify()
    except UnusedScript as left:
        raise pytest.fail.Exception(str(left), pytrace=False) from None


class _Verdict:
    def __init__(self, item: pytest.Item, double: Double) -> None:
        self._item = item
        self._double = double
        self.passed = False  # whether the test's call has returned, and nothing was refused until then

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Put what the double refused in the place of a pass, or of a failure that follows from it."""
        if item is not self._item:  # of a run inside the run
            return (yield)
        refused = self._double.failures
        try:
            result = yield
        except (Exception, pytest.fail.Exception) as error:
            if not refused or error in refused or isinstance(error, pytest.xfail.Exception):
                raise
            from pytest_mcpsmoke.doubles.causes import causes_of

            # What follows from the refusal, or is a group around it, would be shown around and around it.
            raise refused[0] from None if refused[0] in causes_of(error) else error
        if refused:
            raise refused[0]
        self.passed = True
        return result
