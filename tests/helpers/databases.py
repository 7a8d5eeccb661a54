"""Databases in memory that need no migration."""

from __future__ import annotations

import sqlite3
from functools import cache

from statusjob.server.store.interface import Tx
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.store.sqlite_file import MEMORY, connect
from tests.helpers.lanes import InlineLane


def connect_migrated(path: str) -> sqlite3.Connection:
    """
    Open a database as the store does. One in memory begins as a copy of one that was migrated,
    because the migrations take longer than most tests.
    """
    connection = connect(path)
    if path == MEMORY:
        connection.deserialize(_migrated())
    return connection


@cache
def _migrated() -> bytes:
    connection = connect(MEMORY)

    def nothing(tx: Tx) -> None:
        """Leave the tables empty."""

    store = SQLiteStore(
        MEMORY,
        seconds=lambda: 0.0,
        monotonic=lambda: 0.0,
        lanes=lambda name: InlineLane(),
        committed=lambda updates: None,
        render=lambda job: b"",
        connect=lambda path: connection,
    )
    store.open(nothing)
    pages = connection.serialize()
    store.abandon()
    return pages
