"""The hook pytest_mcpsmoke_classify, asked only where somebody implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast, get_args

import pytest

from pytest_mcpsmoke.state.change import Change, Verdict
from pytest_mcpsmoke.state.policy import Classify

_VERDICTS = get_args(Verdict)


def classify_hook(config: pytest.Config, refuse: Callable[[str], None]) -> Classify:
    """Return the function that asks the hook for a verdict; a wrong answer is refused."""
    hook = config.hook.pytest_mcpsmoke_classify

    def classify(change: Change) -> tuple[Verdict, str] | None:
        if not hook.get_hookimpls():
            return None
        answer: Any = hook(change=change)
        if answer is None:
            return None
        if not (isinstance(answer, tuple) and len(answer) == 2 and answer[0] in _VERDICTS):
            wanted = f"None or (verdict, reason), with a verdict of {', '.join(_VERDICTS)}"
            refuse(f"pytest_mcpsmoke_classify returned {answer!r}: return {wanted}")
            return None
        return cast("tuple[Verdict, str]", answer)

    return classify
