"""
Durable writes a second: the store against C{adbapi}, running the same function.

    python -m tests.benchmarks.store

200 submitters, each waiting for its answer before its next report, C{synchronous=FULL} on both
sides, alternating rounds in one process. Then 100,000 reports on one job: what stays behind.
"""

from __future__ import annotations

import resource
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.enterprise.adbapi import ConnectionPool
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import react

from statusjob.contract.jobs import webhook_payload
from statusjob.jobs import Job, new_job_id
from statusjob.server.lanes import ThreadLane
from statusjob.server.store import jobs
from statusjob.server.store.interface import Tx
from statusjob.server.store.sqlite import SQLiteStore, _Transaction

SUBMITTERS = 200
ROUNDS = 5
SECONDS = 3.0

reactor: Any = _reactor
Write = Callable[[Callable[[Tx], Any]], Deferred[Any]]


def store_on(directory: str) -> SQLiteStore:
    """A store on a new file."""
    store = SQLiteStore(
        str(Path(directory) / "store.sqlite"),
        seconds=reactor.seconds,
        monotonic=reactor.seconds,
        lanes=lambda name: ThreadLane(reactor, name),
        committed=lambda updates: None,
        render=webhook_payload,
    )
    store.open(lambda tx: None)
    return store


def add_jobs(tx: Tx, count: int) -> list[str]:
    """Jobs to report on."""
    ids = []
    for number in range(count):
        job = Job(id=new_job_id(tx.now, number), created_at=tx.now, updated_at=tx.now)
        update = jobs.add(tx, job)
        assert update is not None
        jobs.record(tx, update)
        ids.append(job.id)
    return ids


def report(job: str, progress: float) -> Callable[[Tx], Job | None]:
    """One report: the job's row, its event, and the look for webhooks."""
    return lambda tx: jobs.change(tx, job, {"progress": progress}, heard=True)


async def measure(write: Write, jobs: list[str]) -> tuple[float, float]:
    """Reports a second, and the 99th percentile of their latency in milliseconds."""
    latencies: list[float] = []
    begin = time.perf_counter()
    end = begin + SECONDS

    async def submit(job: str) -> None:
        count = 0
        while (now := time.perf_counter()) < end:
            count += 1
            result = await write(report(job, count % 1000 / 1000))
            assert result is not None
            latencies.append(time.perf_counter() - now)

    await DeferredList(
        [Deferred.fromCoroutine(submit(job)) for job in jobs], fireOnOneErrback=True
    )
    rate = len(latencies) / (time.perf_counter() - begin)
    return rate, statistics.quantiles(latencies, n=100)[98] * 1000


def adbapi_on(path: str) -> tuple[ConnectionPool, Write]:
    """The same functions through C{adbapi}, as one would use it with SQLite."""

    def connected(connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    pool = ConnectionPool(
        "sqlite3",
        path,
        check_same_thread=False,
        timeout=60,
        cp_min=1,
        cp_max=1,
        cp_openfun=connected,
        cached_statements=256,
    )

    def write(work: Callable[[Tx], Any]) -> Deferred[Any]:
        def interaction(cursor: Any) -> Any:
            now = round(reactor.seconds(), 3)
            return work(_Transaction(cursor._connection, now, webhook_payload))

        result: Deferred[Any] = pool.runInteraction(interaction)
        return result

    return pool, write


async def main(_: object) -> None:
    """Print both, side by side."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as directory:
        store = store_on(directory)
        ours_jobs = await store.write(lambda tx: add_jobs(tx, SUBMITTERS))
        path = str(Path(directory) / "adbapi.sqlite")
        other = SQLiteStore(
            path,
            seconds=reactor.seconds,
            monotonic=reactor.seconds,
            lanes=lambda name: ThreadLane(reactor, name),
            committed=lambda updates: None,
            render=webhook_payload,
        )
        other.open(lambda tx: None)
        their_jobs = await other.write(lambda tx: add_jobs(tx, SUBMITTERS))
        await other.close()
        pool, write = adbapi_on(path)
        ours, theirs = [], []
        print(f"SQLite {sqlite3.sqlite_version}, {SUBMITTERS} submitters, {SECONDS:g} s a round")
        for _ in range(ROUNDS):
            ours.append(await measure(store.write, ours_jobs))
            theirs.append(await measure(write, their_jobs))
            print(
                f"store {ours[-1][0]:8.0f}/s  p99 {ours[-1][1]:6.2f} ms    "
                f"adbapi {theirs[-1][0]:8.0f}/s  p99 {theirs[-1][1]:6.2f} ms    "
                f"ratio {ours[-1][0] / theirs[-1][0]:.1f}",
                flush=True,
            )
        our_rate = statistics.median(rate for rate, _ in ours)
        their_rate = statistics.median(rate for rate, _ in theirs)
        print(
            f"median: store {our_rate:.0f}/s p99 {statistics.median(p for _, p in ours):.2f} ms,"
            f" adbapi {their_rate:.0f}/s p99 {statistics.median(p for _, p in theirs):.2f} ms,"
            f" ratio {our_rate / their_rate:.1f}"
        )
        pool.close()
        await one_job(store, 100_000)
        await store.close()


async def one_job(store: SQLiteStore, reports: int) -> None:
    """Report often on one job and count what stays."""
    (job,) = await store.write(lambda tx: add_jobs(tx, 1))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    for batch in range(0, reports, 1000):
        await DeferredList(
            [store.write(report(job, (batch + i) / reports)) for i in range(1000)],
            fireOnOneErrback=True,
        )
    elapsed = time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    row = await store.read(
        lambda tx: tx.one("SELECT COUNT(*) AS n FROM events WHERE job_id = :job", job=job)
    )
    assert row is not None
    print(
        f"{reports} reports on one job: {reports / elapsed:.0f}/s,"
        f" {row['n']} events kept, memory grew {grown} KiB"
    )


if __name__ == "__main__":
    react(main)
