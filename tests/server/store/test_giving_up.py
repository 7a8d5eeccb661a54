"""Giving up in SQL: when a webhook that fails is disabled, and what is kept for it."""

from __future__ import annotations

from statusjob.contract.webhooks import WebhookChange
from statusjob.jobs import Job
from statusjob.server.store import webhooks
from statusjob.server.store.webhooks import FAILING_DAYS, FAILING_LIMIT, GIVEN_UP
from tests.helpers.core import COMPLETED
from tests.helpers.outbox import ALL, OutcomeTestCase

DAY = 86_400.0


class FailingTests(OutcomeTestCase):
    """Every delivery to a webhook fails."""

    def setUp(self) -> None:
        super().setUp()
        self.webhook_id = self.register_for_all()

    def failing_since(self) -> float | None:
        since = self.webhook(self.webhook_id).failing_since
        return None if since is None else since - self.began

    def attempt(self, outcome: str | int, wait: float | None = None) -> str | None:
        """End one more job, and settle the delivery that tells so."""
        self.say(COMPLETED, self.create(self.box))
        return self.settle(self.one(), outcome, wait)

    @property
    def began(self) -> float:
        return self.job.created_at

    def test_the_first_failure_is_shown_until_a_success(self) -> None:
        self.assertIsNone(self.failing_since())
        self.attempt(500)
        self.box.clock.advance(100)
        self.attempt(404)
        self.assertEqual(self.failing_since(), 0)
        self.attempt("ok")
        self.assertIsNone(self.failing_since())
        self.box.clock.advance(100)
        self.attempt("timeout")
        self.assertEqual(self.failing_since(), 200)

    def enabled(self) -> bool:
        return self.webhook(self.webhook_id).enabled

    def let_fail_on(self, *days: float) -> None:
        """Let a delivery die at each of these times, in days since the first."""
        for day in days:
            self.box.clock.advance(day * DAY - (self.box.now() - self.began))
            self.attempt(404)

    def give_up(self) -> None:
        self.let_fail_on(0, 2, 5)
        self.assertFalse(self.enabled())

    def test_it_is_given_up_after_five_days_of_which_three_have_failures(self) -> None:
        self.let_fail_on(0, 2)
        self.box.clock.advance(3 * DAY - 1)
        self.attempt(404)
        self.assertTrue(self.enabled())
        self.box.clock.advance(1)
        self.assertEqual(self.attempt(404), "dead")
        webhook = self.webhook(self.webhook_id)
        self.assertEqual((webhook.enabled, webhook.reason), (False, GIVEN_UP))
        self.assertEqual(self.fates()[-1], ("dead", "every attempt failed"))
        self.assertEqual((FAILING_LIMIT, FAILING_DAYS), (5 * DAY, 3))

    def test_one_failure_and_another_days_later_do_not_suffice(self) -> None:
        self.let_fail_on(0, 30)
        self.assertTrue(self.enabled())
        self.let_fail_on(30.1, 30.2)
        self.assertTrue(self.enabled())
        self.let_fail_on(31)
        self.assertFalse(self.enabled())

    def test_a_failure_that_is_retried_gives_nothing_up(self) -> None:
        self.let_fail_on(0, 2)
        self.box.clock.advance(4 * DAY)
        self.assertEqual(self.attempt(404, wait=5), "pending")
        self.assertTrue(self.enabled())

    def test_days_are_those_of_utc(self) -> None:
        self.box.clock.advance(DAY - self.box.now() % DAY - 1)
        for seconds in (0, 1, 5 * DAY):
            self.attempt(404)
            self.box.clock.advance(seconds)
        self.assertTrue(self.enabled())
        self.attempt(404)
        self.assertFalse(self.enabled())

    def test_a_success_or_a_successful_test_or_enabling_it_begins_anew(self) -> None:
        for begin_anew in (
            self.succeed,
            self.succeed_in_a_test,
            lambda: self.enable(self.webhook_id, True),
        ):
            self.let_fail_on(*((self.box.now() - self.began) / DAY + day for day in (0, 1, 2)))
            begin_anew()
            self.assertIsNone(self.failing_since())
            self.box.clock.advance(4 * DAY)
            self.attempt(404)
            self.assertTrue(self.enabled())
            self.succeed()

    def succeed(self) -> None:
        self.attempt("ok")

    def succeed_in_a_test(self) -> None:
        self.send_test(self.webhook_id)
        self.settle(self.one())

    def test_a_test_that_fails_does_not_count(self) -> None:
        self.send_test(self.webhook_id)
        self.settle(self.one(), 500)
        self.assertIsNone(self.failing_since())
        self.let_fail_on(0, 2)
        self.box.clock.advance(FAILING_LIMIT)
        self.send_test(self.webhook_id)
        self.settle(self.one(), 500)
        self.assertTrue(self.enabled())

    def test_enabling_it_forgets_its_failures(self) -> None:
        self.give_up()
        self.enable(self.webhook_id, True)
        webhook = self.webhook(self.webhook_id)
        self.assertEqual((webhook.reason, webhook.failing_since), (None, None))
        self.attempt(404)
        self.assertTrue(self.enabled())

    def test_an_origin_that_was_down_for_too_long_counts_as_well(self) -> None:
        self.let_fail_on(0, 2)
        for _ in range(2):
            self.say(COMPLETED, self.create(self.box))
        self.box.clock.advance(4 * DAY)
        self.execute(self.box, "UPDATE origins SET failures = 9, slots = 1")
        (claim,) = self.claim()
        self.settle(claim, "connect", 5)
        self.assertIn(("dead", "its origin was down for too long"), self.fates())
        self.assertFalse(self.enabled())


class GivenUpTests(OutcomeTestCase):
    """The server has given a webhook up: what ends meanwhile can be sent later."""

    def setUp(self) -> None:
        super().setUp()
        self.webhook_id = self.register_for_all()
        self.write(
            self.box, lambda tx: webhooks.disable(tx, self.webhook_id, GIVEN_UP, given_up=True)
        )

    def finish(self) -> Job:
        return self.say(COMPLETED, self.create(self.box))

    def redeliver(self) -> int:
        return self.successResultOf(self.deliveries.redeliver_failed(self.webhook_id, 0))

    def test_the_ends_of_jobs_are_kept_as_dead_and_redelivery_finds_them(self) -> None:
        job = self.finish()
        self.finish()
        self.assertEqual(self.fates(), [("dead", f"the webhook was disabled: {GIVEN_UP}")] * 2)
        self.assertEqual(self.claim(), [])
        self.enable(self.webhook_id, True)
        self.assertEqual(self.redeliver(), 2)
        self.assertEqual(self.claim()[0].job_id, job.id)

    def test_progress_is_not_kept(self) -> None:
        events = WebhookChange(events=ALL)
        self.successResultOf(self.box.registrations.change(self.webhook_id, events))
        self.progress(0.5)
        self.assertEqual(self.fates(), [])

    def test_nobody_is_told_that_a_dead_delivery_waits(self) -> None:
        self.finish()
        self.assertEqual({update.deliveries for update in self.box.heard}, {0})

    def test_nothing_is_kept_after_a_410_or_a_request_even_if_they_come_later(self) -> None:
        self.enable(self.webhook_id, False)
        self.finish()
        self.assertEqual(self.webhook(self.webhook_id).reason, "by request")
        self.enable(self.webhook_id, True)
        self.send_test(self.webhook_id)
        self.settle(self.one(), 410)
        self.finish()
        self.assertEqual(self.fates(), [("dead", "a test is attempted once")])
