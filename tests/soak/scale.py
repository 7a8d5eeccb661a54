"""
The store with much in it, beside an empty one.

    python -m tests.soak.scale [jobs deliveries origins]

Fills a database with 1,000,000 finished jobs, 400,000 deliveries that are over and 5,000 origins
at which a delivery waits, none of them due. Then it runs every operation of the API on this store
and on an empty one, in alternating blocks, and prints the median time of each and the ratio. The
file takes 600 MB of disk.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from statusjob.contract.jobs import webhook_payload
from statusjob.contract.webhooks import DeliveryState
from statusjob.jobs import EventType, Job, Status, new_job_id
from statusjob.server.lanes import ThreadLane
from statusjob.server.store import (
    delivery_log,
    due_jobs,
    job_lists,
    jobs,
    origins,
    outbox_claim,
    outbox_settle,
    retention,
    webhooks,
)
from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_settle import Outcome, Retry
from statusjob.server.store.sqlite import SQLiteStore
from statusjob.server.webhooks.urls import origin_of
from tests.helpers.large_database import DELIVERIES, JOBS, ORIGINS, fill
from tests.helpers.secrets import SECRET

#: Runs of each operation on each store, and how many of them follow each other.
RUNS, BLOCK = 200, 20
NODE = "node"
RETRY = Retry(wait=5.0, exhausted=False, longest=86_400.0, lifetime=86_400.0, draw=0.5)

Operation = Callable[[Tx], object]


def open_store(reactor: Any, path: Path) -> SQLiteStore:
    """A store on a file, as a server has it."""
    store = SQLiteStore(
        str(path),
        seconds=reactor.seconds,
        monotonic=reactor.seconds,
        lanes=lambda name: ThreadLane(reactor, name),
        committed=lambda updates: None,
        render=webhook_payload,
    )
    store.open(lambda tx: None)
    return store


def operations(job: Job, webhook: str) -> Iterator[tuple[str, bool, Operation]]:
    """
    The operations, each with whether it writes.

    @param job: a pending job that nobody watches.
    @param webhook: a webhook whose deliveries are listed.
    """
    progress = itertools.count(1)
    numbers = itertools.count(1)

    def create(tx: Tx) -> None:
        new = Job(id=new_job_id(tx.now, next(numbers)), created_at=tx.now, updated_at=tx.now)
        update = jobs.add(tx, new)
        assert update is not None
        jobs.record(tx, update)

    def deliver(tx: Tx) -> None:
        """Write a delivery, claim it and settle it."""
        new = Job(
            id=new_job_id(tx.now, next(numbers)), kind="told", created_at=tx.now, updated_at=tx.now
        )
        update = jobs.add(tx, new)
        assert update is not None
        jobs.record(tx, update)
        assert jobs.change(tx, new.id, {"result": "completed"}) is not None
        (claim,) = outbox_claim.claim(tx, NODE, 32, 32).claims
        outbox_settle.settle(tx, NODE, claim, Outcome(kind="ok", status=200), RETRY)

    def expire(tx: Tx) -> None:
        retention.delete_batch(tx, 1e9, retention.Place(), time.perf_counter)

    yield "GET a job", False, lambda tx: jobs.get(tx, job.id)
    yield "GET its status", False, lambda tx: jobs.poll(tx, job.id)
    yield "PATCH", True, lambda tx: jobs.change(tx, job.id, {"progress": next(progress) / 1e6})
    yield "POST a job", True, create
    yield "claim, none due", True, lambda tx: outbox_claim.claim(tx, NODE, 32, 32)
    yield "create, end, claim, settle", True, deliver
    yield "next delivery due", False, origins.next_ready
    yield "next job due", False, due_jobs.next_due
    yield "retention, none old", True, expire
    for result, kind in itertools.product((None, *Status), (None, "export")):
        name = (
            f"list{'' if result is None else f' result={result}'}{f' kind={kind}' if kind else ''}"
        )

        def page(tx: Tx, result: Status | None = result, kind: str | None = kind) -> object:
            return job_lists.page(tx, limit=20, before=None, result=result, kind=kind)

        yield name, False, page
    for state in (None, *DeliveryState):

        def log(tx: Tx, state: DeliveryState | None = state) -> object:
            return delivery_log.page(tx, webhook, limit=20, before=None, state=state)

        yield f"deliveries{'' if state is None else f' state={state}'}", False, log
    yield "webhooks", False, lambda tx: webhooks.page(tx, limit=20, before=None)


async def prepare(store: SQLiteStore) -> tuple[Job, str]:
    """A pending job, a webhook for jobs of the kind C{told}, and one whose log is listed."""

    def work(tx: Tx) -> tuple[Job, str]:
        job = Job(id=new_job_id(tx.now, 0), created_at=tx.now, updated_at=tx.now)
        update = jobs.add(tx, job)
        assert update is not None
        jobs.record(tx, update)
        url = "http://192.0.2.2/hook"
        told = webhooks.add(
            tx,
            url=url,
            origin=origin_of(url),
            job_id=None,
            kind="told",
            events=[EventType.COMPLETED],
            secret=SECRET,
            name=None,
        )
        row = tx.one("SELECT MIN(id) AS id FROM origins")
        assert row is not None
        listed = tx.one("SELECT id FROM webhooks WHERE id = :id", id=f"wh_{row['id']}")
        return job, told if listed is None else listed["id"]

    return await store.write(work)


async def measure(store: SQLiteStore, writes: bool, operation: Operation) -> float:
    """Seconds that one operation takes, its commit included."""
    begun = time.perf_counter()
    await (store.write if writes else store.read)(operation)
    return time.perf_counter() - begun


async def main(reactor: Any, *counts: str) -> None:
    """Fill, measure, print."""
    sizes = [int(each) for each in counts] or [JOBS, DELIVERIES, ORIGINS]
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / name for name in ("empty.sqlite", "full.sqlite")]
        first = open_store(reactor, paths[1])
        await first.close()
        begun = time.perf_counter()
        fill(paths[1], *sizes)
        size = paths[1].stat().st_size / 2**20
        print(f"filled in {time.perf_counter() - begun:.0f} s: {size:.0f} MiB", flush=True)
        stores = []
        for path in paths:
            begun = time.perf_counter()
            stores.append(open_store(reactor, path))
            print(f"{path.name} opens in {time.perf_counter() - begun:.2f} s", flush=True)
        tables = [list(operations(*await prepare(store))) for store in stores]
        for pair in zip(*tables, strict=True):
            taken: list[list[float]] = [[], []]
            for _ in range(RUNS // BLOCK):
                for which, (_, writes, operation) in enumerate(pair):
                    # The first of a block pays for what the other store has pushed out of the
                    # processor's caches.
                    await measure(stores[which], writes, operation)
                    for _ in range(BLOCK):
                        taken[which].append(await measure(stores[which], writes, operation))
            empty, full = (statistics.median(times) * 1000 for times in taken)
            print(
                f"{pair[0][0]:32} empty {empty:7.3f} ms  full {full:7.3f} ms"
                f"  ratio {full / empty:5.2f}  max {max(taken[1]) * 1000:7.2f} ms",
                flush=True,
            )
        for store in stores:
            await store.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
