"""The delivery worker: when attempts are made, and what survives a failure or a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from statusjob.jobs import EventType
from statusjob.server.alarms import RETRY_SLEEP
from statusjob.server.delivery.worker import MAX_ATTEMPTS, RETRY_JITTER
from statusjob.server.store.interface import StoreUnavailable
from statusjob.server.store.origins import MAX_SLOTS
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from tests.helpers.delivery import (
    OK,
    REFUSED,
    DeliveryTestCase,
)


class ScheduleTests(DeliveryTestCase):
    """When attempts are made."""

    def test_the_first_attempt_is_made_as_soon_as_the_feed_tells_of_a_delivery(self) -> None:
        job = self.job()
        self.box.clock.advance(7)
        self.finish(job)
        self.assertEqual(self.sender.sent, [])
        self.box.clock.advance(0)
        self.assertEqual(self.sender.times, [7])
        self.rounds()
        self.assertEqual(self.states(), ["delivered"])

    def test_an_update_that_concerns_no_webhook_begins_no_round(self) -> None:
        job = self.job()
        self.box.clock.advance(0)
        asleep = tuple(self.box.clock.getDelayedCalls())
        self.report(self.box, job, b'{"progress":0.5}')
        self.assertEqual(tuple(self.box.clock.getDelayedCalls()), asleep)

    def test_attempts_follow_the_schedule_and_then_the_delivery_is_dead(self) -> None:
        self.sender.answers = lambda claim: REFUSED
        self.finish(self.job())
        self.pump(100)
        self.assertEqual(self.sender.times, [0.25, 5.75, 36.0])
        self.assertEqual([claim.attempt for _, claim in self.sender.sent], [1, 2, 3])
        self.assertEqual(self.states(), ["dead"])

    def test_every_step_of_the_schedule_is_lengthened_by_jitter(self) -> None:
        self.successResultOf(self.stop())
        self.deliver(self.core(), random=1.0)
        self.sender.answers = lambda claim: REFUSED
        self.finish(self.job())
        self.rounds()
        for late in (5 * (1 + RETRY_JITTER), 30 * (1 + RETRY_JITTER)):
            attempts = len(self.sender.sent)
            self.box.clock.pump([late - 0.01])
            self.assertEqual(len(self.sender.sent), attempts)
            self.box.clock.pump([0.02, 0.002])
            self.assertEqual(len(self.sender.sent), attempts + 1)

    def test_no_attempt_follows_a_success(self) -> None:
        self.sender.answers = lambda claim: REFUSED if claim.attempt == 1 else OK
        self.finish(self.job())
        self.pump(100)
        self.assertEqual(len(self.sender.sent), 2)
        self.assertEqual(self.states(), ["delivered"])

    def test_all_attempts_of_a_delivery_have_the_same_id_and_body(self) -> None:
        self.sender.answers = lambda claim: REFUSED
        self.finish(self.job())
        self.pump(100)
        self.assertEqual(len({(claim.id, claim.body) for _, claim in self.sender.sent}), 1)

    def test_versions_only_rise_and_the_terminal_one_always_arrives(self) -> None:
        job = self.job(events=list(EventType))
        self.sender.answers = lambda claim: None
        for i in range(5):
            self.report(self.box, job, b'{"progress":0.%d}' % i)
            self.box.clock.advance(0)
        self.assertEqual(self.sender.versions, [2])
        self.sender.under_way[0].callback(REFUSED)
        self.box.clock.advance(4)
        self.finish(job)
        self.box.clock.advance(0)
        self.assertEqual(self.sender.versions, [2, 7])
        self.sender.under_way[1].callback(OK)
        self.pump(100)
        self.assertEqual(self.sender.versions, [2, 7])

    def test_one_origin_has_at_most_so_many_attempts_under_way(self) -> None:
        self.sender.answers = lambda claim: None
        for _ in range(MAX_SLOTS + 2):
            self.finish(self.job())
        self.finish(self.job("http://other.example/"))
        self.rounds()
        self.assertEqual(len(self.sender.sent), MAX_SLOTS + 1)
        self.sender.under_way[0].callback(OK)
        self.box.clock.advance(0)
        self.assertEqual(len(self.sender.sent), MAX_SLOTS + 2)

    def test_all_origins_together_have_at_most_so_many_attempts_under_way(self) -> None:
        self.sender.answers = lambda claim: None
        for i in range(MAX_ATTEMPTS + 5):
            self.finish(self.job(f"http://receiver{i}.example/"))
        self.rounds(20)
        self.finish(self.job("http://one.example/"))
        self.rounds()
        self.assertEqual(len(self.sender.sent), MAX_ATTEMPTS)
        for attempt in tuple(self.sender.under_way):
            attempt.callback(OK)
        self.rounds()
        self.assertEqual(len(self.sender.sent), MAX_ATTEMPTS + 6)

    def test_a_webhook_that_the_server_disables_is_logged_with_the_reason(self) -> None:
        self.sender.answers = lambda claim: Outcome("http", 410, "answered 410")
        with capturedLogs() as events:
            self.finish(self.job())
            self.rounds()
        ((_, claim),) = self.sender.sent
        texts = [formatEvent(event) for event in events]
        self.assertIn(f"the webhook {claim.webhook_id} is disabled: it answered 410 Gone", texts)

    def test_a_delivery_that_cannot_be_read_is_dead_and_logged_and_holds_up_no_other(self) -> None:
        for spoil in (
            "UPDATE bodies SET body = CAST(x'ff' AS TEXT) WHERE job_id = :id",
            "UPDATE webhooks SET secret = CAST(x'ff' AS TEXT) WHERE job_id = :id",
        ):
            self.deliver(self.core())
            bad = self.job()
            self.box.clock.advance(0.001)
            good = [self.job() for _ in range(3)]
            self.successResultOf(self.stop())
            for job in (bad, *good):
                self.finish(job)
            self.execute(self.box, spoil, id=bad.id)
            with capturedLogs() as events:
                self.deliver(self.box)
                self.rounds()
            self.assertEqual([claim.job_id for _, claim in self.sender.sent], [j.id for j in good])
            (row,) = self.rows(self.box, "SELECT id, reason FROM deliveries WHERE state = 'dead'")
            self.assertEqual(row["reason"], "it cannot be read from the database")
            texts = [formatEvent(event) for event in events]
            self.assertEqual(texts, [f"{row['id']} cannot be read: it is dead"])

    def test_an_attempt_that_raises_an_exception_is_logged_and_made_again(self) -> None:
        def broken(claim: Claim) -> Outcome:
            raise ValueError("broken")

        self.sender.answers = broken
        self.finish(self.job())
        self.box.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.sender.answers = lambda claim: OK
        self.pump(10)
        self.assertEqual(self.states(), ["delivered"])


class FaultTests(DeliveryTestCase):
    """What survives an unavailable store, a stop and a crash."""

    def unavailable(self) -> Callable[[], None]:
        """Let the store refuse writes until the function that is returned is called."""

        def refuse(work: object) -> Deferred[Any]:
            refused: Deferred[Any] = Deferred()
            refused.errback(StoreUnavailable("no room"))
            return refused

        patch = self.patch(self.box.store, "write", refuse)
        return lambda: patch.restore()

    def test_an_attempt_that_cannot_be_settled_is_settled_later_and_not_made_again(self) -> None:
        self.sender.answers = lambda claim: None
        self.finish(self.job())
        self.box.clock.advance(0)
        available_again = self.unavailable()
        self.sender.under_way[0].callback(OK)
        self.pump(10)
        self.assertEqual(self.states(), ["sending"])
        available_again()
        self.pump(RETRY_SLEEP + 1)
        self.assertEqual((self.states(), len(self.sender.sent)), (["delivered"], 1))

    def test_a_delivery_that_cannot_be_claimed_is_claimed_later(self) -> None:
        self.finish(self.job())
        available_again = self.unavailable()
        self.pump(10)
        self.assertEqual(self.sender.sent, [])
        available_again()
        self.pump(RETRY_SLEEP + 1)
        self.assertEqual(self.states(), ["delivered"])

    def test_a_stop_waits_for_attempts_that_are_under_way(self) -> None:
        self.sender.answers = lambda claim: None
        self.finish(self.job())
        self.finish(self.job())
        self.box.clock.advance(0)
        stopping = self.stop(10)
        self.box.clock.advance(5)
        self.sender.under_way[0].callback(OK)
        self.assertNoResult(stopping)
        self.sender.under_way[1].callback(OK)
        self.successResultOf(stopping)
        self.assertEqual(self.states(), ["delivered", "delivered"])
        self.assertEqual(self.box.clock.getDelayedCalls(), [])

    def test_a_stop_cancels_attempts_that_take_too_long(self) -> None:
        self.sender.answers = lambda claim: None
        self.finish(self.job())
        self.box.clock.advance(0)
        stopping = self.stop(10)
        self.box.clock.advance(9.9)
        self.assertNoResult(stopping)
        self.box.clock.advance(0.2)
        self.successResultOf(stopping)
        self.assertEqual(self.states(), ["sending"])
        self.assertEqual(self.box.clock.getDelayedCalls(), [])

    def test_a_stop_ends_although_an_attempt_cannot_be_settled(self) -> None:
        self.sender.answers = lambda claim: None
        self.finish(self.job())
        self.box.clock.advance(0)
        available_again = self.unavailable()
        self.sender.under_way[0].callback(OK)
        stopping = self.stop(3)
        self.pump(4)
        self.successResultOf(stopping)
        available_again()
        self.assertEqual(self.box.clock.getDelayedCalls(), [])

    def test_no_attempt_begins_after_a_stop(self) -> None:
        job = self.job()
        self.successResultOf(self.stop())
        self.finish(job)
        self.pump(100)
        self.assertEqual((self.sender.sent, self.states()), ([], ["pending"]))

    def test_the_next_process_makes_a_retry_when_it_is_due(self) -> None:
        path = self.mktemp()
        self.deliver(self.core(path=path))
        self.sender.answers = lambda claim: REFUSED
        self.finish(self.job())
        self.box.clock.advance(1)
        ((_, first),) = self.sender.sent
        self.successResultOf(self.stop())
        self.successResultOf(Deferred.fromCoroutine(self.box.store.close()))
        self.deliver(self.core(path=path, clock=self.box.clock))
        self.pump(10)
        ((time, second),) = self.sender.sent
        self.assertEqual(time, 6.25)
        self.assertEqual((second.id, second.body, second.attempt), (first.id, first.body, 2))

    def test_an_attempt_that_a_crash_interrupted_is_made_again_at_once(self) -> None:
        path = self.mktemp()
        self.deliver(self.core(path=path))
        self.sender.answers = lambda claim: None
        self.finish(self.job())
        self.box.clock.advance(0)
        ((_, first),) = self.sender.sent
        stopping = self.stop()
        self.box.clock.advance(0)
        self.successResultOf(stopping)
        self.box.store.abandon()
        self.deliver(self.core(path=path, clock=self.box.clock))
        self.rounds()
        ((_, again),) = self.sender.sent
        self.assertEqual((again.id, again.body, again.attempt), (first.id, first.body, 1))
        self.assertEqual(self.states(), ["delivered"])
