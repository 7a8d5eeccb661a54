"""Deadlines and heartbeats end jobs; retention deletes them."""

from __future__ import annotations

from functools import partial

from statusjob.jobs import DEADLINE_EXCEEDED, WORKER_LOST, Job, Status
from statusjob.server.alarms import LONGEST_SLEEP
from statusjob.server.errors import UnknownJob
from statusjob.server.jobs.due import ALARM_BATCH, SET_ASIDE, handle_due_alarms
from tests.helpers.core import COMPLETED, Core, CoreTestCase, a_report, new_job
from tests.helpers.servers import ServerTestCase


class AlarmTests(CoreTestCase):
    """Deadlines and heartbeats end a job on time."""

    def test_a_deadline_ends_a_job_on_the_millisecond(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"deadline":5}')
        self.report(core, job, b'{"progress":0.5}')
        core.clock.advance(5)
        self.assertIs(self.get(core, job).result, Status.PENDING)
        core.clock.advance(0.001)
        after = self.get(core, job)
        assert after.error is not None
        self.assertEqual((after.error.code, after.duration), (DEADLINE_EXCEEDED, 5.001))

    def test_a_heartbeat_counts_from_the_first_report(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"heartbeat":5}')
        core.clock.advance(1000)
        self.report(core, job)
        core.clock.advance(5)
        self.assertIs(self.get(core, job).result, Status.PENDING)
        core.clock.advance(0.001)
        after = self.get(core, job)
        assert after.error is not None
        self.assertEqual(after.error.code, WORKER_LOST)

    def test_every_report_renews_the_heartbeat_even_without_a_change(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"heartbeat":5}')
        for body in (b"{}", b"{}", b'{"progress":0.5}', b'{"progress":0.5}'):
            self.report(core, job, body)
            core.clock.advance(4.9)
            self.assertIs(self.get(core, job).result, Status.PENDING)
        core.clock.advance(0.2)
        self.assertIs(self.get(core, job).result, Status.ERROR)

    def test_the_earliest_of_several_ends_counts(self) -> None:
        core = self.core()
        early = self.create(core, b'{"deadline":5,"heartbeat":6}')
        late = self.create(core, b'{"deadline":7,"heartbeat":6}')
        simulated = self.create(core, b'{"deadline":5,"simulate":{"delay":10}}')
        in_time = self.create(core, b'{"deadline":10,"simulate":{"delay":5,"error_rate":0}}')
        for job in (early, late):
            self.report(core, job)
        # As after a long stop of the server.
        core.clock.advance(100)
        core.start_alarms()
        codes = [
            error and error.code
            for error in (self.get(core, job).error for job in (early, late, simulated, in_time))
        ]
        self.assertEqual(codes, [DEADLINE_EXCEEDED, WORKER_LOST, DEADLINE_EXCEEDED, None])
        self.assertIs(self.get(core, in_time).result, Status.COMPLETED)

    def test_a_terminal_job_has_no_alarm(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"deadline":5,"heartbeat":5}')
        end = self.report(core, job, COMPLETED)
        core.clock.advance(100)
        self.assertEqual(self.get(core, job), end)
        self.assertEqual(self.column(core, "SELECT due_at FROM jobs"), [None])

    def test_one_transaction_handles_at_most_a_batch_of_alarms(self) -> None:
        core = self.core()
        jobs = ALARM_BATCH + 20
        for _ in range(jobs):
            core.lifecycle.create(new_job(b'{"deadline":1}'))
        core.clock.advance(2)
        before = len(core.heard)
        handle = partial(handle_due_alarms, listened=core.listening.seconds)
        next_due = self.write(core, handle)
        self.assertEqual(len(core.heard) - before, ALARM_BATCH)
        assert next_due is not None
        self.assertLess(next_due, core.clock.seconds())
        self.assertIsNone(self.write(core, handle))
        self.assertEqual(len(core.heard) - before, jobs)


class ServerTests(ServerTestCase):
    """Alarms and retention in a whole server."""

    def test_the_alarm_of_a_new_job_is_handled_on_time(self) -> None:
        fake = self.serve(STATUS_DELAY="600000")
        fake.clock.advance(0)
        lifecycle = fake.server.lifecycle
        job = self.successResultOf(lifecycle.create(new_job(b'{"deadline":5}'))).job
        fake.clock.advance(5.001)
        self.assertIs(self.successResultOf(lifecycle.get(job.id)).result, Status.ERROR)

    def test_no_timer_is_longer_than_the_longest_sleep(self) -> None:
        fake = self.serve(STATUS_DELAY="600000")
        self.successResultOf(fake.server.lifecycle.create(new_job(b'{"deadline":86400}')))
        fake.clock.advance(0)
        for call in fake.clock.getDelayedCalls():
            self.assertLessEqual(call.getTime() - fake.clock.seconds(), LONGEST_SLEEP)

    def test_jobs_are_deleted_after_their_retention(self) -> None:
        fake = self.serve(STATUSJOB_RETENTION="60")
        lifecycle = fake.server.lifecycle
        job = self.successResultOf(lifecycle.create(new_job())).job
        self.successResultOf(lifecycle.report(job.id, a_report(COMPLETED)))
        fake.clock.pump([1] * 60)
        self.successResultOf(lifecycle.get(job.id))
        fake.clock.pump([1] * 31)
        self.failureResultOf(lifecycle.get(job.id), UnknownJob)


class BadRowTests(CoreTestCase):
    """A row that cannot be handled holds up no other."""

    def spoilt(self, column: str, value: str) -> tuple[Core, Job, list[Job]]:
        """Spoil one of three jobs that become due together."""
        core = self.core()
        core.start_alarms()
        body = b'{"deadline":5,"metadata":{},"simulate":{"delay":6}}'
        jobs = [self.create(core, body) for _ in range(3)]
        self.execute(core, f"UPDATE jobs SET {column} = {value} WHERE id = :id", id=jobs[0].id)
        return core, jobs[0], jobs[1:]

    def ended(self, core: Core) -> list[str]:
        return self.column(core, "SELECT id FROM jobs WHERE result = 'error'")

    def test_the_other_jobs_end_on_time(self) -> None:
        for column, value in (
            ("metadata", "'{'"),
            ("kind", "CAST(x'ff' AS TEXT)"),
            ("simulated_result", "CAST(x'ff' AS TEXT)"),
        ):
            core, _, good = self.spoilt(column, value)
            core.clock.pump([0.25] * 24)
            self.assertCountEqual(self.ended(core), [job.id for job in good])
            later = self.create(core, b'{"deadline":1}')
            core.clock.pump([0.25] * 8)
            self.assertIn(later.id, self.ended(core))
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_the_bad_job_is_looked_at_again_an_hour_later(self) -> None:
        core, bad, _ = self.spoilt("metadata", "'{'")
        core.clock.pump([0.5] * 20)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.execute(core, "UPDATE jobs SET metadata = NULL")
        core.clock.pump([1] * (round(SET_ASIDE) - 10))
        self.assertNotIn(bad.id, self.ended(core))
        core.clock.pump([1] * 10)
        self.assertIn(bad.id, self.ended(core))
