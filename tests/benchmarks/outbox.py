"""An outbox on a file with real delivery, for benchmarks: filled, then brought to a sink."""

from __future__ import annotations

import time
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet.task import deferLater

from statusjob.contract.jobs import webhook_payload
from statusjob.jobs import EventType, Job, Status, new_job_id
from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import LookupThreads, Resolver
from statusjob.server.delivery.worker import DeliveryWorker
from statusjob.server.feed import Feed
from statusjob.server.lanes import ThreadLane
from statusjob.server.store import webhooks
from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_write import write_deliveries
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.webhooks.urls import origin_of
from tests.helpers.secrets import SECRET

#: Origins at which the sink is reached: loopback addresses.
ORIGINS = 4


class Outbox:
    """
    A store, a feed and delivery.

    @ivar port: of the sink.
    """

    def __init__(self, reactor: Any, directory: str, port: int) -> None:
        self.reactor = reactor
        self.port = port
        self.feed = Feed()
        self.store = SQLiteStore(
            str(Path(directory) / "outbox.sqlite"),
            seconds=reactor.seconds,
            monotonic=reactor.seconds,
            lanes=lambda name: ThreadLane(reactor, name),
            committed=self.feed.committed,
            render=webhook_payload,
        )
        self.store.open(lambda tx: None)
        threads = LookupThreads(reactor)
        guard = Guard(reactor, Resolver(threads.look_up), [ip_network("127.0.0.0/8")])
        self.poster = Poster(reactor, GuardedEndpoints(reactor, guard).endpoint)
        attempt = partial(make_attempt, poster=self.poster, now=reactor.seconds)
        self.delivery = DeliveryWorker(reactor, self.store, self.feed, attempt, schedule=(0, 60))

    async def fill(self, count: int) -> None:
        """Let so many deliveries be due: one a job."""
        await self.store.write(self._register)
        for begin in range(0, count, 500):
            await self.store.write(partial(_finish_jobs, begin=begin, count=500))

    def _register(self, tx: Tx) -> None:
        for origin in range(ORIGINS):
            self._register_one(tx, origin)

    def _register_one(self, tx: Tx, origin: int) -> None:
        url = f"http://127.0.0.{1 + origin}:{self.port}/hook"
        webhooks.add(
            tx,
            url=url,
            origin=origin_of(url),
            job_id=None,
            kind=f"kind{origin}",
            events=[EventType.COMPLETED],
            secret=SECRET,
            name=None,
        )

    async def deliver(self, seconds: float) -> float:
        """Deliver for so long; deliveries a second."""
        begun = time.perf_counter()
        self.delivery.start()
        await deferLater(self.reactor, seconds)
        await self.delivery.stop(5)
        taken = time.perf_counter() - begun
        (row,) = await self.store.read(
            lambda tx: tx.all("SELECT COUNT(*) AS n FROM deliveries WHERE state = 'delivered'")
        )
        done: int = row["n"]
        await self.poster.stop()
        await self.store.close()
        return done / taken


def _finish_jobs(tx: Tx, *, begin: int, count: int) -> None:
    for number in range(begin, begin + count):
        job = Job(
            id=new_job_id(tx.now, number),
            kind=f"kind{number % ORIGINS}",
            result=Status.COMPLETED,
            created_at=tx.now,
            updated_at=tx.now,
            finished_at=tx.now,
        )
        tx.execute(
            "INSERT INTO jobs (id, kind, result, version, created_at, updated_at, finished_at)"
            " VALUES (:id, :kind, 'completed', 1, :now, :now, :now)",
            id=job.id,
            kind=job.kind,
            now=tx.now,
        )
        write_deliveries(tx, job)
