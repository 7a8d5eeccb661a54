"""The outbox in SQL: which deliveries an update writes, and which it replaces."""

from __future__ import annotations

from msgspec import json

from statusjob.server.store.outbox_write import PROGRESS_INTERVAL
from tests.helpers.core import COMPLETED, URL, version_of
from tests.helpers.outbox import ALL, OutboxTestCase, Slot
from tests.helpers.servers import EPOCH


class FanOutTests(OutboxTestCase):
    """Which webhooks a delivery is written for."""

    def told(self) -> list[str]:
        return self.column(self.box, "SELECT webhook_id FROM deliveries ORDER BY webhook_id")

    def test_a_webhook_is_told_only_its_events(self) -> None:
        ends, errors, every = (
            self.register("http://a.example/"),
            self.register("http://b.example/", events=["job.error"]),
            self.register("http://c.example/", events=ALL),
        )
        self.assertNotEqual(errors, ends)
        self.progress(0.5)
        self.assertEqual(self.told(), [every])
        for claim in self.claim():
            self.settle(claim)
        self.say(COMPLETED)
        self.assertEqual(sorted(set(self.told())), sorted([ends, every]))

    def test_a_webhook_is_told_only_of_jobs_in_its_scope(self) -> None:
        own = self.register()
        other = self.create(self.box, b'{"kind":"k"}')
        self.execute(
            self.box,
            "INSERT INTO webhooks (id, origin_id, kind, url, events, secret, created_at) VALUES"
            " ('all', 1, NULL, 'u', 'job.completed', 's', 0),"
            " ('kind', 1, 'k', 'u', 'job.completed', 's', 0),"
            " ('other kind', 1, 'l', 'u', 'job.completed', 's', 0)",
        )
        self.say(COMPLETED)
        self.say(COMPLETED, other)
        rows = self.rows(self.box, "SELECT job_id, webhook_id FROM deliveries")
        self.assertEqual(
            {(row["job_id"], row["webhook_id"]) for row in rows},
            {(self.job.id, own), (self.job.id, "all"), (other.id, "all"), (other.id, "kind")},
        )

    def test_a_removed_webhook_gets_only_deliveries_that_were_already_written(self) -> None:
        self.register(events=ALL)
        self.progress(0.5)
        self.successResultOf(self.box.registrations.unregister(self.job.id, URL))
        self.say(COMPLETED)
        self.assertEqual([version_of(claim) for claim in self.claim()], [2])

    def test_all_webhooks_share_the_body_of_an_update(self) -> None:
        for i in range(3):
            self.register(f"{URL}{i}")
        self.say(COMPLETED)
        (body,) = self.column(self.box, "SELECT body FROM bodies")
        self.assertEqual([claim.body.decode() for claim in self.claim()], [body] * 3)
        payload = json.decode(body)
        self.assertEqual((payload["result"], payload["type"]), ("completed", "job.completed"))
        self.assertEqual(payload["timestamp"], round(EPOCH * 1000))

    def test_registering_for_a_terminal_job_writes_one_delivery_at_once(self) -> None:
        self.say(COMPLETED)
        heard = len(self.box.heard)
        for _ in range(2):
            self.register()
        self.assertEqual(self.slots(), [Slot("pending", 2, 0, 0)])
        self.assertEqual([update.deliveries for update in self.box.heard[heard:]], [1])


class OneSlotTests(OutboxTestCase):
    """Per webhook and job, at most one delivery is pending and one is being sent."""

    def test_a_newer_update_replaces_the_pending_one_and_has_a_new_id(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (first,) = self.column(self.box, "SELECT id FROM deliveries")
        self.progress(0.5)
        (second,) = self.column(self.box, "SELECT id FROM deliveries")
        self.assertNotEqual(first, second)
        (claim,) = self.claim()
        self.assertEqual((claim.id, version_of(claim)), (second, 3))

    def test_progress_inherits_the_attempts_and_the_due_time(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (claim,) = self.claim()
        self.settle(claim, "connect", wait=30)
        self.box.clock.advance(10)
        self.progress(0.5)
        self.assertEqual(self.slots(), [Slot("pending", 3, 1, 30)])
        self.assertEqual(self.claim(), [])
        self.box.clock.advance(20)
        (claim,) = self.claim()
        self.assertEqual((claim.attempt, version_of(claim)), (2, 3))

    def test_a_terminal_update_starts_afresh_and_is_due_at_once(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (claim,) = self.claim()
        self.settle(claim, "connect", wait=30)
        self.box.clock.advance(10)
        self.say(COMPLETED)
        self.assertEqual(self.slots(), [Slot("pending", 3, 0, 10)])
        (claim,) = self.claim()
        self.assertEqual((claim.attempt, version_of(claim)), (1, 3))

    def test_nothing_is_claimed_while_the_webhook_is_sent_another_update_of_the_job(self) -> None:
        self.register(events=ALL)
        other = self.create(self.box)
        self.register(job=other)
        self.progress(0.25)
        (first,) = self.claim()
        self.say(COMPLETED)
        self.say(COMPLETED, other)
        self.assertEqual([version_of(claim) for claim in self.claim()], [2])
        self.settle(first)
        (second,) = self.claim()
        self.assertEqual(json.decode(second.body)["job"]["id"], self.job.id)
        self.assertEqual(version_of(second), 3)

    def test_progress_that_fails_while_newer_progress_is_pending_is_superseded(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (first,) = self.claim()
        self.progress(0.5)
        self.assertEqual(self.settle(first, "connect", wait=30), "superseded")
        # The newer one carries on with the schedule.
        self.assertEqual(self.slots(), [Slot("superseded", 2, 1, 0), Slot("pending", 3, 1, 30)])

    def test_without_a_wait_in_the_schedule_newer_progress_keeps_its_interval(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (first,) = self.claim()
        self.progress(0.5)
        self.settle(first, "connect", wait=0)
        self.assertEqual(self.slots()[1], Slot("pending", 3, 1, PROGRESS_INTERVAL))

    def test_newer_progress_repeats_the_last_step_of_an_exhausted_schedule(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (first,) = self.claim()
        self.progress(0.5)
        self.assertEqual(self.settle(first, "connect"), "superseded")
        self.assertEqual(self.slots()[1], Slot("pending", 3, 0, PROGRESS_INTERVAL))

    def test_progress_that_fails_does_not_delay_the_pending_end(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        (first,) = self.claim()
        self.say(COMPLETED)
        self.assertEqual(self.settle(first, "connect", wait=30), "superseded")
        self.assertEqual(self.slots()[1], Slot("pending", 3, 0, 0))

    def test_few_rows_are_kept_however_often_a_job_reports(self) -> None:
        self.register(events=ALL)
        self.register("http://broken.example/", events=ALL)
        for i in range(2000):
            self.say(b'{"message":"%d"}' % i)
            if i % 3 == 0:
                for claim in self.claim():
                    broken = claim.url.startswith("http://broken")
                    self.settle(claim, "connect" if broken else "ok", wait=5)
        counts = [
            self.column(self.box, f"SELECT COUNT(*) FROM {table}")[0]
            for table in ("events", "deliveries", "bodies", "attempts")
        ]
        self.assertEqual(counts[0], 100)
        for count in counts[1:]:
            self.assertLessEqual(count, 6)
        self.say(COMPLETED)
        ends = [claim for claim in self.claim() if version_of(claim) == 2002]
        self.assertEqual(len(ends), 2)
