"""Pauses in SQL: receivers that ask to be left alone, and what is attempted all the same."""

from __future__ import annotations

from typing import Any

from statusjob.jobs import TEST_EVENT
from statusjob.server.store import outbox_claim, retention, url_pauses
from statusjob.server.store.origins import FIRST_PAUSE, PAUSE_AFTER
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.url_pauses import (
    FORGOTTEN_AFTER,
    LONGEST_PAUSE,
    LONGEST_RETRY_AFTER,
)
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import COMPLETED
from tests.helpers.outbox import ALL, LONGEST, NODE, OutboxTestCase

GOOD, BAD, WORSE = (f"http://a.example/{name}" for name in ("good", "bad", "worse"))


class PauseTestCase(OutboxTestCase):
    """An origin with several URLs."""

    def add(self, url: str = BAD, count: int = 1, **members: Any) -> list[str]:
        """Make so many terminal updates due at a URL, and give the ids of the webhooks."""
        ids = []
        for _ in range(count):
            job = self.create(self.box)
            ids.append(self.register(url, job, **members))
            self.say(COMPLETED, job)
        return ids

    def urls(self) -> list[str]:
        """The URLs of what is due, which is claimed."""
        return [claim.url for claim in self.claim()]

    def one(self) -> Claim:
        (claim,) = self.claim(1)
        return claim

    def wait(self, seconds: float) -> None:
        self.box.clock.advance(seconds)

    def due_in(self) -> list[float]:
        """In how many seconds the pending deliveries are due, the oldest first."""
        due = self.column(
            self.box, "SELECT due_at FROM deliveries WHERE state = 'pending' ORDER BY rowid"
        )
        return [round(each - self.box.now(), 3) for each in due]

    def origin_paused(self) -> float:
        (until,) = self.column(self.box, "SELECT paused_until FROM origins")
        return max(0.0, round(float(until) - self.box.now(), 3))


class RetryAfterTests(PauseTestCase):
    """Receivers ask to be left alone for some time."""

    def ask(self, url: str, seconds: float | None, status: int = 503) -> None:
        self.add(url)
        self.settle(self.one(), status, 5, retry_after=seconds)

    def test_the_url_is_left_alone_and_the_others_of_its_origin_are_not(self) -> None:
        for status in (429, 503):
            self.setUp()
            self.ask(BAD, 3600, status)
            self.add(BAD)
            self.add(GOOD)
            self.assertEqual(self.urls(), [GOOD])
            self.wait(3599.999)
            self.assertEqual(self.urls(), [])
            self.wait(0.001)
            self.assertEqual(self.urls(), [BAD, BAD])

    def test_another_spelling_is_the_same_url(self) -> None:
        self.ask("http://a.example/bad", 60)
        self.add("HTTP://A.example:80/bad#x")
        self.assertEqual(self.urls(), [])

    def test_the_origin_is_left_alone_while_two_of_its_urls_ask(self) -> None:
        self.ask(BAD, 100)
        self.ask(WORSE, 60)
        self.add(GOOD)
        self.assertEqual(self.urls(), [])
        self.assertEqual(self.origin_paused(), 60)
        self.wait(60)
        self.assertEqual(sorted(self.urls()), [GOOD, WORSE])

    def test_one_url_that_asks_twice_pauses_its_origin_not(self) -> None:
        self.add(BAD, 2)
        for claim in self.claim():
            self.settle(claim, 503, 5, retry_after=60)
        self.assertEqual(self.origin_paused(), 0)

    def test_urls_that_asked_one_after_the_other_pause_their_origin_not(self) -> None:
        self.ask(BAD, 10)
        self.wait(10)
        self.ask(WORSE, 60)
        self.assertEqual(self.origin_paused(), 0)

    def test_no_pause_is_longer_than_an_hour_and_none_becomes_shorter(self) -> None:
        self.add(BAD, 3)
        for claim, seconds in zip(self.claim(), (float("inf"), 20, 1e9), strict=True):
            self.settle(claim, 503, 5, retry_after=seconds)
        self.add(BAD)
        self.assertEqual(self.urls(), [])
        self.assertEqual(self.due_in()[-1], LONGEST_RETRY_AFTER)

    def test_without_a_positive_time_there_is_no_pause(self) -> None:
        for seconds in (None, 0, -5):
            self.setUp()
            self.ask(BAD, seconds)
            self.add(BAD)
            self.assertEqual(self.urls(), [BAD])

    def test_whoever_asks_fails_but_does_not_blame_its_origin(self) -> None:
        for _ in range(PAUSE_AFTER + 1):
            self.ask(BAD, 1)
            self.wait(1)
        (failures,) = self.column(self.box, "SELECT failures FROM origins")
        self.assertEqual((failures, self.origin_paused()), (0, 0))
        (since, *_) = self.column(self.box, "SELECT failing_since FROM webhooks")
        self.assertIsNotNone(since)

    def test_a_success_during_the_pause_does_not_end_it(self) -> None:
        self.add(BAD, 2)
        first, second = self.claim()
        self.settle(first, 503, 5, retry_after=60)
        self.settle(second)
        self.add(BAD)
        self.assertEqual(self.urls(), [])


class RateLimitTests(PauseTestCase):
    """Receivers answer 429 and name no time."""

    def refuse(self) -> str | None:
        return self.settle(self.one(), 429, 5)

    def test_each_pause_is_twice_as_long_up_to_the_longest(self) -> None:
        self.add()
        pauses = []
        for _ in range(11):
            self.refuse()
            pauses += self.due_in()
            self.wait(pauses[-1])
            self.execute(self.box, "UPDATE deliveries SET first_begun_at = NULL")
        self.assertEqual(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])
        self.assertEqual(LONGEST_PAUSE, 300)

    def test_it_costs_no_attempt(self) -> None:
        self.add()
        numbers = []
        for _ in range(4):
            claim = self.one()
            numbers.append(claim.attempt)
            self.settle(claim, 429)
            self.wait(10)
        self.assertEqual(numbers, [1, 1, 1, 1])

    def test_of_attempts_that_were_under_way_together_only_the_first_counts(self) -> None:
        self.add(count=5)
        for claim in self.claim():
            self.settle(claim, 429)
        self.assertEqual(self.due_in(), [1] * 5)

    def test_after_a_success_the_next_pause_is_the_first_again(self) -> None:
        self.add(count=2)
        for _ in range(4):
            self.refuse()
            self.wait(20)
        self.settle(self.one())
        self.refuse()
        self.assertEqual(self.due_in(), [1])

    def test_a_delivery_that_was_refused_for_longer_than_its_schedule_is_dead(self) -> None:
        self.add()
        self.refuse()
        self.wait(LONGEST)
        self.assertEqual(self.refuse(), "pending")
        self.wait(2)
        self.assertEqual(self.refuse(), "dead")
        (reason,) = self.column(self.box, "SELECT reason FROM deliveries")
        self.assertEqual(reason, "its receiver limited the rate of requests for too long")

    def test_a_redelivery_has_a_schedule_of_its_own(self) -> None:
        (webhook_id,) = self.add()
        self.refuse()
        self.wait(2 * LONGEST)
        (delivery,) = self.column(self.box, "SELECT id FROM deliveries")
        self.successResultOf(Deliveries(self.box.store).redeliver(webhook_id, delivery))
        self.assertEqual(self.refuse(), "pending")

    def test_newer_progress_goes_on_with_the_attempts_of_the_refused_one(self) -> None:
        self.register(BAD, events=ALL)
        self.progress(0.25)
        claim = self.one()
        self.progress(0.5)
        self.assertEqual(self.settle(claim, 429, 5), "superseded")
        self.wait(1)
        self.assertEqual(self.one().attempt, 1)


class PutOffTests(PauseTestCase):
    """Many deliveries wait for a URL that is paused."""

    def test_they_hold_up_no_other_url_and_no_round_takes_long(self) -> None:
        self.add(BAD)
        self.settle(self.one(), 503, 5, retry_after=60)
        self.patch(outbox_claim, "PUT_OFF_ROWS", 3)
        self.patch(outbox_claim, "PUT_OFF_STEPS", 2)
        self.add(BAD, 40)
        self.add(GOOD)
        self.execute(self.box, "UPDATE origins SET slots = 2")
        rounds, urls = 0, []
        while True:
            claims, more, _ = self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 10, 10))
            rounds += 1
            urls += [claim.url for claim in claims]
            if not more:
                break
        self.assertEqual(urls, [GOOD])
        self.assertGreater(rounds, 5)
        self.assertEqual(self.due_in()[1:], [60] * 40)

    def test_the_log_says_when_they_are_attempted(self) -> None:
        self.add(BAD)
        self.settle(self.one(), 503, 5, retry_after=60)
        (webhook_id,) = self.add(BAD)
        listing = Deliveries(self.box.store).list(webhook_id, limit=5, before=None, state=None)
        ((delivery,), _) = self.successResultOf(listing)
        self.assertEqual(delivery.next_attempt_at, self.box.now() + 60)


class ProbeTests(PauseTestCase):
    """An explicit test, and the first of a redelivery, are made in spite of pauses."""

    def setUp(self) -> None:
        super().setUp()
        self.deliveries = Deliveries(self.box.store)
        (self.webhook_id,) = self.add(BAD)

    def let_fail(self) -> None:
        """Let the origin be paused."""
        for _ in range(PAUSE_AFTER):
            self.settle(self.one(), "connect", 0.5)
            self.wait(0.5)
        self.assertGreater(self.origin_paused(), 0)
        self.add(GOOD, 3)
        self.assertEqual(self.claim(), [])

    def send_test(self) -> Claim:
        self.successResultOf(self.deliveries.test(self.webhook_id))
        (claim,) = self.claim()
        self.assertEqual((claim.type, claim.probe), (TEST_EVENT, True))
        return claim

    def test_a_test_is_the_probe_of_its_paused_origin(self) -> None:
        self.let_fail()
        self.settle(self.send_test())
        self.assertEqual(self.origin_paused(), 0)
        self.assertGreater(len(self.claim()), 0)

    def test_a_test_that_fails_lengthens_the_pause(self) -> None:
        self.let_fail()
        self.settle(self.send_test(), "connect")
        self.assertEqual(self.origin_paused(), 2 * FIRST_PAUSE)
        self.assertEqual(self.claim(), [])

    def test_a_test_ends_the_pause_of_its_url(self) -> None:
        self.settle(self.one(), 503, 600, retry_after=3600)
        self.add(BAD, 3)
        self.assertEqual(self.claim(), [])
        self.settle(self.send_test())
        self.assertEqual(self.urls(), [BAD] * 3)

    def test_a_test_that_is_refused_does_not_end_the_pause_of_its_url(self) -> None:
        self.settle(self.one(), 503, 600, retry_after=60)
        self.add(BAD, 3)
        self.settle(self.send_test(), 503, retry_after=30)
        self.assertEqual(self.urls(), [])

    def test_a_test_that_waits_already_is_made_when_it_is_asked_for_again(self) -> None:
        self.let_fail()
        self.successResultOf(self.deliveries.test(self.webhook_id))
        self.execute(self.box, "UPDATE deliveries SET probe = 0")
        self.assertEqual(self.claim(), [])
        self.send_test()

    def test_a_redelivery_is_a_probe_once(self) -> None:
        self.let_fail()
        (delivery, *_) = self.column(self.box, "SELECT id FROM deliveries ORDER BY rowid")
        self.successResultOf(self.deliveries.redeliver(self.webhook_id, delivery))
        (claim,) = self.claim()
        self.assertEqual((claim.id, claim.probe), (delivery, True))
        self.settle(claim, "connect", 0)
        self.assertEqual(self.claim(), [])

    def test_of_many_redeliveries_only_the_first_is_a_probe(self) -> None:
        self.let_fail()
        self.execute(
            self.box,
            "UPDATE deliveries SET state = 'dead', finished_at = :now, webhook_id = :id",
            id=self.webhook_id,
            now=self.box.now(),
        )
        redelivering = self.deliveries.redeliver_failed(self.webhook_id, 0)
        self.assertEqual(self.successResultOf(redelivering), 4)
        self.assertEqual(len(self.claim()), 1)
        self.assertEqual(self.claim(), [])


class UpkeepTests(PauseTestCase):
    """What becomes of pauses as time goes by."""

    def pauses(self) -> list[float]:
        return [
            round(until - self.box.now(), 3)
            for until in self.column(self.box, "SELECT until FROM url_pauses")
        ]

    def setUp(self) -> None:
        super().setUp()
        self.add(BAD)
        self.settle(self.one(), 503, 5, retry_after=60)

    def test_a_pause_moves_along_with_a_clock_that_is_set(self) -> None:
        self.box.ahead += 1000
        self.write(self.box, lambda tx: None)
        self.assertEqual(self.pauses(), [60])

    def test_a_pause_is_forgotten_some_time_after_its_end(self) -> None:
        for seconds, left in ((60 + FORGOTTEN_AFTER - 1, 1), (1, 0)):
            self.wait(seconds)
            self.write(self.box, url_pauses.forget_old)
            self.assertEqual(len(self.pauses()), left)

    def test_retention_forgets_pauses(self) -> None:
        self.wait(60 + FORGOTTEN_AFTER)
        self.write(
            self.box,
            lambda tx: retention.delete_batch(tx, 1e9, retention.Place(), self.box.clock.seconds),
        )
        self.assertEqual(self.pauses(), [])
