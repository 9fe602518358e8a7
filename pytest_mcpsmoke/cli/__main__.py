"""python -m pytest_mcpsmoke.cli: the command mcpsmoke, by the interpreter of one's choice."""

from __future__ import annotations

import sys

from pytest_mcpsmoke.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
