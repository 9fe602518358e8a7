"""The report contract on disk: JSON Lines, each complete the moment it is written."""

from __future__ import annotations

import json
import os
from typing import Any, Final

SCHEMA: Final = 1

# Bound early: a test may leave os.open or os.write patched, and the report must survive that.
_open, _write, _close, _fstat, _truncate = os.open, os.write, os.close, os.fstat, os.ftruncate
_dumps = json.dumps


class JsonLines:
    """Writes one JSON object a line, straight to the file, so that a crash loses nothing.

    path is absolute. Raises OSError when it cannot be opened for writing. A later failure (a full
    disk) takes the incomplete line back and stops the writing: failure tells why.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure: OSError | None = None
        self._fd = _open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o666)
        self._identity = self._identify()
        self._size = 0

    def write(self, record: dict[str, Any]) -> None:
        """Append one object; after a failure nothing more is written."""
        if self.failure is not None:
            return
        line = (_dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        try:
            self._reopen_if_lost()
            written = _write(self._fd, line)
            if written != len(line):
                _truncate(self._fd, self._size)
                raise OSError(28, os.strerror(28), self.path)
        except OSError as error:
            self.failure = error
        else:
            self._size += len(line)

    def close(self) -> None:
        """Close the file if it is still ours."""
        if self._identify() == self._identity:
            _close(self._fd)

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = _fstat(self._fd)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _reopen_if_lost(self) -> None:
        """A test may have closed our descriptor, and its number may be somebody else's file by now."""
        if self._identify() != self._identity:
            self._fd = _open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self._identity = self._identify()
