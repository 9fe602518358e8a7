"""What runs between two tests, while nobody owns what happens."""

from __future__ import annotations

from typing import Final

import pytest

from pytest_mcpsmoke.state.diff import ATOMS
from pytest_mcpsmoke.state.place import kind_of

# All that is called from the end of a test's teardown, as the detector sees it, to the beginning of the next
# one's set-up.
_BETWEEN: Final = (
    *("pytest_runtest_protocol", "pytest_runtest_logstart", "pytest_runtest_logreport"),
    *("pytest_runtest_logfinish", "pytest_runtest_makereport", "pytest_report_teststatus"),
    *("pytest_report_to_serializable", "pytest_exception_interact", "pytest_warning_recorded"),
    *("pytest_mcpsmoke_finding", "pytest_mcpsmoke_classify"),  # by ours, when the test has been judged
)
# Here it is what the wrappers do first and last.
_STAGES: Final = ("pytest_runtest_setup", "pytest_runtest_teardown")
_OWN: Final = ("_pytest.", "pytest_mcpsmoke.")  # they leave the program alone, and what they change is known


def others_run_between(config: pytest.Config) -> bool:
    """Whether a plugin or a conftest takes part there: then what changes between tests is theirs."""
    taking_part = [part for name in _BETWEEN for part in getattr(config.hook, name).get_hookimpls()]
    taking_part += [
        part
        for name in _STAGES
        for part in getattr(config.hook, name).get_hookimpls()
        if part.wrapper or part.hookwrapper or part.tryfirst
    ]
    return any(not str(part.function.__module__).startswith(_OWN) for part in taking_part)


def drops_something(item: pytest.Item) -> bool:
    """Whether a test got anything from its fixtures that dies when pytest drops it, right after the test.

    A file is closed then, and destructors run.
    """
    values = getattr(item, "funcargs", None) or {}
    return any(kind_of(value) not in ATOMS for value in values.values())
