"""
Connections to a SQLite database, and their settings.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from statusjob.server.store.interface import StoreUnusable
from statusjob.server.store.page_cache import page_cache_size

#: Opens the database at a path.
Connect = Callable[[str], sqlite3.Connection]

#: The path of a database in memory.
MEMORY = ":memory:"

#: Pages that the write-ahead log may hold before they are copied back. Every batch changes
#: hundreds of pages, mostly the same as the batch before: copying them seldom is cheaper.
CHECKPOINT_PAGES = 8192
#: A write-ahead log that has become longer than this many bytes is cut once it is copied back.
LOG_LIMIT = 64 << 20

#: Extended codes that mean: the file system cannot share memory between programs.
_NO_SHARED_MEMORY = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
    }
)
_LOCAL_DISK = (
    "its file system cannot share memory between programs (mmap), which SQLite needs:"
    " use a local disk"
)


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
    """
    Whether a database is empty, or has the tables of statusjob. Other programs, too, have a table
    of that name.
    """
    columns = {row["name"] for row in connection.execute("PRAGMA table_info(schema_version)")}
    if columns:
        return {"version", "compatible"} <= columns
    return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def set_up_writer(writer: sqlite3.Connection, path: str) -> None:
    """
    Make the settings of the connection that writes. Two of them stay in the file: its journal is a
    write-ahead log, and a new file can give pages back.

    @raise StoreUnusable: if the file cannot have a write-ahead log.
    """
    # This has an effect only as long as there are no tables.
    if path != MEMORY:
        writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
    (mode,) = writer.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal" and path != MEMORY:
        raise StoreUnusable(_LOCAL_DISK)
    writer.execute("PRAGMA synchronous = FULL")
    writer.execute("PRAGMA temp_store = MEMORY")
    writer.execute(f"PRAGMA cache_size = -{page_cache_size() >> 10}")
    writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    writer.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
    writer.execute("PRAGMA foreign_keys = ON")


def connect_reader(connect: Connect, path: str) -> sqlite3.Connection:
    """Open a connection that can read and nothing else."""
    reader = connect(path)
    reader.execute("PRAGMA query_only = ON")
    reader.execute("PRAGMA temp_store = MEMORY")
    return reader


def explain(error: sqlite3.Error, path: str, had_log: bool) -> str:
    """
    Say why a database cannot be opened, with what probably helps.

    @param had_log: whether a write-ahead log was beside it already.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _NO_SHARED_MEMORY:
        return _LOCAL_DISK
    match code & 0xFF:
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
            return f"{error}: SQLite must be able to write it, and to create files beside it"
        case sqlite3.SQLITE_BUSY:
            return f"{error}: another program is using it"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB if had_log:
            return (
                f"{error}: to restore a copy, remove {path}-wal and {path}-shm first, and copy it"
                " again"
            )
    return str(error)
