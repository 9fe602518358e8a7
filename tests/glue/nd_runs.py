"""What runs inside tests say of their nd_real tests."""

from __future__ import annotations

from typing import Any


def results(run: Any) -> dict[str, dict[str, Any]]:
    """The results by the test's name."""
    return {record["nodeid"].partition("::")[2]: record for record in run.of_type("nd")}


def told(run: Any, name: str) -> str:
    """A result in short: "PASS 29/30"."""
    result = results(run)[name]
    return f"{result['verdict']} {result['passes']}/{result['samples']}"
