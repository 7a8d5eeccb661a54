"""Origins in SQL: how many attempts each may have under way, and when each is paused."""

from __future__ import annotations

from typing import Any

from statusjob.server.store.origins import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MAX_SLOTS,
    PAUSE_AFTER,
    PAUSE_JITTER,
)
from tests.helpers.core import COMPLETED, URL
from tests.helpers.outbox import OutboxTestCase

A = "a.example"
#: Outcomes for which the origin is to blame, and those for which the webhook is.
ORIGINS = (500, 502, 503, "connect", "timeout", "dns", "tls", "blocked", "too-big")
WEBHOOKS = (301, 302, 400, 401, 404, 408, 418)


class OriginTestCase(OutboxTestCase):
    """An outbox with deliveries to C{a.example}."""

    def state(self, origin: str = A) -> tuple[int, int, float]:
        """The slots of an origin, its failures in a row, and for how long it is paused."""
        (row,) = self.rows(
            self.box, "SELECT * FROM origins WHERE origin = :origin", origin=f"http://{origin}:80"
        )
        return row["slots"], row["failures"], self.seconds_to(row["paused_until"])

    def state_of(self, delivery_id: str) -> str:
        rows = self.rows(self.box, "SELECT state FROM deliveries WHERE id = :id", id=delivery_id)
        return str(rows[0]["state"])

    def slots_left(self, origin: str = A) -> int:
        return self.state(origin)[0]

    def pause(self, origin: str = A) -> float:
        return self.state(origin)[2]

    def seconds_to(self, time: float) -> float:
        return max(0.0, round(time - self.box.now(), 3))

    def let_fail(self, rounds: int = 1, outcome: str | int = "connect", **more: Any) -> None:
        """Let one attempt per round fail, and wait for the pauses in between."""
        for _ in range(rounds):
            self.box.clock.advance(max(self.pause(), 1))
            (claim,) = self.claim(1)
            self.settle(claim, outcome, 1000, **more)

    def succeed(self) -> None:
        (claim,) = self.claim(1)
        self.settle(claim)


class SlotTests(OriginTestCase):
    """How many attempts may be under way."""

    def test_a_new_origin_has_all_slots(self) -> None:
        self.due(A, MAX_SLOTS + 4)
        self.assertEqual(len(self.claim()), MAX_SLOTS)
        self.assertEqual(self.state(), (MAX_SLOTS, 0, 0))

    def test_a_failure_halves_the_slots(self) -> None:
        self.due(A, 10)
        slots = []
        for _ in range(4):
            self.let_fail()
            slots.append(self.slots_left())
        self.assertEqual(slots, [8, 4, 2, 1])

    def test_one_slot_is_always_left(self) -> None:
        self.due(A, 20)
        self.let_fail(12)
        self.assertEqual(self.slots_left(), 1)

    def test_only_one_failure_per_round_of_attempts_counts(self) -> None:
        self.due(A, 40)
        for slots, failures in ((8, 1), (4, 2), (2, 3), (1, 4)):
            self.box.clock.advance(1)
            claims = self.claim()
            self.assertEqual(len(claims), slots * 2)
            for claim in claims:
                self.settle(claim, "connect", 1000)
            self.assertEqual(self.state(), (slots, failures, 0))

    def test_a_failure_of_an_attempt_that_begins_after_the_last_one_counts(self) -> None:
        self.due(A, 10)
        (claim,) = self.claim(1)
        for slots in (8, 4, 2):
            self.box.clock.advance(1)
            self.settle(claim, "connect", 1000)
            (claim,) = self.claim(1)
            self.assertEqual(self.slots_left(), slots)

    def test_a_failure_of_an_attempt_that_was_under_way_does_not_count(self) -> None:
        self.due(A, 10)
        older = self.claim(2)
        self.box.clock.advance(1)
        newer = self.claim(2)
        self.box.clock.advance(1)
        for claim in older + newer:
            self.settle(claim, "timeout", 1000)
        self.assertEqual(self.state(), (8, 1, 0))

    def test_a_success_adds_a_slot_up_to_the_limit(self) -> None:
        self.due(A, 40)
        self.let_fail(2)
        slots = []
        for _ in range(MAX_SLOTS):
            self.succeed()
            slots.append(self.slots_left())
        self.assertEqual(slots, [*range(5, MAX_SLOTS), *[MAX_SLOTS] * 5])

    def test_attempts_under_way_take_slots_when_there_are_fewer(self) -> None:
        self.due(A, 40)
        claims = self.claim()
        self.settle(claims[0], "connect", 1000)
        for i, claim in enumerate(claims[1:9], 1):
            # 15 attempts are under way, and the origin has 8 slots.
            self.assertEqual(len(self.claim()), 0, i)
            self.execute(self.box, "DELETE FROM deliveries WHERE id = :id", id=claim.id)
        self.assertEqual(len(self.claim()), 1)

    def test_alternating_success_and_failure_neither_pause_it_nor_give_it_all_slots(self) -> None:
        self.due(A, 40)
        for _ in range(3 * PAUSE_AFTER):
            self.let_fail()
            self.succeed()
        self.assertEqual(self.state(), (2, 0, 0))


class PauseTests(OriginTestCase):
    """An origin fails again and again."""

    def test_it_is_paused_after_the_fifth_failure_in_a_row(self) -> None:
        self.due(A, 10)
        self.let_fail(PAUSE_AFTER - 1)
        self.assertEqual(self.pause(), 0)
        self.let_fail()
        self.assertEqual(self.pause(), FIRST_PAUSE)
        self.assertEqual(self.claim(), [])

    def test_a_success_resets_the_count_of_failures(self) -> None:
        self.due(A, 20)
        self.let_fail(PAUSE_AFTER - 1)
        self.succeed()
        self.let_fail(PAUSE_AFTER - 1)
        self.assertEqual(self.pause(), 0)

    def test_each_pause_is_twice_as_long_up_to_the_longest(self) -> None:
        self.due(A, 20)
        self.let_fail(PAUSE_AFTER - 1)
        pauses = []
        for _ in range(8):
            self.let_fail()
            pauses.append(self.pause())
        self.assertEqual(pauses, [5, 10, 20, 40, 80, 160, 300, 300])
        self.assertEqual(LONGEST_PAUSE, 300)

    def test_jitter_lengthens_every_pause(self) -> None:
        self.due(A, 20)
        self.let_fail(PAUSE_AFTER - 1)
        for seconds in (5, 10, 20):
            self.let_fail(draw=1.0)
            self.assertEqual(self.pause(), seconds * (1 + PAUSE_JITTER))

    def test_the_pause_stays_finite_however_often_it_fails(self) -> None:
        self.due(A)
        for failures in (100, 10_000):
            self.execute(self.box, "UPDATE origins SET failures = :n", n=failures)
            self.execute(self.box, "UPDATE deliveries SET due_at = 0")
            self.execute(self.box, "UPDATE origins SET ready_at = 0")
            self.let_fail()
            self.assertEqual(self.pause(), LONGEST_PAUSE)

    def test_after_a_pause_a_single_attempt_probes_the_origin(self) -> None:
        self.due(A, 20)
        self.let_fail(PAUSE_AFTER)
        self.box.clock.advance(FIRST_PAUSE - 0.001)
        self.assertEqual(self.claim(), [])
        self.box.clock.advance(0.001)
        (probe,) = self.claim()
        self.assertEqual(self.claim(), [])
        self.settle(probe, "connect", 1000)
        self.assertEqual(self.claim(), [])
        self.assertEqual(self.pause(), 2 * FIRST_PAUSE)

    def test_attempts_under_way_when_it_is_paused_do_not_lengthen_the_pause(self) -> None:
        self.due(A, 40)
        self.execute(self.box, "UPDATE origins SET failures = 4")
        for claim in self.claim():
            self.settle(claim, "connect", 1000)
        self.assertEqual(self.state(), (8, PAUSE_AFTER, FIRST_PAUSE))

    def test_an_attempt_under_way_that_succeeds_does_not_end_the_pause(self) -> None:
        self.due(A, 40)
        self.execute(self.box, "UPDATE origins SET failures = 4")
        claims = self.claim(2)
        self.settle(claims[0], "connect", 1000)
        self.settle(claims[1])
        self.assertEqual(self.state(), (9, 0, FIRST_PAUSE))
        self.assertEqual(self.claim(), [])

    def test_after_a_successful_probe_failed_deliveries_are_due_and_slots_grow(self) -> None:
        self.due(A, PAUSE_AFTER + 5)
        self.let_fail(PAUSE_AFTER)
        self.box.clock.advance(FIRST_PAUSE)
        self.succeed()
        delivered = 1
        for slots in (2, 4, 3):
            claims = self.claim()
            self.assertEqual(len(claims), slots)
            for claim in claims:
                self.settle(claim)
            delivered += slots
        self.assertEqual(delivered, PAUSE_AFTER + 5)
        self.assertEqual(self.state(), (11, 0, 0))

    def test_failed_deliveries_are_due_after_a_probe_although_the_clock_was_set_back(self) -> None:
        self.due(A, PAUSE_AFTER + 1)
        self.let_fail(2)
        self.box.ahead -= 3600
        self.let_fail(PAUSE_AFTER - 2)
        self.box.clock.advance(FIRST_PAUSE)
        self.succeed()
        due = "SELECT COUNT(*) FROM deliveries WHERE state = 'pending' AND due_at <= :now"
        self.assertEqual(self.column(self.box, due, now=self.box.now()), [PAUSE_AFTER])

    def test_a_delivery_that_failed_before_its_origin_did_goes_on_waiting(self) -> None:
        self.due(A, 10)
        (before,) = self.claim(1)
        self.settle(before, "connect", 500)
        self.succeed()
        self.let_fail(PAUSE_AFTER)
        self.box.clock.advance(FIRST_PAUSE)
        self.succeed()
        self.assertNotIn(before.id, [claim.id for claim in self.claim() + self.claim()])

    def test_an_origin_that_works_now_and_then_does_not_use_up_a_schedule(self) -> None:
        schedule = (0, 5, 30, 120, 300)
        began = self.box.now()
        self.due(A)
        (poor,) = self.column(self.box, "SELECT id FROM deliveries")
        requests = 0
        while self.state_of(poor) == "pending":
            self.due(A)
            self.box.clock.advance(max(1, self.pause()))
            (claim,) = self.claim(1)
            requests += 1
            # One request in six succeeds, unless it is for that delivery.
            if requests % (PAUSE_AFTER + 1) == 0 and claim.id != poor:
                self.settle(claim)
            else:
                last = claim.attempt == len(schedule)
                self.settle(claim, "connect", None if last else schedule[claim.attempt])
        # The first step was cut short by the first success.
        self.assertGreater(self.box.now() - began, sum(schedule[2:]))

    def test_no_other_origin_is_held_up(self) -> None:
        self.due(A, 40)
        self.let_fail(PAUSE_AFTER)
        self.due("b.example", 3)
        self.assertEqual({claim.url for claim in self.claim()}, {"http://b.example/"})


class BlameTests(OriginTestCase):
    """Whether the origin or the webhook is to blame for a failure."""

    def test_an_origin_that_does_not_answer_properly_is_to_blame(self) -> None:
        for outcome in ORIGINS:
            self.setUp()
            self.due(A)
            self.let_fail(outcome=outcome)
            self.assertEqual(self.state(), (8, 1, 0), outcome)

    def test_a_webhook_that_is_refused_is_to_blame_and_its_origin_works(self) -> None:
        for status in WEBHOOKS:
            self.setUp()
            self.due(A, 3)
            self.let_fail()
            self.let_fail(outcome=status)
            self.assertEqual(self.state(), (9, 0, 0), status)

    def test_either_way_the_webhook_is_failing(self) -> None:
        for outcome in (*ORIGINS, *WEBHOOKS):
            self.setUp()
            self.due(A)
            self.let_fail(outcome=outcome)
            since = self.column(self.box, "SELECT failing_since FROM webhooks")
            self.assertEqual(since, [self.box.now()])

    def test_a_refused_probe_ends_the_outage_and_keeps_its_own_schedule(self) -> None:
        self.due(A, PAUSE_AFTER + 2)
        self.let_fail(PAUSE_AFTER)
        self.box.clock.advance(FIRST_PAUSE)
        (probe,) = self.claim()
        self.settle(probe, 404, 1000)
        self.assertEqual(self.state(), (2, 0, 0))
        (due_at,) = self.column(
            self.box, "SELECT due_at FROM deliveries WHERE id = :id", id=probe.id
        )
        self.assertEqual(self.seconds_to(due_at), 1000)

    def test_a_deleted_delivery_blames_nobody(self) -> None:
        self.register()
        self.say(COMPLETED)
        (claim,) = self.claim()
        self.execute(self.box, "DELETE FROM deliveries")
        self.assertIsNone(self.settle(claim, "connect", 5))
        (failures,) = self.column(self.box, "SELECT failures FROM origins")
        self.assertEqual((claim.url, failures), (URL, 0))
