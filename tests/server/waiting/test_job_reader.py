"""Streams that read at the same time share what is read."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from statusjob.jobs import Job
from statusjob.server.jobs.lifecycle import Lifecycle
from statusjob.server.store.interface import StoreBusy
from statusjob.server.store.job_lists import PAGE_BYTES
from statusjob.server.waiting import event_stream
from statusjob.server.waiting.events import KEPT_BYTES, EventEncoder
from statusjob.server.waiting.job_reader import PAGE, SHARED_PAGE, JobReader, States
from tests.helpers.connections import Following
from tests.helpers.streams import FollowTestCase
from tests.helpers.watchers import state


class ReaderTests(SynchronousTestCase):
    """A reader whose reads are held."""

    def setUp(self) -> None:
        self.reads: list[tuple[Sequence[str], Deferred[States]]] = []
        self.reader = JobReader(self.read)

    def read(self, job_ids: Sequence[str]) -> Deferred[States]:
        self.reads.append((job_ids, Deferred()))
        return self.reads[-1][1]

    def finish(self, version: int, *missing: str) -> None:
        """Finish the oldest read."""
        job_ids, read = self.reads.pop(0)
        read.callback({each: state(version, each) for each in job_ids if each not in missing})

    def test_those_who_ask_during_a_read_share_the_next(self) -> None:
        first = self.reader.read(["a", "b"])
        others = [self.reader.read(["a", "c"]) for _ in range(100)]
        self.assertEqual([ids for ids, _ in self.reads], [("a", "b")])
        self.finish(1)
        self.assertEqual(
            {each: job and job.version for each, job in self.successResultOf(first).items()},
            {"a": 1, "b": 1},
        )
        self.assertEqual([ids for ids, _ in self.reads], [("a", "c")])
        for other in others:
            self.assertNoResult(other)
        self.finish(2)
        for other in others:
            job = self.successResultOf(other)["a"]
            assert job is not None
            self.assertEqual(job.version, 2)
        self.assertEqual(self.reads, [])

    def test_a_read_is_bounded(self) -> None:
        self.reader.read(["x"])
        asked = [
            self.reader.read([f"{number}.{each}" for each in range(PAGE)]) for number in range(9)
        ]
        self.finish(1)
        while self.reads:
            self.assertLessEqual(len(self.reads[0][0]), SHARED_PAGE)
            self.finish(1)
        for each in asked:
            self.assertGreaterEqual(len(self.successResultOf(each)), PAGE)

    def test_a_failure_is_told_to_those_who_shared_the_read(self) -> None:
        self.reader.read(["x"])
        others = [self.reader.read(["a"]) for _ in range(2)]
        self.finish(1)
        self.reads.pop()[1].errback(StoreBusy("too much"))
        for other in others:
            self.failureResultOf(other, StoreBusy)
        later = self.reader.read(["a"])
        self.finish(1)
        self.successResultOf(later)


class EncoderTests(SynchronousTestCase):
    """Events that are sent on many streams are encoded once."""

    def test_the_events_of_some_jobs_are_kept(self) -> None:
        encoder = EventEncoder("")
        jobs = [state(1, str(number)) for number in range(100)]
        first = [encoder.encode(job) for job in jobs]
        for job, event in zip(jobs, first, strict=True):
            self.assertIs(encoder.encode(job), event)
        self.assertTrue(encoder.encode(jobs[0], with_id=True).startswith(b"id: 1\nevent: "))

    def test_not_too_much_is_kept(self) -> None:
        encoder = EventEncoder("")
        job = Job(id="a", version=1, created_at=0, updated_at=0, message="x" * 1_000)
        first = encoder.encode(job)
        for number in range(KEPT_BYTES // 400):
            encoder.encode(state(number))
        self.assertIsNot(encoder.encode(job), first)


class SharedTests(FollowTestCase):
    """Many streams that begin at the same time, on a whole server."""

    def count_reads(self) -> list[int]:
        """Count how many jobs each page has from now on."""
        pages: list[int] = []
        get_many = Lifecycle.get_many

        def get(lifecycle: Lifecycle, job_ids: Sequence[str]) -> Deferred[States]:
            pages.append(len(job_ids))
            return get_many(lifecycle, job_ids)

        reader = self.fake.server.api.job_reader
        self.patch(reader, "_read", lambda ids: get(self.fake.server.lifecycle, ids))
        return pages

    def test_prompt_readers_are_kept_while_many_jobs_are_created(self) -> None:
        self.patch(event_stream, "TO_READ_LIMIT", 20)
        jobs = {self.new_job() for _ in range(PAGE + 10)}
        site = self.fake.server.site
        crowd = [Following(site, "/events") for _ in range(10)]
        for _ in range(50):
            jobs.add(self.new_job())
        self.fake.clock.advance(0)
        for followed in crowd:
            self.assertEqual({event.data["id"] for event in followed.events()}, jobs)
            self.assertTrue(followed.open)
        self.assertEqual(self.fake.server.watchers.limits.reached, {})

    def test_large_jobs_are_read_a_few_at_a_time(self) -> None:
        jobs = [self.new_job() for _ in range(4)]
        large = "x" * (PAGE_BYTES // 3)
        for job in jobs:
            self.report(job, result="completed", output=large)
        pages = self.count_reads()
        followed = self.follow("/events")
        self.assertEqual([event.data["output"] for event in followed.events()], [large] * 4)
        self.assertEqual(pages, [4, 1])

    def test_the_stream_of_one_job_reads_it_once(self) -> None:
        pages = self.count_reads()
        self.assertEqual(self.follow_job(self.new_job()).versions(), [1])
        self.assertEqual(pages, [])
