"""Adds the optional C extensions to what pyproject.toml declares.

The package works without it: where no compiler is found, `optional=True` turns the failed build into a
warning. `MCPSMOKE_NO_EXTENSION=1` leaves it out on purpose, as do PyPy and free-threaded builds.
"""

import os
import platform
import sysconfig

from setuptools import Extension, setup

_SOURCES = {
    "_watch": ["_watch"],
    "_parts": [f"parts/{part}" for part in ("module", "comparer", "functions", "written", "dicts")],
}


def extensions() -> list[Extension]:
    """The extensions where they can be used, else nothing, which makes the wheel a pure one."""
    wanted = os.environ.get("MCPSMOKE_NO_EXTENSION", "") in ("", "0")
    usable = platform.python_implementation() == "CPython" and not sysconfig.get_config_var("Py_GIL_DISABLED")
    if not (wanted and usable):
        return []
    return [
        Extension(
            f"pytest_mcpsmoke.state.{name}",
            sources=[f"pytest_mcpsmoke/state/{source}.c" for source in sources],
            depends=[f"pytest_mcpsmoke/state/parts/{header}.h" for header in ("addresses", "parts")],
            optional=True,
        )
        for name, sources in _SOURCES.items()
    ]


setup(ext_modules=extensions())
