"""--in-given-order: nothing reorders what the command line names."""

from __future__ import annotations

from typing import Any

import pytest

SUITE = {
    "test_a.py": "def test_1(): pass\n\ndef test_2(): pass\n",
    "test_b.py": """
        import pytest

        @pytest.fixture(scope="module", params=["x", "y"])
        def wide(request):
            return request.param

        def test_first(wide): pass

        def test_second(wide): pass
        """,
}
GIVEN = ["test_b.py::test_second[x]", "test_a.py::test_2", "test_b.py::test_first[y]", "test_a.py::test_1"]
GIVEN += ["test_b.py::test_first[x]", "test_b.py::test_second[y]"]


def ran(suite: Any, *arguments: str, subprocess: bool = True) -> list[str]:
    observed = suite.run("--in-given-order", *arguments, subprocess=subprocess)
    return [test["nodeid"] for test in observed.of_type("test")]


def test_two_files_interleaved_and_wide_parametrised_fixtures(suite: Any) -> None:
    suite.write(SUITE)
    assert ran(suite, *GIVEN) == GIVEN


def test_a_hook_that_reorders_is_undone_and_one_that_deselects_is_not(suite: Any) -> None:
    suite.write(
        {
            **SUITE,
            "conftest.py": """
                import pytest

                @pytest.hookimpl(trylast=True)
                def pytest_collection_modifyitems(items):
                    items[:] = [item for item in reversed(items) if item.name != "test_1"]
                """,
        }
    )
    assert ran(suite, *GIVEN) == [test for test in GIVEN if not test.endswith("test_1")]


def test_pytest_randomly_does_not_shuffle(suite: Any) -> None:
    pytest.importorskip("pytest_randomly")
    suite.write(SUITE)
    for seed in "12":
        assert ran(suite, "-p", "randomly", f"--randomly-seed={seed}", *GIVEN) == GIVEN


def test_no_worker_takes_a_test(suite: Any) -> None:
    suite.write({**SUITE, "pytest.ini": "[pytest]\naddopts = -n 2\n"})
    observed = suite.run("-p", "xdist", "--in-given-order", *GIVEN, subprocess=True)
    assert [test["nodeid"] for test in observed.of_type("test")] == GIVEN
    assert not any("worker" in test for test in observed.of_type("test"))
