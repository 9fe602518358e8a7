"""Stores one JSON line per run, where the environment asks for it."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from reference_app.defects import Defect, is_planted
from reference_app.redaction import Redactor

STORE_TRACES = "MINI_AGENT_STORE_TRACES"
STORE_PATH = "MINI_AGENT_STORE_PATH"
logger = logging.getLogger(__name__)


def traces_enabled() -> bool:
    """Returns whether the environment asks for traces and says where they go."""
    return os.environ.get(STORE_TRACES) == "1" and bool(os.environ.get(STORE_PATH))


def store_trace(record: dict[str, Any], redactor: Redactor) -> None:
    """Appends the record, without its secrets, to the file; logs an error of storage and goes on."""
    if not traces_enabled():
        return
    try:
        kept = record if is_planted(Defect.TRACE_LEAK) else redactor.value(record)
        line = json.dumps(kept, ensure_ascii=True) + "\n"
        _append(os.environ[STORE_PATH], line.encode("ascii"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        logger.warning("trace not stored: %s: %s", type(error).__name__, error)


def _append(path: str, line: bytes) -> None:
    # Unbuffered, so that a line is one write and two runs cannot interleave; readable by the owner only,
    # because a conversation is private even without its secrets.
    with open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(line)
