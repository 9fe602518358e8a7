"""Stores one JSON line per run, where the configuration asks for it."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

from reference_app import config
from reference_app.defects import Defect, is_planted
from reference_app.redaction import Redactor

logger = logging.getLogger(__name__)


def store_trace(record: dict[str, Any], redactor: Redactor) -> None:
    """Appends the record, without its secrets, to the file; logs an error of storage and goes on."""
    traces = config.current().traces
    if not (traces.store and traces.path):
        return
    try:
        kept = record if is_planted(Defect.TRACE_LEAK) else redactor.value(record)
        line = json.dumps(kept, ensure_ascii=True) + "\n"
        _append(traces.path, line.encode("ascii"))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        logger.warning("trace not stored: %s: %s", type(error).__name__, error)


def _append(path: str, line: bytes) -> None:
    # Unbuffered, so that a line is one write and two runs cannot interleave; readable by the owner only,
    # because a conversation is private even without its secrets.
    with open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(line)
