"""The locale and the time zone."""

from __future__ import annotations

import locale
import os
import time
from collections.abc import Iterator

import pytest
from watching import found_around, is_quiet, watching

from pytest_mcpsmoke.errors import CannotRestore
from pytest_mcpsmoke.state.probes.clib import Locale, TimeZone


def another(category: int) -> str:
    """A locale of this system that is not in force."""
    before = locale.setlocale(category)
    for name in ("C.UTF-8", "en_US.UTF-8", "C", "POSIX"):
        try:
            found = locale.setlocale(category, name)
        except locale.Error:
            continue
        locale.setlocale(category, before)
        if found != before:
            return found
    pytest.skip("this system has one locale only")


@pytest.fixture(autouse=True)
def locales_are_put_back() -> Iterator[None]:
    before = [(category, locale.setlocale(category)) for category in (locale.LC_NUMERIC, locale.LC_TIME)]
    yield
    for category, name in before:
        locale.setlocale(category, name)


def test_a_locale_is_found_by_category_and_put_back() -> None:
    before, other = locale.setlocale(locale.LC_NUMERIC), another(locale.LC_NUMERIC)
    with watching(Locale()) as watch:
        locale.setlocale(locale.LC_NUMERIC, other)
        writes = watch.writes()
        assert [(watch.probe.place(write.key), write.old, write.new) for write in writes] == [
            ("locale.setlocale(LC_NUMERIC)", before, other)
        ]
        watch.restore(writes)
    assert locale.setlocale(locale.LC_NUMERIC) == before


def test_all_categories_at_once_are_found_one_by_one() -> None:
    other = another(locale.LC_TIME)
    before = [locale.setlocale(category) for category in (locale.LC_NUMERIC, locale.LC_TIME)]

    def set_two() -> None:
        locale.setlocale(locale.LC_TIME, other)
        locale.setlocale(locale.LC_NUMERIC, other)

    found = found_around(Locale(), set_two)
    assert {place for place, _, _ in found} <= {"locale.setlocale(LC_NUMERIC)", "locale.setlocale(LC_TIME)"}
    assert len(found) == sum(one != other for one in before)


def test_a_locale_that_is_put_back_or_asked_for_is_no_change() -> None:
    before, other = locale.setlocale(locale.LC_NUMERIC), another(locale.LC_NUMERIC)
    lend = [
        lambda: locale.setlocale(locale.LC_NUMERIC, other),
        lambda: locale.setlocale(locale.LC_NUMERIC, before),
    ]
    assert found_around(Locale(), *lend) == []
    assert found_around(Locale(), locale.localeconv, lambda: f"{1234567:n}") == []
    assert is_quiet(Locale())


def test_a_locale_that_is_not_there_says_so() -> None:
    with pytest.raises(CannotRestore, match="locale"):
        Locale().restore("LC_NUMERIC", "xx_XX.nowhere", "C")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no time.tzset() here")
class TestTimeZone:
    @pytest.fixture(autouse=True)
    def _zone_is_utc(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patches:
            patches.setenv("TZ", "UTC0")
            time.tzset()
            yield
        time.tzset()

    def leak(self) -> None:
        os.environ["TZ"] = "XYZ+3ABC"
        time.tzset()

    def test_a_zone_is_found(self) -> None:
        assert found_around(TimeZone(), self.leak) == [
            ("time.tzset()", (("UTC", "UTC"), 0, 0, 0), (("XYZ", "ABC"), 10_800, 7_200, 1))
        ]

    def test_it_is_put_back_once_the_environment_is(self) -> None:
        with watching(TimeZone()) as watch:
            self.leak()
            writes = watch.writes()
            os.environ["TZ"] = "UTC0"
            watch.restore(writes)
        assert time.localtime(0).tm_hour == 0

    def test_with_another_environment_it_cannot_be_put_back(self) -> None:
        with watching(TimeZone()) as watch:
            self.leak()
            with pytest.raises(CannotRestore, match="TZ"):
                watch.restore(watch.writes())

    def test_setting_the_same_zone_again_is_no_change(self) -> None:
        assert found_around(TimeZone(), time.tzset, lambda: time.localtime(0)) == []
        assert is_quiet(TimeZone())

    def test_a_zone_that_is_undone_is_no_change(self) -> None:
        def back() -> None:
            os.environ["TZ"] = "UTC0"
            time.tzset()

        assert found_around(TimeZone(), self.leak, back) == []
