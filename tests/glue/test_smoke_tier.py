"""Under the marker smoke the network is refused, in every stage and whatever is made of the refusal."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

XDIST = ("-p", "xdist", "-n", "2")
REMEDY = (
    "a smoke test stays on this machine. Remedies: a double in the place of what it talks to (fake_invoker,"
    " scripted_model, mcp_upstream, or a recorder with an app or transport: recording_client,"
    " record_headers); or, if it has to be real, mark the test nd_real instead of smoke"
)
# A look-up that the code swallows; .invalid is nobody's, should a gate be missing.
CODE = """
import contextlib, socket

def look_up(name="a.invalid"):
    socket.gethostbyname(name)  # refused

def swallow(name="a.invalid"):
    with contextlib.suppress(Exception):
        look_up(name)
"""


def run(suite: Any, text: str, *arguments: str, subprocess: bool = False) -> Any:
    """A run over test_case.py, of which the detector finds nothing."""
    head = "import pytest, socket, threading, unittest\nfrom code_of import look_up, swallow\n"
    suite.write({"code_of.py": CODE, "test_case.py": head + textwrap.dedent(text)})
    observed = suite.run("--leaks=fail", "-rA", *arguments, subprocess=subprocess)
    assert observed.leaks == []
    return observed


def outcomes(observed: Any) -> dict[str, str]:
    """By test: its outcome in the report file, the worst of its stages."""
    return {test["nodeid"].partition("::")[2]: test["outcome"] for test in observed.of_type("test")}


def blocks(observed: Any, title: str) -> list[str]:
    """The lines of one failure, from its ruler to the next."""
    lines = observed.result.outlines
    (start,) = (at for at, line in enumerate(lines) if line.strip("_ ") == title)
    rest = lines[start + 1 :]
    end = next(at for at, line in enumerate(rest) if line.startswith(("___", "===", "- generated")))
    return rest[:end]


def refusal(test: str, name: str = "a.invalid") -> list[str]:
    return [
        f"test_case.py::{test}: a socket looks up {name}",
        "  at code_of.py:4 in look_up",
        REMEDY,
    ]


@pytest.fixture(params=["alone", "workers"])
def spread(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return XDIST if request.param == "workers" else ()


MARKED = """
@pytest.mark.smoke
def test_function(): swallow()

@pytest.mark.smoke
class TestClass:
    def test_method(self): swallow()

class TestMethods:
    @pytest.mark.smoke
    def test_method(self): swallow()
    def test_other(self): swallow()

@pytest.mark.parametrize("name", [pytest.param("a.invalid", marks=pytest.mark.smoke), "b.invalid"])
def test_parametrised(name): swallow(name)

@pytest.mark.smoke
@pytest.mark.parametrize("name", ["a.invalid"])
def test_all(name): swallow(name)

def test_unmarked():
    with pytest.raises(OSError): look_up()
"""
MARKED_OUTCOMES = {
    "test_function": "failed",
    "TestClass::test_method": "failed",
    "TestMethods::test_method": "failed",
    "TestMethods::test_other": "passed",
    "test_parametrised[a.invalid]": "failed",
    "test_parametrised[b.invalid]": "passed",
    "test_all[a.invalid]": "failed",
    "test_unmarked": "passed",
}


def test_where_the_marker_stands(suite: Any) -> None:
    observed = run(suite, MARKED)
    assert outcomes(observed) == MARKED_OUTCOMES
    assert blocks(observed, "test_function") == refusal("test_function")
    assert blocks(observed, "TestClass.test_method") == refusal("TestClass::test_method")


def test_in_workers(suite: Any) -> None:
    observed = run(suite, MARKED, *XDIST, subprocess=True)
    assert outcomes(observed) == MARKED_OUTCOMES
    assert blocks(observed, "test_function")[1:] == refusal("test_function")


def test_a_marker_on_the_module_and_no_detector(suite: Any) -> None:
    suite.write({"code_of.py": CODE, "test_case.py": MODULE})
    result = suite.run("--leaks=off", report=False).result
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(refusal("test_function"))


MODULE = """
import pytest
from code_of import swallow
pytestmark = pytest.mark.smoke
def test_function(): swallow()
"""


def test_each_stage_fails_for_itself(suite: Any) -> None:
    observed = run(
        suite,
        """
        pytestmark = pytest.mark.smoke

        @pytest.fixture
        def at_set_up(): swallow("up.invalid")

        @pytest.fixture
        def at_teardown():
            yield
            swallow("down.invalid")

        def test_up(at_set_up): raise SystemExit("never reached")
        def test_down(at_teardown): pass
        def test_both(at_teardown): swallow("call.invalid")
        """,
    )
    observed.result.assert_outcomes(errors=3, failed=1, passed=1)
    assert blocks(observed, "ERROR at setup of test_up") == refusal("test_up", "up.invalid")
    assert blocks(observed, "ERROR at teardown of test_down") == refusal("test_down", "down.invalid")
    assert blocks(observed, "test_both") == refusal("test_both", "call.invalid")
    assert blocks(observed, "ERROR at teardown of test_both") == refusal("test_both", "down.invalid")


def test_a_refusal_that_is_raised_is_told_once_and_at_the_users_line(suite: Any) -> None:
    observed = run(
        suite,
        """
        @pytest.mark.smoke
        def test_raises(): look_up()
        """,
    )
    told = blocks(observed, "test_raises")
    assert [line for line in told if line.startswith("E ")] == [
        "E       pytest_mcpsmoke.errors.NetworkRefused: " + refusal("test_raises")[0],
        *(f"E       {line}" for line in refusal("test_raises")[1:]),
    ]
    assert "code_of.py:4: NetworkRefused" in told
    assert sum(line.endswith("looks up a.invalid") for line in told) == 1


def test_another_failure_shows_beside_it(suite: Any) -> None:
    observed = run(
        suite,
        """
        pytestmark = pytest.mark.smoke

        def test_fails():
            for _ in range(3): swallow()  # one text, once
            swallow("b.invalid")
            assert "this" == "that"

        def test_follows():
            try: look_up()
            except AssertionError: raise KeyError("follows from it")

        def test_hides():
            try: look_up()
            except AssertionError: raise KeyError("hides it") from None
        """,
    )
    told = blocks(observed, "test_fails")
    assert "E       AssertionError: assert 'this' == 'that'" in told
    rest = [*refusal("test_fails"), *refusal("test_fails", "b.invalid")]
    assert told[-len(rest) - 1 :] == [f"{' also refused ':-^80}", *rest]
    follows = blocks(observed, "test_follows")
    assert "E       KeyError: 'follows from it'" in follows
    assert sum(line.endswith("looks up a.invalid") for line in follows) == 1
    hides = blocks(observed, "test_hides")
    assert "E           KeyError: 'hides it'" in hides or "E       KeyError: 'hides it'" in hides
    assert hides[-3:] == refusal("test_hides")


def test_neither_xfail_nor_skip_takes_it_for_what_was_expected(suite: Any) -> None:
    observed = run(
        suite,
        """
        pytestmark = pytest.mark.smoke

        @pytest.mark.xfail
        def test_raises(): look_up()

        @pytest.mark.xfail(strict=False)
        def test_passes(): swallow()

        @pytest.mark.xfail(strict=True)
        def test_passes_strictly(): swallow()

        def test_xfails():
            swallow()
            pytest.xfail("no")

        def test_skips():
            swallow()
            pytest.skip("no")

        @pytest.mark.xfail
        def test_fails_as_expected(): assert 0

        def test_is_skipped(): pytest.skip("unclean")

        @pytest.mark.skip
        def test_never_runs(): look_up()
        """,
        "--junit-xml=junit.xml",
    )
    xml = (suite.path / "junit.xml").read_text("utf-8")
    assert xml.count("<failure ") == 5, xml
    observed.result.assert_outcomes(failed=5, skipped=2, xfailed=1)
    assert blocks(observed, "test_passes") == refusal("test_passes")
    assert blocks(observed, "test_passes_strictly") == ["[XPASS(strict)] ", *refusal("test_passes_strictly")]
    assert blocks(observed, "test_xfails") == refusal("test_xfails")
    assert blocks(observed, "test_skips") == refusal("test_skips")


def test_unittest(suite: Any) -> None:
    observed = run(
        suite,
        """
        @pytest.mark.smoke
        class TestCase(unittest.TestCase):
            def setUp(self): self.is_there = True
            def test_swallows(self): swallow()
            def test_raises(self): look_up()
            def test_fine(self): assert self.is_there
            @unittest.expectedFailure
            def test_expected(self): look_up()

        @pytest.mark.smoke
        class TestSetUp(unittest.TestCase):
            def setUp(self): swallow("up.invalid")
            def test_it(self): pass

        @pytest.mark.smoke
        class TestClasses(unittest.TestCase):
            @classmethod
            def setUpClass(cls): swallow("class.invalid")
            @classmethod
            def tearDownClass(cls): swallow("end.invalid")
            def test_one(self): pass
            def test_two(self): pass
        """,
    )
    observed.result.assert_outcomes(failed=4, passed=2, errors=2)
    assert blocks(observed, "TestCase.test_swallows") == refusal("TestCase::test_swallows")
    assert blocks(observed, "TestSetUp.test_it") == refusal("TestSetUp::test_it", "up.invalid")
    first, last = "TestClasses::test_one", "TestClasses::test_two"
    assert blocks(observed, "ERROR at setup of TestClasses.test_one") == refusal(first, "class.invalid")
    assert blocks(observed, "ERROR at teardown of TestClasses.test_two") == refusal(last, "end.invalid")


def test_a_subtest_tells_it_and_its_test_does_not_tell_it_again(suite: Any) -> None:
    pytest.importorskip("_pytest.subtests", reason="pytest 9 brings them")
    observed = run(
        suite,
        """
        @pytest.mark.smoke
        def test_it(subtests):
            with subtests.test("swallows"): swallow()
            with subtests.test("is fine"): pass
        """,
    )
    assert blocks(observed, "test_it [swallows]") == refusal("test_it")
    assert blocks(observed, "test_it") == ["contains 1 failed subtest"]


def test_async_code_and_threads(suite: Any) -> None:
    observed = run(
        suite,
        """
        import asyncio, contextlib
        pytestmark = pytest.mark.smoke

        async def connect():
            with contextlib.suppress(AssertionError):
                await asyncio.open_connection("a.invalid", 443)

        def test_async(): asyncio.run(connect())

        def test_thread():
            thread = threading.Thread(target=swallow)
            thread.start()
            thread.join()
        """,
    )
    observed.result.assert_outcomes(failed=2)
    assert blocks(observed, "test_async") == [
        "test_case.py::test_async: asyncio looks up a.invalid", "  at test_case.py:9 in connect", REMEDY,
    ]  # fmt: skip
    assert blocks(observed, "test_thread") == refusal("test_thread")


@pytest.mark.skipif("not __import__('importlib.util').util.find_spec('pytest_asyncio')")
def test_async_tests(suite: Any) -> None:
    observed = run(
        suite,
        """
        @pytest.mark.smoke
        @pytest.mark.asyncio
        async def test_async():
            import asyncio
            with pytest.raises(AssertionError):
                await asyncio.open_connection("a.invalid", 443)
        """,
        "-p",
        "asyncio",
        "-o",
        "asyncio_mode=strict",
        subprocess=True,
    )
    observed.result.assert_outcomes(failed=1)


def test_a_wide_fixture_is_refused_what_its_smoke_test_is_and_another_tests_is_left_alone(suite: Any) -> None:
    observed = run(
        suite,
        """
        @pytest.fixture(scope="module")
        def ours():
            yield
            swallow("ours.invalid")

        @pytest.fixture(scope="module")
        def theirs():
            yield
            with pytest.raises(OSError): look_up("theirs.invalid")

        @pytest.mark.smoke
        def test_first(ours): pass

        def test_real(theirs): pass

        @pytest.mark.smoke
        def test_smoke(): pass  # with it ends theirs, and after that ours
        """,
    )
    observed.result.assert_outcomes(passed=3, errors=1)
    assert blocks(observed, "ERROR at teardown of test_smoke") == refusal("test_smoke", "ours.invalid")


def test_a_run_inside_a_smoke_test(suite: Any) -> None:
    """The inner run's smoke tests are its own; what its other tests reach for is the outer test's."""
    observed = run(
        suite,
        """
        pytest_plugins = "pytester"
        pytestmark = pytest.mark.smoke
        ARGUMENTS = ("-p", "mcpsmoke", "-p", "no:cacheprovider", "--leaks=off")

        def test_inner_smoke(pytester):
            pytester.makepyfile('''
                import pytest, socket
                @pytest.mark.smoke
                def test_it(): pytest.raises(AssertionError, socket.gethostbyname, "inner.invalid")
            ''')
            pytester.runpytest_inprocess(*ARGUMENTS).assert_outcomes(failed=1)

        def test_inner_unmarked(pytester):
            pytester.makepyfile('''
                import pytest, socket
                def test_it(): pytest.raises(AssertionError, socket.gethostbyname, "outer.invalid")
            ''')
            pytester.runpytest_inprocess(*ARGUMENTS).assert_outcomes(passed=1)

        def test_afterwards(): swallow()
        """,
        "-p",
        "pytester",
    )
    assert outcomes(observed) == {
        "test_inner_smoke": "passed", "test_inner_unmarked": "failed", "test_afterwards": "failed",
    }  # fmt: skip
    first, *_ = blocks(observed, "test_inner_unmarked")
    assert first == "test_case.py::test_inner_unmarked: _pytest looks up outer.invalid"


def test_reruns(suite: Any) -> None:
    observed = run(
        suite,
        """
        @pytest.mark.smoke
        def test_once(request):
            if request.node.execution_count == 1: swallow()

        @pytest.mark.smoke
        def test_always(): swallow()
        """,
        "-p",
        "rerunfailures",
        "--reruns=2",
        subprocess=True,
    )
    assert observed.result.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 3}
    assert blocks(observed, "test_always") == refusal("test_always")


def test_doubles_and_loopback_are_open(suite: Any) -> None:
    pytest.importorskip("httpx")
    observed = run(
        suite,
        """
        pytestmark = pytest.mark.smoke

        def test_model(scripted_model):
            import json, urllib.request
            scripted_model.says("hello")
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()
            url = scripted_model.serve() + "/chat/completions"
            request = urllib.request.Request(url, body, {"content-type": "application/json"})
            with urllib.request.urlopen(request) as answer: assert b"hello" in answer.read()

        def test_recorded(recording_client):
            client = recording_client()
            with pytest.raises(AssertionError): client.get("http://a.invalid/")
        """,
        subprocess=True,
    )
    assert outcomes(observed) == {"test_model": "passed", "test_recorded": "failed"}
    told = blocks(observed, "test_recorded")
    assert told[0].startswith("test_case.py::test_recorded: httpx looks up a.invalid")
    assert told[-1] == REMEDY


BOTH = """
import pathlib, pytest

@pytest.mark.smoke
def test_it(): pathlib.Path("ran").touch()

@pytest.mark.smoke
class TestBoth:
    @pytest.mark.nd_real
    def test_both(self): pass
"""


@pytest.mark.parametrize("leaks", ["off", "report"])
def test_both_markers_are_a_contradiction(suite: Any, spread: tuple[str, ...], leaks: str) -> None:
    suite.write({"test_case.py": BOTH})
    observed = suite.run(f"--leaks={leaks}", *spread, subprocess=True, report=False)
    everything = observed.result.outlines + observed.result.errlines
    assert observed.result.ret == pytest.ExitCode.USAGE_ERROR, "\n".join(everything)
    assert [line for line in everything if "ERROR" in line or "Traceback" in line] == [
        "ERROR: test_case.py::TestBoth::test_both: marked smoke and nd_real;"
        " a test is either deterministic or real: keep one of the two markers"
    ]
    assert not (suite.path / "ran").exists()


def test_both_markers_on_what_is_deselected_are_no_matter(suite: Any) -> None:
    suite.write({"test_case.py": BOTH})
    suite.run("-k", "test_it").result.assert_outcomes(passed=1, deselected=1)


HOOKS = """
    def pytest_runtestloop(session):
        manager = session.config.pluginmanager
        print("gate:", manager.has_plugin("mcpsmoke-hermetic"))
    def pytest_unconfigure(config):
        from pytest_mcpsmoke.state import audit
        print("listening:", [event for event in audit._listeners if event == "socket.getaddrinfo"])
"""


def test_only_smoke_tests_bring_hooks_and_the_end_takes_them_away(suite: Any) -> None:
    suite.write({"conftest.py": HOOKS, "test_case.py": MODULE + "def test_it(): pass\n", "code_of.py": CODE})
    suite.write({"test_other.py": "def test_other(): pass\n"})
    for arguments, is_there in (((), True), (("-m", "not smoke"), False)):
        printed = suite.run("-s", "--leaks=off", *arguments, subprocess=True, report=False).result.outlines
        assert f"gate: {is_there}" in printed
        assert "listening: []" in printed
