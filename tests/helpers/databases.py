"""Databases in memory that need no migration, and stores on files."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import cache

from twisted.internet.task import Clock

from statusjob.contract.jobs import webhook_payload
from statusjob.server.feed import Feed
from statusjob.server.store.interface import Tx
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.store.sqlite_connection import MEMORY, Connect, connect
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
    store = store_on(MEMORY, connect=lambda path: connection)
    store.open(nothing)
    pages = connection.serialize()
    store.abandon()
    return pages


def store_on(
    path: str,
    *,
    pause: Callable[[float], None] = lambda seconds: None,
    clock: Clock | None = None,
    connect: Connect = connect,
) -> SQLiteStore:
    """
    A store that is not open yet.

    @param pause: is called for each pause while another store has the file; does not wait by
        default.
    """
    clock = clock or Clock()
    return SQLiteStore(
        path,
        seconds=clock.seconds,
        monotonic=clock.seconds,
        lanes=lambda name: InlineLane(),
        committed=Feed().committed,
        render=webhook_payload,
        connect=connect,
        pause=pause,
    )


def nothing(tx: Tx) -> None:
    """Change nothing when a store is opened."""
