"""Streams whose clients read slowly, or not at all."""

from __future__ import annotations

from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import Job
from statusjob.server.store.interface import Update
from statusjob.server.waiting.event_stream import (
    BEAT_SECONDS,
    NEW_STATES_LIMIT,
    TO_READ_LIMIT,
    TURN_EVENTS,
)
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.connections import Following
from tests.helpers.servers import EPOCH, HeldServerTestCase
from tests.helpers.streams import FollowTestCase


class SlowTestCase(FollowTestCase):
    """Clients that stop reading and read again."""

    def pause(self, followed: Following) -> None:
        followed.connection.protocol.pauseProducing()

    def resume(self, followed: Following) -> None:
        followed.connection.protocol.resumeProducing()
        self.fake.clock.advance(0)


class OneJobTests(SlowTestCase):
    """The stream of one job."""

    def setUp(self) -> None:
        super().setUp()
        self.job = self.new_job()
        self.followed = self.follow_job(self.job)
        self.followed.events()

    def test_progress_is_skipped_until_the_client_reads_again(self) -> None:
        self.pause(self.followed)
        for progress in (0.1, 0.2, 0.3):
            self.report(self.job, progress=progress)
        self.assertEqual(self.followed.versions(), [])
        self.resume(self.followed)
        self.assertEqual(self.followed.versions(), [4])
        self.report(self.job, progress=0.4)
        self.assertEqual(self.followed.versions(), [5])

    def test_the_end_is_not_skipped(self) -> None:
        self.pause(self.followed)
        self.report(self.job, progress=0.1)
        self.report(self.job, result="completed")
        self.assertEqual((self.followed.events(), self.followed.ended), ([], False))
        self.resume(self.followed)
        (event,) = self.followed.events()
        self.assertEqual((event.type, self.followed.ended), ("job.completed", True))

    def test_an_update_just_before_the_client_stops_reading_is_not_lost(self) -> None:
        self.fake.server.lifecycle.report(self.job, Report(progress=0.1))
        self.pause(self.followed)
        self.fake.clock.advance(0)
        self.assertEqual(self.followed.versions(), [])
        self.resume(self.followed)
        self.assertEqual(self.followed.versions(), [2])

    def test_a_client_may_stop_reading_while_it_catches_up(self) -> None:
        self.pause(self.followed)
        self.report(self.job, progress=0.1)
        transport = self.followed.connection.transport
        write = transport.writeSequence

        def write_and_fill(data: list[bytes]) -> None:
            write(data)
            self.pause(self.followed)

        self.patch(transport, "writeSequence", write_and_fill)
        self.resume(self.followed)
        self.report(self.job, progress=0.2)
        self.assertEqual(self.followed.versions(), [2])
        self.resume(self.followed)
        self.assertEqual(self.followed.versions(), [3])

    def test_a_client_that_reads_again_in_time_is_kept(self) -> None:
        self.pause(self.followed)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.resume(self.followed)
        self.pause(self.followed)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.resume(self.followed)
        self.fake.clock.pump([BEAT_SECONDS + TIMER_RESOLUTION] * 3)
        self.report(self.job, result="completed")
        self.assertEqual((self.followed.versions(), self.followed.comments), ([2], 3))

    def test_a_client_that_reads_nothing_for_too_long_is_aborted(self) -> None:
        self.pause(self.followed)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.assertTrue(self.followed.connection.open)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.assertTrue(self.followed.connection.aborted)
        self.assertEqual(self.followed.comments, 0)
        self.assert_nobody_follows()


class ManyJobsTests(SlowTestCase):
    """A stream of many jobs."""

    def told(self, followed: Following) -> list[tuple[str, int]]:
        return [(event.data["id"], event.data["version"]) for event in followed.events()]

    def announce(self, count: int) -> list[Job]:
        """Announce a commit that changed so many jobs, which are not in the store."""
        jobs = [
            Job(id=str(number), version=2, created_at=EPOCH, updated_at=EPOCH)
            for number in range(count)
        ]
        self.fake.server.feed.committed([Update(job=job, changed=True) for job in jobs])
        return jobs

    def test_each_job_is_sent_once_in_its_newest_state(self) -> None:
        first, second, third = (self.new_job() for _ in range(3))
        followed = self.follow("/events?kind=default")
        followed.events()
        self.pause(followed)
        for job in (second, first, second):
            self.report(job, progress=len(job) / 100)
            self.report(job, message=f"after {job}")
        self.report(first, result="completed")
        self.assertEqual(self.told(followed), [])
        self.resume(followed)
        self.assertEqual(self.told(followed), [(second, 3), (first, 4)])
        self.report(third, progress=0.5)
        self.assertEqual(self.told(followed), [(third, 2)])

    def test_a_client_that_is_behind_with_too_many_jobs_is_soon_aborted(self) -> None:
        patient, hasty = self.follow("/events"), self.follow("/events")
        for count, followed in ((TO_READ_LIMIT, patient), (TO_READ_LIMIT + 1, hasty)):
            self.pause(followed)
            self.announce(count)
            self.resume(patient)
        self.pause(patient)
        self.fake.clock.advance(BEAT_SECONDS - 1)
        self.assertTrue(patient.connection.open and hasty.connection.open)
        self.fake.clock.advance(1 + TIMER_RESOLUTION)
        self.assertEqual((patient.connection.open, hasty.connection.aborted), (True, True))
        self.assertEqual(self.fake.server.watchers.limits.reached, {"slow-streams": 1})

    def test_a_client_that_reads_is_kept_however_far_behind_the_server_is(self) -> None:
        followed = self.follow("/events")
        jobs = [self.new_job() for _ in range(3)]
        self.pause(followed)
        self.announce(2 * TO_READ_LIMIT)
        self.report(jobs[0], result="completed")
        self.resume(followed)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.assertIn((jobs[0], 2), self.told(followed))
        self.assertEqual((followed.open, followed.comments), (True, 1))

    def test_a_stream_writes_a_few_events_per_turn(self) -> None:
        followed = self.follow("/events")
        followed.events()
        counts: list[int] = []

        def count() -> None:
            counts.append(len(followed.events()))
            if sum(counts) < 2 * TURN_EVENTS + 1:
                self.fake.clock.callLater(0, count)

        self.announce(2 * TURN_EVENTS + 1)
        self.fake.clock.callLater(0, count)
        self.fake.clock.advance(0)
        self.assertEqual(counts, [TURN_EVENTS, TURN_EVENTS, 1])

    def test_states_beyond_the_limit_are_read_again_instead_of_kept(self) -> None:
        followed = self.follow("/events")
        followed.events()
        self.announce(NEW_STATES_LIMIT)
        self.fake.clock.advance(0)
        self.assertEqual(len(followed.events()), NEW_STATES_LIMIT)
        known = self.new_job()
        self.fake.clock.advance(0)
        followed.events()
        self.fake.server.lifecycle.report(known, Report(progress=0.5))
        self.announce(NEW_STATES_LIMIT)
        self.fake.clock.advance(0)
        # Only what is in the store can be read again.
        self.assertEqual(self.told(followed), [(known, 2)])
        self.report(known, progress=0.6)
        self.assertEqual(self.told(followed), [(known, 3)])

    def test_of_updates_in_the_wrong_order_the_newest_counts(self) -> None:
        followed = self.follow("/events")
        (old,) = self.announce(1)
        new = Job(id=old.id, version=3, created_at=EPOCH, updated_at=EPOCH)
        self.fake.server.feed.committed([Update(job=each, changed=True) for each in (new, old)])
        self.fake.clock.advance(0)
        self.assertEqual(self.told(followed), [(old.id, 3)])


class HeldTests(HeldServerTestCase):
    """A client is slow while a read is held."""

    def test_a_state_read_for_a_client_that_stopped_reading_is_read_again(self) -> None:
        creating = self.fake.server.lifecycle.create(NewJob())
        self.settle()
        job = self.successResultOf(creating).job
        followed = Following(self.fake.server.site, f"/events?job={job.id}")
        self.lane.step()
        followed.connection.protocol.pauseProducing()
        self.settle()
        self.assertEqual(followed.events(), [])
        self.fake.server.lifecycle.report(job.id, Report(progress=0.5))
        self.settle()
        followed.connection.protocol.resumeProducing()
        self.settle()
        self.assertEqual(followed.versions(), [2])
        followed.connection.hang_up()
