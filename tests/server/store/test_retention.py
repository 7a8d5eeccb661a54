"""Retention in SQL: old jobs and removed webhooks are deleted."""

from __future__ import annotations

from itertools import count

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import NewScopedWebhook
from statusjob.jobs import EventType, Job
from statusjob.server.jobs.expiry import Expiry
from statusjob.server.store import retention
from statusjob.server.store.interface import Update
from statusjob.server.store.webhook_secrets import valid
from tests.helpers.core import COMPLETED, URL, Core, CoreTestCase, a_report, hook, new_job

DAY = 86_400.0


class RetentionTests(CoreTestCase):
    """Jobs that ended long ago are deleted."""

    def expire(self, core: Core, keep: float = 100) -> bool:
        """Delete a batch, and tell whether there may be more."""
        expiry = Expiry(core.store, keep, core.clock.seconds)
        batch = Deferred.fromCoroutine(expiry.delete_batch())
        return self.successResultOf(batch) is not None

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

    def test_the_feed_tells_of_the_jobs_that_are_deleted_and_of_no_others(self) -> None:
        core = self.core()
        deleted, told = self.create(core), self.create(core)
        self.successResultOf(core.registrations.register(told.id, hook()))
        for job in (deleted, told):
            self.report(core, job, COMPLETED)
        core.clock.advance(1000)
        core.heard.clear()
        self.expire(core)
        self.assertEqual(core.heard, [Update(deleted=deleted.id)])

    def test_jobs_are_deleted_in_batches_until_none_is_left(self) -> None:
        self.patch(retention, "BATCH_ROWS", 4)
        core = self.core()
        jobs = [self.create(core) for _ in range(9)]
        for job in jobs:
            core.lifecycle.cancel(job.id)
        core.clock.advance(1000)
        expiry = Expiry(core.store, 100, core.clock.seconds)
        left = []
        while self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch())) is not None:
            left.append(len(self.left(core)))
        self.assertEqual((left, self.left(core)), ([5, 1], []))

    def test_a_batch_ends_when_its_time_is_up(self) -> None:
        core = self.core()
        for _ in range(9):
            core.lifecycle.cancel(self.create(core).id)
        core.clock.advance(1000)
        ticks = count(0.0, retention.BATCH_SECONDS / 2)
        expiry = Expiry(core.store, 100, ticks.__next__)
        self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch()))
        self.assertEqual(len(self.left(core)), 7)

    def test_jobs_that_have_to_stay_do_not_keep_later_ones_from_being_deleted(self) -> None:
        self.patch(retention, "BATCH_ROWS", 2)
        core = self.core()
        for told in (True, True, True, False):
            job = self.create(core)
            if told:
                self.successResultOf(core.registrations.register(job.id, hook()))
            self.report(core, job, COMPLETED)
        core.clock.advance(1000)
        expiry = Expiry(core.store, 100, core.clock.seconds)
        for _ in range(3):
            self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch()))
        self.assertNotIn(job.id, self.left(core))
        self.assertEqual(len(self.left(core)), 3)

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

    def test_the_deliveries_of_a_removed_webhook_are_deleted_in_batches(self) -> None:
        self.patch(retention, "_DELIVERIES", 2)
        core = self.core()
        wide = NewScopedWebhook(url=URL)
        webhook, _ = self.successResultOf(core.registrations.add(wide))
        for _ in range(5):
            self.report(core, self.create(core), COMPLETED)
        self.successResultOf(core.registrations.remove(webhook.id))
        ticks = count(0.0, 2 * retention.BATCH_SECONDS)
        expiry = Expiry(core.store, 1e6, ticks.__next__)
        left = []
        while self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch())) is not None:
            left.append(len(self.column(core, "SELECT id FROM deliveries")))
        self.assertEqual(left[:3], [3, 1, 0])
        for table in ("deliveries", "bodies", "webhooks", "origins"):
            self.assertEqual(self.column(core, f"SELECT id FROM {table}"), [], table)


class SteppedClockTests(CoreTestCase):
    """The clock is set while the server runs: no job is deleted before its time."""

    KEEP = 7 * DAY

    def setUp(self) -> None:
        self.box = self.core()
        self.expiry = Expiry(self.box.store, self.KEEP, self.box.clock.seconds)

    def end(self) -> Job:
        return self.report(self.box, self.create(self.box), COMPLETED)

    def wait(self, days: float, *steps: float) -> None:
        """Let days pass, then let the clock be set by so many days, and expire."""
        self.box.clock.advance(days * DAY)
        for step in steps:
            self.box.ahead += step * DAY
            self.execute(self.box, "UPDATE clock SET seen_at = 0")
        self.successResultOf(Deferred.fromCoroutine(self.expiry.delete_batch()))

    def left(self) -> list[str]:
        return self.column(self.box, "SELECT id FROM jobs")

    def test_fresh_results_survive_a_clock_that_is_set_ten_days_forward(self) -> None:
        old = self.end()
        self.wait(3)
        new = self.end()
        self.wait(1, 10)
        self.assertCountEqual(self.left(), [old.id, new.id])
        self.wait(2.9)
        self.assertCountEqual(self.left(), [old.id, new.id])
        self.wait(0.2)
        self.assertEqual(self.left(), [new.id])
        after = self.end()
        self.wait(3)
        self.assertEqual(self.left(), [after.id])
        self.wait(3.9)
        self.assertEqual(self.left(), [after.id])
        self.wait(0.2)
        self.assertEqual(self.left(), [])
        self.assertEqual(self.column(self.box, "SELECT leap FROM clock"), [0])

    def test_results_survive_a_board_that_begins_in_1970(self) -> None:
        self.box.ahead = -self.box.clock.seconds()
        self.wait(0, 0)
        job = self.end()
        self.wait(0.1, self.box.clock.seconds() / DAY)
        self.assertEqual(self.left(), [job.id])
        self.wait(7)
        self.assertEqual(self.left(), [])

    def test_a_step_that_is_taken_back_changes_nothing(self) -> None:
        job = self.end()
        self.wait(1, 10, -10)
        self.assertEqual(self.left(), [job.id])
        self.wait(6.1)
        self.assertEqual(self.left(), [])

    def test_a_step_forward_after_one_back_deletes_nothing_early(self) -> None:
        job = self.end()
        self.wait(1, -10, 10)
        self.wait(5.9)
        self.assertEqual(self.left(), [job.id])

    def test_the_old_secret_of_a_rotation_signs_as_long_as_before(self) -> None:
        webhook, _ = self.successResultOf(self.box.registrations.add(NewScopedWebhook(url=URL)))
        self.successResultOf(self.box.registrations.rotate(webhook.id, None))
        self.wait(0.5, 10)
        self.assertEqual(len(self.write(self.box, lambda tx: valid(tx, webhook.id))), 2)
        self.wait(0.6)
        self.assertEqual(len(self.write(self.box, lambda tx: valid(tx, webhook.id))), 1)
