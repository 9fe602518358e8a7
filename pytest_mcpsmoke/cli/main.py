"""The mcpsmoke command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pytest_mcpsmoke import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status (0, or 2 for bad usage, through argparse)."""
    parser = argparse.ArgumentParser(
        prog="mcpsmoke",
        description="Companion of the pytest plugin mcpsmoke. The detector itself runs inside pytest:"
        " pytest -p mcpsmoke (see pytest --help, section mcpsmoke).",
    )
    parser.add_argument("--version", action="version", version=f"mcpsmoke {__version__}")
    parser.parse_args(arguments)
    parser.print_help()
    return 0
