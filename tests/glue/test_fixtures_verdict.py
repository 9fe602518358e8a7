"""What a double refused, or has left over, is the verdict of its test."""

from __future__ import annotations

import contextlib

import pytest

DOUBLE = """
import pytest
from pytest_mcpsmoke.doubles.double import Double
from pytest_mcpsmoke.errors import MissingExtra, UnexpectedCall, UnusedScript
from pytest_mcpsmoke.glue.verdict import judged


class Fake(Double):
    left = None
    closed = 0

    def ask(self):
        self.refuse(UnexpectedCall("asked for what is not there"))

    def verify(self):
        if self.left:
            raise UnusedScript(f"never asked for: {self.left}")

    def close(self):
        self.closed += 1


@pytest.fixture
def fake(request):
    with judged(request, Fake) as double:
        yield double
    assert double.closed == 1


@pytest.fixture
def lacking(request):
    def make():
        raise MissingExtra("it needs x: pip install 'pytest-mcpsmoke[http]'")

    with judged(request, make):
        yield
"""


SWALLOWED = "try: fake.ask()\n    except Exception: pass"


@pytest.mark.parametrize(
    ("body", "outcomes", "message"),
    [
        ("pass", {"passed": 1}, None),
        ("fake.ask()", {"failed": 1}, "UnexpectedCall: asked for what is not there"),
        (SWALLOWED, {"failed": 1}, "UnexpectedCall: asked for"),
        (f"{SWALLOWED}\n    assert 0, 'later'", {"failed": 1}, "UnexpectedCall"),
        (f"{SWALLOWED}\n    pytest.fail('later')", {"failed": 1}, "UnexpectedCall"),
        ("fake.left = 'this'", {"passed": 1, "errors": 1}, "never asked for: this"),
        ("fake.left = 'this'\n    assert 0, 'its own'", {"failed": 1}, "AssertionError: its own"),
        ("fake.left = 'this'\n    pytest.skip('not today')", {"skipped": 1}, None),
        ("fake.left = 'this'\n    pytest.xfail('known')", {"xfailed": 1}, None),
    ],
)
def test_the_verdict_is_the_test_s(
    pytester: pytest.Pytester, body: str, outcomes: dict[str, int], message: str | None
) -> None:
    pytester.makeconftest(DOUBLE)
    pytester.makepyfile(f"import pytest\n\ndef test_it(fake):\n    {body}\n\ndef test_next():\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "mcpsmoke")
    result.assert_outcomes(**{**outcomes, "passed": outcomes.get("passed", 0) + 1})
    if message is not None:
        result.stdout.fnmatch_lines([f"*{message}*"])


@pytest.mark.parametrize(
    "body",
    [
        "try: fake.ask()\n    except AssertionError as error: raise OSError('wrapped') from error",
        "try: fake.ask()\n    except AssertionError as error: raise ExceptionGroup('around', [error])",
    ],
    ids=["wrapped", "in a group"],
)
def test_what_follows_from_a_refusal_is_not_shown_around_it(pytester: pytest.Pytester, body: str) -> None:
    pytester.makeconftest(DOUBLE)
    pytester.makepyfile(f"def test_it(fake):\n    {body}\n")
    result = pytester.runpytest_inprocess("-p", "mcpsmoke")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert text.count("E *UnexpectedCall: asked for".replace(" *", "       pytest_mcpsmoke.errors.")) == 1
    assert "direct cause" not in text


def test_a_test_that_was_never_called_has_nothing_left_over(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(DOUBLE)
    pytester.makepyfile(
        "import pytest\n\n"
        "@pytest.fixture\ndef broken(fake):\n    fake.left = 'this'\n    raise OSError('set-up')\n\n"
        "def test_it(broken):\n    pass\n"
    )
    result = pytester.runpytest_inprocess("-p", "mcpsmoke")
    result.assert_outcomes(errors=1)
    assert "UnusedScript" not in result.stdout.str()


def test_a_missing_extra_is_one_line(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(DOUBLE)
    pytester.makepyfile("def test_it(lacking):\n    pass\n")
    result = pytester.runpytest_inprocess("-p", "mcpsmoke")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["it needs x: pip install 'pytest-mcpsmoke?http?'"])
    assert "During handling" not in result.stdout.str()


def test_as_a_context_manager_it_judges_too() -> None:
    from pytest_mcpsmoke.doubles.double import Double
    from pytest_mcpsmoke.errors import UnexpectedCall

    swallowed = contextlib.suppress(UnexpectedCall)
    with pytest.raises(UnexpectedCall, match="refused"), Double() as double, swallowed:
        double.refuse(UnexpectedCall("refused"))
    with pytest.raises(ZeroDivisionError), Double() as double:
        double.failures.append(UnexpectedCall(str(1 / 0)))
