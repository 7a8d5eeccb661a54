"""Settling in SQL: what follows from an attempt for its delivery and its webhook."""

from __future__ import annotations

from statusjob.jobs import TEST_EVENT
from statusjob.server.store import outbox_settle, single_process
from statusjob.server.store.origins import PAUSE_AFTER
from tests.helpers.core import COMPLETED
from tests.helpers.outbox import ALL, LIFETIME, OutcomeTestCase

DAY = 86_400.0
A = "a.example"


class GoneTests(OutcomeTestCase):
    """A receiver answers 410: it wants no more deliveries."""

    def setUp(self) -> None:
        super().setUp()
        self.webhook_id = self.register(events=ALL)

    def test_the_webhook_is_disabled_and_its_pending_deliveries_are_dead(self) -> None:
        wide = self.register_for_all()
        for job in (self.create(self.box), self.create(self.box)):
            self.say(COMPLETED, job)
        (claim,) = self.claim(1)
        self.assertEqual(self.settle(claim, 410, wait=5), "dead")
        self.assertEqual(
            self.fates(),
            [
                ("dead", "the receiver is gone"),
                ("dead", "the webhook was disabled: it answered 410 Gone"),
            ],
        )
        webhook = self.webhook(wide)
        self.assertEqual((webhook.enabled, webhook.reason), (False, "it answered 410 Gone"))
        self.assertEqual(self.claim(), [])

    def test_it_gets_no_more_updates_but_other_webhooks_do(self) -> None:
        self.register("http://other.example/", events=ALL)
        self.progress(0.5)
        first, second = self.claim()
        self.settle(first, 410)
        self.settle(second)
        self.box.clock.advance(1)
        self.progress(0.75)
        self.assertEqual(self.one().webhook_id, second.webhook_id)

    def test_a_test_that_is_answered_410_disables_the_webhook(self) -> None:
        self.send_test(self.webhook_id)
        self.assertEqual(self.settle(self.one(), 410), "dead")
        self.assertFalse(self.webhook(self.webhook_id).enabled)

    def test_progress_that_is_answered_410_lets_the_pending_end_die(self) -> None:
        self.progress(0.5)
        claim = self.one()
        self.say(COMPLETED)
        self.assertEqual(self.settle(claim, 410), "dead")
        self.assertEqual(
            self.fates(),
            [
                ("dead", "the receiver is gone"),
                ("dead", "the webhook was disabled: it answered 410 Gone"),
            ],
        )


class DisabledMeanwhileTests(OutcomeTestCase):
    """A webhook is disabled while a delivery is being sent to it."""

    def setUp(self) -> None:
        super().setUp()
        self.webhook_id = self.register()
        self.say(COMPLETED)
        self.sending = self.one()
        self.enable(self.webhook_id, False)

    def test_a_delivery_that_fails_is_dead(self) -> None:
        self.assertEqual(self.settle(self.sending, 500, wait=5), "dead")
        self.assertEqual(self.fates(), [("dead", "the webhook was disabled: by request")])

    def test_a_delivery_that_succeeds_is_delivered(self) -> None:
        self.assertEqual(self.settle(self.sending), "delivered")

    def test_a_delivery_is_dead_after_a_crash(self) -> None:
        self.write(self.box, single_process.release_leases)
        self.assertEqual(self.fates(), [("dead", "the webhook was disabled: by request")])
        self.assertEqual(self.claim(), [])

    def test_a_test_is_sent_again_after_a_crash(self) -> None:
        self.settle(self.sending)
        self.send_test(self.webhook_id)
        self.claim()
        self.write(self.box, single_process.release_leases)
        self.assertEqual(self.one().type, TEST_EVENT)


class TestEventTests(OutcomeTestCase):
    """Messages that only test a webhook."""

    def setUp(self) -> None:
        super().setUp()
        self.webhook_id = self.register()

    def test_a_test_is_attempted_once(self) -> None:
        self.send_test(self.webhook_id)
        self.assertEqual(self.settle(self.one(), 500, wait=5), "dead")
        self.assertEqual(self.fates(), [("dead", "a test is attempted once")])
        self.box.clock.advance(DAY)
        self.assertEqual(self.claim(), [])

    def test_there_is_one_test_at_a_time_and_the_last_one_is_kept(self) -> None:
        ids = []
        for _ in range(3):
            ids.append(self.send_test(self.webhook_id))
            self.assertEqual(self.send_test(self.webhook_id), ids[-1])
            claim = self.one()
            self.assertEqual(self.send_test(self.webhook_id), ids[-1])
            self.settle(claim)
        self.assertEqual(len(set(ids)), 3)
        self.assertEqual(self.column(self.box, "SELECT id FROM deliveries"), ids[-1:])
        self.assertEqual(self.column(self.box, "SELECT COUNT(*) FROM bodies"), [1])


class ExpiryTests(OutcomeTestCase):
    """An origin that is down holds up deliveries."""

    def let_fail(self, times: int) -> None:
        for _ in range(times):
            (paused_until,) = self.column(self.box, "SELECT MAX(paused_until) FROM origins")
            self.box.clock.advance(max(1, paused_until - self.box.now()))
            (claim,) = self.claim(1)
            self.settle(claim, "connect", 100_000)

    def test_a_delivery_is_dead_when_its_attempts_would_have_been_over(self) -> None:
        self.due(A, 20)
        self.let_fail(PAUSE_AFTER)
        self.box.clock.advance(LIFETIME - 100)
        self.let_fail(1)
        self.assertEqual({state for state, _ in self.fates()}, {"pending"})
        self.box.clock.advance(100)
        self.let_fail(1)
        # All but those that were attempted, which are due again later.
        dead = [fate for fate in self.fates() if fate[0] == "dead"]
        self.assertEqual(dead, [("dead", "its origin was down for too long")] * 13)

    def test_nothing_is_given_up_at_an_origin_that_is_not_paused(self) -> None:
        self.due(A, 20)
        self.box.clock.advance(2 * LIFETIME)
        self.let_fail(PAUSE_AFTER - 1)
        self.assertEqual({state for state, _ in self.fates()}, {"pending"})

    def test_nothing_is_given_up_at_another_origin(self) -> None:
        self.due("b.example", 3)
        self.box.clock.advance(2 * LIFETIME)
        self.execute(self.box, "UPDATE deliveries SET due_at = due_at + 1")
        self.due(A, PAUSE_AFTER)
        self.execute(
            self.box,
            "UPDATE origins SET paused_until = 2e9, ready_at = 2e9 WHERE origin LIKE '%b.%'",
        )
        self.execute(self.box, "UPDATE origins SET failures = 4 WHERE origin LIKE '%a.%'")
        self.settle(self.claim(1)[0], "connect", 5)
        self.assertEqual({state for state, _ in self.fates()}, {"pending"})

    def test_the_number_of_deliveries_that_are_given_up_at_once_is_bounded(self) -> None:
        self.patch(outbox_settle, "OVERDUE_BATCH", 2)
        self.due(A, 8)
        self.box.clock.advance(2 * LIFETIME)
        self.execute(self.box, "UPDATE origins SET failures = 4")
        self.let_fail(1)
        self.assertEqual(sum(state == "dead" for state, _ in self.fates()), 2)
        self.let_fail(1)
        self.assertEqual(sum(state == "dead" for state, _ in self.fates()), 4)
