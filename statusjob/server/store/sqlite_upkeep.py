"""
What a SQLite file needs from time to time: free pages are given back to the file system, and
somebody must be told if the write-ahead log cannot be copied back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from twisted.logger import Logger

from statusjob.server.store.sqlite_connection import LOG_LIMIT
from statusjob.server.store.sqlite_file import DatabaseFile

#: Seconds between two times at which L{Upkeep} looks.
PAUSE = 1.0
#: Pages that are given back at a time, so that writers hardly notice, and free pages that are kept
#: because new jobs will need them.
PAGES = 128
SPARE_PAGES = 2048

_INCREMENTAL = 2


class Upkeep:
    """Looks after a file during its writes."""

    _log = Logger()

    def __init__(
        self, writer: sqlite3.Connection, file: DatabaseFile, monotonic: Callable[[], float]
    ) -> None:
        """
        @param monotonic: gives the seconds of a clock that nobody sets.
        """
        self._writer = writer
        self._file = file
        self._log_path = f"{file.real_path}-wal"
        self._monotonic = monotonic
        self._next = monotonic()
        self._warn_at = 2 * LOG_LIMIT
        (mode,) = writer.execute("PRAGMA auto_vacuum").fetchone()
        self._gives_back = mode == _INCREMENTAL

    def step(self) -> None:
        """
        Do a little of what has to be done. Runs in a write transaction, in its lane.

        @raise StoreUnavailable: if a file beside the database was moved or deleted.
        """
        if self._monotonic() < self._next:
            return
        log_size = self._file.check_beside()
        # Only now: a file that is missing must be missed by every transaction.
        self._next = self._monotonic() + PAUSE
        self._watch_log(log_size)
        if self._gives_back:
            (free,) = self._writer.execute("PRAGMA freelist_count").fetchone()
            if free > SPARE_PAGES:
                # Whatever the number, Python's sqlite3 ends the statement after one page.
                for _ in range(PAGES):
                    self._writer.execute("PRAGMA incremental_vacuum(1)")

    def _watch_log(self, size: int) -> None:
        """Warn of a log that grows: once, and again each time that it has doubled."""
        if size <= LOG_LIMIT:
            self._warn_at = 2 * LOG_LIMIT
        elif size >= self._warn_at:
            self._warn_at = 2 * size
            self._log.warn(
                "the write-ahead log {path} has {mib} MiB and cannot be copied back: another"
                " program, such as a forgotten sqlite3 shell, is reading the database",
                path=self._log_path,
                mib=size >> 20,
            )
