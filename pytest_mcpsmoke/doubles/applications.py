"""Applications of FastAPI and Starlette, told by what they hold: neither is imported for it."""

from __future__ import annotations

from typing import Any

from pytest_mcpsmoke.doubles.substitution import Attribute, Item, Place
from pytest_mcpsmoke.errors import UsageProblem
from pytest_mcpsmoke.state.describe import describe
from pytest_mcpsmoke.state.readers import attributes_of

__tracebackhide__ = True  # pytest shows the line that patches, not these


def state_place(app: Any, name: str) -> Place:
    """The place of app.state.name; raises UsageProblem for what is no application."""
    held = attributes_of(app)
    if "state" not in held:
        raise UsageProblem(f"{describe(app)} is no application of FastAPI or Starlette: it has no .state")
    names = attributes_of(held["state"]).get("_state")
    if type(names) is dict:  # Starlette's State keeps them there
        return Item(names, name, shown=f"app.state.{name}")
    return Attribute(held["state"], name, raising=False, shown=f"app.state.{name}")


def override_place(app: Any, dependency: Any) -> Place:
    """The place of app.dependency_overrides[dependency]; raises UsageProblem for what is no application."""
    overrides = attributes_of(app).get("dependency_overrides")
    if not isinstance(overrides, dict):
        raise UsageProblem(f"{describe(app)} is no application of FastAPI: it has no .dependency_overrides")
    if not callable(dependency):
        raise UsageProblem(
            f"{describe(dependency)} is no dependency: FastAPI depends on functions and classes"
        )
    return Item(overrides, dependency, shown=f"app.dependency_overrides[{describe(dependency)}]")
