"""
Posts with aiohttp, and an outbox in SQLite as services usually have it.

    python -m tests.benchmarks.peers.post_aiohttp PORT SECONDS [DATABASE]

With a database, a worker selects deliveries that are due, a batch at a time, posts them, and
updates each when it is done. It is as durable as statusjob, but neither signs nor checks
addresses, and it keeps no order.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time

import aiohttp
import uvloop

from tests.benchmarks.delivery import BODY, CONCURRENCY
from tests.benchmarks.outbox import ORIGINS

#: How many deliveries the worker selects at a time, and how many are due at the start.
BATCH, DUE = 100, 100_000
HEADERS = {"Content-Type": "application/json"}


def url_of(port: int, number: int) -> str:
    """The receiver of a post."""
    return f"http://127.0.0.{1 + number % ORIGINS}:{port}/hook"


async def post_only(session: aiohttp.ClientSession, port: int, until: float) -> int:
    """Post, and keep nothing."""

    async def worker(number: int) -> int:
        done = 0
        while time.perf_counter() < until:
            async with session.post(url_of(port, number), data=BODY, headers=HEADERS) as response:
                await response.read()
            done += 1
        return done

    return sum(await asyncio.gather(*map(worker, range(CONCURRENCY))))


def fill(database: sqlite3.Connection, port: int) -> None:
    """Make the outbox, with much that is due."""
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = FULL")
    with database:
        database.execute(
            "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, url TEXT, body TEXT,"
            " state TEXT NOT NULL, attempts INTEGER NOT NULL, due_at REAL, finished_at REAL)"
        )
        database.execute("CREATE INDEX due ON deliveries (due_at) WHERE state = 'pending'")
        database.executemany(
            "INSERT INTO deliveries (url, body, state, attempts, due_at)"
            " VALUES (?, ?, 'pending', 0, ?)",
            ((url_of(port, number), BODY.decode(), time.time()) for number in range(DUE)),
        )


async def from_outbox(
    session: aiohttp.ClientSession, database: sqlite3.Connection, until: float
) -> int:
    """Deliver what is due."""
    done = 0
    slots = asyncio.Semaphore(CONCURRENCY)

    async def deliver(delivery: int, url: str, body: str) -> None:
        nonlocal done
        async with slots, session.post(url, data=body, headers=HEADERS) as response:
            await response.read()
            delivered = response.ok
        with database:
            if delivered:
                database.execute(
                    "UPDATE deliveries SET state = 'delivered', attempts = attempts + 1,"
                    " finished_at = ? WHERE id = ?",
                    (time.time(), delivery),
                )
            else:
                database.execute(
                    "UPDATE deliveries SET attempts = attempts + 1, due_at = ? WHERE id = ?",
                    (time.time() + 5, delivery),
                )
        done += delivered

    while time.perf_counter() < until:
        due = database.execute(
            "SELECT id, url, body FROM deliveries WHERE state = 'pending' AND due_at <= ?"
            " ORDER BY due_at LIMIT ?",
            (time.time(), BATCH),
        ).fetchall()
        await asyncio.gather(*[deliver(*row) for row in due])
    return done


async def main(port: int, seconds: float, path: str | None) -> None:
    """Print what was done."""
    database = None if path is None else sqlite3.connect(path)
    if database is not None:
        fill(database, port)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        begun, before = time.perf_counter(), time.process_time()
        until = begun + seconds
        if database is None:
            requests = await post_only(session, port, until)
        else:
            requests = await from_outbox(session, database, until)
        taken, cpu = time.perf_counter() - begun, time.process_time() - before
    print(json.dumps({"requests": requests, "seconds": taken, "cpu": cpu}))


if __name__ == "__main__":
    given = sys.argv[3] if sys.argv[3:] else None
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2]), given))
