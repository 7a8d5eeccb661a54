"""
Remember in a database which webhook deliveries were handled.

    python examples/webhook_memory.py [http://localhost:8080]

A C{WebhookReceiver} remembers by itself what was handled, but only as long as its
process lives. Here the memory is a file, C{handled.sqlite} in the working directory:
start the program twice, and the second process knows what the first one handled. Any
other database will do as well.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.web.server import Site

from statusjob import (
    StatusjobError,
    WebhookDelivery,
    WebhookEvent,
    WebhookReceiver,
    WorkerClient,
    new_secret,
)

DATABASE = "handled.sqlite"
#: What is older may be forgotten: the server does not try for longer (seconds).
WEEK = 7 * 86_400.0


class StoredMemory:
    """The memory: the two methods of C{statusjob.WebhookMemory}."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool = pool

    def is_handled(self, delivery: WebhookDelivery, now: float) -> Any:
        """Whether this delivery, or the same or a later version of its job, was handled."""
        return self.pool.runQuery(
            "SELECT 1 FROM handled WHERE id = ? OR (job = ? AND order_key >= ?) LIMIT 1",
            (delivery.id, delivery.job, delivery.order_key),
        ).addCallback(bool)

    def remember(self, delivery: WebhookDelivery, now: float) -> Any:
        """Write down that this delivery was handled."""
        return self.pool.runOperation(
            "INSERT OR REPLACE INTO handled (id, job, order_key, at) VALUES (?, ?, ?, ?)",
            (delivery.id, delivery.job, delivery.order_key, now),
        )


async def open_database(now: float) -> ConnectionPool:
    """Open the database, create its table if it is new, and forget what is too old."""
    pool = ConnectionPool("sqlite3", DATABASE, check_same_thread=False, cp_max=1)
    for statement in (
        "CREATE TABLE IF NOT EXISTS handled (id PRIMARY KEY, job, order_key, at)",
        "CREATE INDEX IF NOT EXISTS handled_jobs ON handled (job, order_key)",
    ):
        await pool.runOperation(statement)
    await pool.runOperation("DELETE FROM handled WHERE at < ?", (now - WEEK,))
    return pool


async def main(reactor: Any, base_url: str = "http://localhost:8080") -> None:
    """Receive the webhook of a job that we complete ourselves."""
    pool = await open_database(reactor.seconds())
    secret = new_secret()
    told: Deferred[WebhookEvent] = Deferred()
    receiver = WebhookReceiver(secret, on_update=told.callback, memory=StoredMemory(pool))
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Site(receiver))
    try:
        worker = WorkerClient(base_url, reactor=reactor)
        url = f"http://127.0.0.1:{port.getHost().port}/"
        job = await worker.create(webhook={"url": url, "secret": secret})
        await worker.complete(job.id)
        event = await told
        print(f"a webhook says {event.result}", flush=True)
    except StatusjobError as error:
        sys.exit(f"gave up: {error}")
    finally:
        await port.stopListening()
    [[count]] = await pool.runQuery("SELECT count(*) FROM handled")
    print(f"deliveries handled within a week: {count}", flush=True)
    pool.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
