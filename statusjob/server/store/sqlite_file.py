"""
The file of a SQLite database: it is private to its owner, and one process at a time may use it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable

from statusjob.server.store.interface import StoreUnusable

#: Opens the database at a path.
Connect = Callable[[str], sqlite3.Connection]

#: The path of a database in memory.
MEMORY = ":memory:"


def lock(path: str) -> int:
    """
    Lock a database for this process, and create its file if there is none.

    The lock is on a file beside the database, as closing any handle on the database itself would
    drop SQLite's own POSIX locks.

    @return: a file descriptor. The lock ends when it is closed, or with the process.
    @raise StoreUnusable: if another process has the lock.
    @raise OSError: if a file cannot be opened.
    """
    # By the real path: a symbolic link to the file is the same file.
    descriptor = _open_private(f"{os.path.realpath(path)}.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file = _open_private(path)
        try:
            # The file may be older than this: it holds the secrets of webhooks.
            os.fchmod(file, 0o600)
        finally:
            os.close(file)
    except BlockingIOError:
        os.close(descriptor)
        raise StoreUnusable("another statusjob is using it") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_private(path: str) -> int:
    """Open a file, or create one that only its owner may read."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def connect(path: str) -> sqlite3.Connection:
    """
    Open a database.

    @param path: of the file, or C{:memory:}.
    """
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        timeout=5,
        cached_statements=256,
    )
    connection.row_factory = sqlite3.Row
    return connection


def is_ours(connection: sqlite3.Connection) -> bool:
    """Whether a database is empty, or has the tables of statusjob."""
    names = {row["name"] for row in connection.execute("SELECT name FROM sqlite_master")}
    return not names or "schema_version" in names
