"""Retention in SQL: old jobs and removed webhooks are deleted."""

from __future__ import annotations

from statusjob.jobs import EventType
from statusjob.server.jobs.due import RETENTION_BATCH, delete_expired
from tests.helpers.core import COMPLETED, URL, Core, CoreTestCase, a_report, hook, new_job


class RetentionTests(CoreTestCase):
    """Jobs that ended long ago are deleted."""

    def expire(self, core: Core, retention: float = 100) -> bool:
        return self.write(core, lambda tx: delete_expired(tx, retention)) is not None

    def left(self, core: Core) -> list[str]:
        return self.column(core, "SELECT id FROM jobs ORDER BY id")

    def test_only_jobs_past_their_retention_are_deleted_with_everything_of_theirs(self) -> None:
        core = self.core()
        old, new, pending = (self.create(core, b'{"kind":"k"}') for _ in range(3))
        self.successResultOf(core.registrations.register(old.id, hook(events=[EventType.ERROR])))
        self.report(core, old, COMPLETED)
        core.clock.advance(100)
        self.report(core, new, COMPLETED)
        core.clock.advance(0.001)
        self.expire(core)
        self.assertEqual(self.left(core), sorted([new.id, pending.id]))
        self.assertEqual(self.column(core, "SELECT id FROM webhooks"), [])
        self.assertNotIn(old.id, self.column(core, "SELECT job_id FROM events"))

    def test_a_job_with_an_unfinished_delivery_stays(self) -> None:
        for state in ("pending", "sending"):
            core = self.core()
            job = self.create(core)
            self.successResultOf(core.registrations.register(job.id, hook()))
            self.report(core, job, COMPLETED)
            self.execute(core, "UPDATE deliveries SET state = :state", state=state)
            core.clock.advance(1000)
            self.expire(core)
            self.assertEqual(self.left(core), [job.id])
            self.execute(core, "UPDATE deliveries SET state = 'dead', finished_at = 1")
            self.expire(core)
            self.assertEqual(self.left(core), [])
            self.assertEqual(self.column(core, "SELECT id FROM bodies"), [])

    def test_jobs_are_deleted_in_batches_until_none_is_left(self) -> None:
        core = self.core()
        for _ in range(RETENTION_BATCH + 5):
            job = self.create(core)
            core.lifecycle.cancel(job.id)
        core.clock.advance(1000)
        self.assertTrue(self.expire(core))
        self.assertEqual(len(self.left(core)), 5)
        self.assertFalse(self.expire(core))
        self.assertEqual(self.left(core), [])

    def test_a_removed_webhook_is_deleted_once_it_has_no_deliveries(self) -> None:
        core = self.core()
        jobs = [self.create(core) for _ in range(2)]
        for job in jobs:
            self.successResultOf(core.registrations.register(job.id, hook()))
        self.report(core, jobs[0], COMPLETED)
        for job in jobs:
            self.successResultOf(core.registrations.unregister(job.id, URL))
        self.expire(core)
        self.assertEqual(self.column(core, "SELECT job_id FROM webhooks"), [jobs[0].id])

    def test_a_key_lives_as_long_as_its_job(self) -> None:
        core = self.core()
        creating = core.lifecycle.create(new_job(), key="a", key_hash="h")
        job = self.successResultOf(creating).job
        self.successResultOf(core.lifecycle.report(job.id, a_report(COMPLETED)))
        core.clock.advance(1000)
        self.expire(core)
        again = self.successResultOf(core.lifecycle.create(new_job(), key="a", key_hash="i"))
        self.assertFalse(again.replayed)
        self.assertNotEqual(again.job.id, job.id)
