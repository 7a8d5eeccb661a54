"""A database with much in it."""

from __future__ import annotations

import itertools
import sqlite3
import time
from pathlib import Path

from statusjob.jobs import new_job_id
from tests.helpers.secrets import SECRET

#: How much there is in the largest one that is measured.
JOBS, DELIVERIES, ORIGINS = 1_000_000, 400_000, 5_000
KINDS = ("export", "import", "scan")


def fill(path: Path, job_count: int, delivery_count: int, origin_count: int) -> None:
    """
    Write finished jobs, deliveries that are over, and origins at which a delivery waits that is
    not due for long, in a database that a store has made.
    """
    database = sqlite3.connect(path)
    now = time.time()

    def job_id(number: int) -> str:
        return new_job_id(now - 86_400 + number / 1000, number)

    with database:
        database.executemany(
            "INSERT INTO jobs (id, kind, result, version, created_at, updated_at, finished_at)"
            " VALUES (?, ?, 'completed', 2, ?, ?, ?)",
            (
                (job_id(number), KINDS[number % 3], now - 9000, now - 8000, now - 8000)
                for number in range(job_count)
            ),
        )
        database.executemany(
            "INSERT INTO origins (origin, ready_at) VALUES (?, ?)",
            (
                (f"http://192.0.2.1:{10_000 + number}", now + 80_000)
                for number in range(origin_count)
            ),
        )
        database.executemany(
            "INSERT INTO webhooks (id, origin_id, kind, url, events, secret, created_at)"
            " SELECT 'wh_' || id, id, 'other', origin || '/hook', 'job.completed', ?, ?"
            " FROM origins",
            [(SECRET, now)],
        )
        first_origin = database.execute("SELECT MIN(id) FROM origins").fetchone()[0]

        def delivery(number: int, state: str) -> tuple[object, ...]:
            origin = first_origin + number % max(1, origin_count)
            over = state != "pending"
            finished = now - 7000 if over else None
            due = now - 8000 if over else now + 80_000
            return (
                f"msg_{state}_{number}",
                f"wh_{origin if not over else first_origin}",
                origin if not over else first_origin,
                job_id(number % job_count),
                number + 1,
                state,
                due,
                now - 8000,
                finished,
            )

        database.executemany(
            "INSERT INTO bodies (id, job_id, version, body) VALUES (?, ?, 2, '{}')",
            (
                (number + 1, job_id(number))
                for number in range(min(job_count, max(delivery_count, origin_count)))
            ),
        )
        states = ("delivered", "delivered", "delivered", "superseded", "dead")
        database.executemany(
            "INSERT INTO deliveries (id, webhook_id, origin_id, job_id, version, type, body_id,"
            " state, due_at, created_at, finished_at)"
            " VALUES (?, ?, ?, ?, 2, 'job.completed', ?, ?, ?, ?, ?)",
            itertools.chain(
                (
                    delivery(number, states[number % 5])
                    for number in range(min(job_count, delivery_count))
                ),
                (delivery(number, "pending") for number in range(origin_count)),
            ),
        )
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
