"""A job that is run, followed and cancelled, on a real server over sockets."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThread

from statusjob import (
    Job,
    JobCancelled,
    JobFailed,
    JobFailure,
    JobFinished,
    JobHandle,
    Status,
    StatusClient,
    WorkerClient,
)
from tests.helpers.server_sockets import ServerSocketTestCase
from tests.helpers.sockets import reactor, until


class ServerTests(ServerSocketTestCase):
    """A worker and a watcher."""

    def setUp(self) -> None:
        super().setUp()
        address: Any = self.server.ports[0].getHost()
        self.worker = WorkerClient(f"http://127.0.0.1:{address.port}", reactor=reactor)

    async def test_a_watcher_follows_the_progress_that_a_worker_reports(self) -> None:
        async def work(job: JobHandle) -> dict[str, int]:
            for part in range(1, 4):
                await self.progress(job, part / 4)
            return {"parts": 4}

        created = await self.worker.create()
        updates = StatusClient(created, reactor=reactor).updates()
        followed = Deferred.fromCoroutine(self.taken(updates))
        await self.watched()
        done = await self.worker.run(created, work)
        self.assertEqual((done.result, done.output), (Status.COMPLETED, {"parts": 4}))
        jobs = await followed
        self.assertEqual(jobs[-1], done)
        self.assertEqual([each.progress for each in jobs[-4:]], [0.25, 0.5, 0.75, 0.75])

    async def test_a_worker_learns_of_a_cancellation_by_its_heartbeat(self) -> None:
        begun: Deferred[None] = Deferred()
        cancelled: list[str] = []

        def work(job: JobHandle) -> Deferred[None]:
            begun.callback(None)
            return Deferred(lambda _: cancelled.append(job.id))

        created = await self.worker.create(heartbeat=0.5)
        done = self.worker.run(created, work)
        await begun
        await self.server.lifecycle.cancel(created.id)
        await self.assertFailure(done, JobCancelled)
        self.assertEqual(cancelled, [created.id])

    async def test_a_job_that_failed_keeps_its_partial_results(self) -> None:
        def work(_: JobHandle) -> None:
            raise JobFailed("disk-full", "after 3 files", output=["a", "b", "c"])

        created = await self.worker.create()
        with self.assertRaises(JobFailed):
            await self.worker.run(created, work)
        (job,) = (await self.worker.list_jobs(result=Status.ERROR)).jobs
        self.assertEqual(
            (job.error, job.output), (JobFailure("disk-full", "after 3 files"), ["a", "b", "c"])
        )

    async def test_a_final_report_whose_answer_was_lost_may_come_again(self) -> None:
        created = await self.worker.create()
        for _ in range(2):
            job = await self.worker.complete(created, output={"a": [1, None, 0.1]}, message="x")
        self.assertEqual((job.result, job.version), (Status.COMPLETED, 2))
        for _ in range(2):
            with self.assertRaises(JobFinished):
                await self.worker.cancel(created.url)

    async def test_a_job_that_was_cancelled_is_cancelled_again(self) -> None:
        created = await self.worker.create()
        first, second = [await self.worker.cancel(created) for _ in range(2)]
        self.assertEqual(first, second)
        with self.assertRaises(JobCancelled) as raised:
            await self.worker.complete(created, output="late")
        self.assertEqual(raised.exception.output, "late")

    async def test_work_in_a_thread_reports_its_progress_and_its_end(self) -> None:
        reported = threading.Event()

        def work(job: JobHandle) -> str:
            for part in range(1000):
                job.progress(part / 1000, message=f"part {part}")
            handles.append(job)
            reported.wait(60)
            job.progress(1, message="done")
            return threading.current_thread().name

        handles: list[JobHandle] = []
        created = await self.worker.create(heartbeat=60)
        done = self.worker.run(created, lambda job: deferToThread(work, job))
        await until(lambda: handles and handles[0].job.progress == 0.999)
        self.assertEqual(handles[0].job.message, "part 999")
        reported.set()
        ended = await done
        self.assertEqual((ended.progress, ended.message), (1, "done"))
        self.assertNotEqual(ended.output, threading.current_thread().name)

    async def test_work_in_a_thread_learns_of_a_cancellation(self) -> None:
        def work(job: JobHandle) -> None:
            begun.set()
            while not job.stopped:
                time.sleep(0.01)
            learned.set()
            # This has no effect any more.
            job.progress(0.5)

        begun, learned = threading.Event(), threading.Event()
        created = await self.worker.create(heartbeat=0.5)
        done = self.worker.run(created, lambda job: deferToThread(work, job))
        await until(begun.is_set)
        await self.server.lifecycle.cancel(created.id)
        await self.assertFailure(done, JobCancelled)
        await until(learned.is_set)

    async def test_work_in_a_thread_of_a_run_that_is_cancelled_learns_of_it(self) -> None:
        def work(job: JobHandle) -> None:
            begun.set()
            while not job.stopped:
                time.sleep(0.01)
            learned.set()

        begun, learned = threading.Event(), threading.Event()
        created = await self.worker.create()
        done = self.worker.run(created, lambda job: deferToThread(work, job))
        await until(begun.is_set)
        done.cancel()
        await self.assertFailure(done, CancelledError)
        await until(learned.is_set)

    async def progress(self, job: JobHandle, value: float) -> None:
        """Report progress, and wait until the server has confirmed it."""
        job.progress(value)
        await until(lambda: job.job.progress == value)

    async def taken(self, updates: Any) -> list[Job]:
        """Return all states."""
        return [job async for job in updates]
