"""What a run has to know of pytest-randomly: the seed of its order, and which generators it seeds."""

from __future__ import annotations

import pytest

_NAMES = ("randomly", "pytest_randomly")  # as an entry point, and when it is loaded by its module's name
_RESEEDED = frozenset({"random", "numpy.random"})  # names of probes


def _is_there(config: pytest.Config) -> bool:
    return any(config.pluginmanager.has_plugin(name) for name in _NAMES)


def seed_of(config: pytest.Config) -> int | None:
    """The seed of this run; None without pytest-randomly."""
    seed = config.getoption("randomly_seed", None)
    return seed if isinstance(seed, int) and _is_there(config) else None


def replay(seed: int | None) -> list[str]:
    """The options that bring the same order again."""
    return [] if seed is None else [f"--randomly-seed={seed}"]


def reseeded(config: pytest.Config) -> frozenset[str]:
    """Names of the probes of what it seeds anew at every stage: nobody can leave that changed."""
    return _RESEEDED if _is_there(config) and config.getoption("randomly_reset_seed", False) else frozenset()
