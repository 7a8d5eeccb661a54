"""Rounds of delivery: how much one does, when the next one comes, and what does not stop them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from statusjob.server.alarms import LONGEST_SLEEP, RETRY_SLEEP
from statusjob.server.delivery import worker
from statusjob.server.store import outbox_claim, outbox_settle, single_process
from statusjob.server.store.interface import Tx
from statusjob.server.store.origins import MAX_SLOTS
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome, Retry, Settled
from tests.helpers.delivery import OK, REFUSED, DeliveryTestCase

HOUR = 3600.0


class RoundsTestCase(DeliveryTestCase):
    """Many deliveries at once."""

    def due(self, origin: str, jobs: int = 1) -> None:
        """Let so many deliveries be due at an origin."""
        for _ in range(jobs):
            self.finish(self.job(f"http://{origin}.example/"))

    def sent_to(self, origin: str) -> int:
        return sum(claim.url == f"http://{origin}.example/" for _, claim in self.sender.sent)

    def end_all(self) -> None:
        """Let every attempt that is under way succeed."""
        ended, self.sender.under_way = self.sender.under_way, []
        for attempt in ended:
            attempt.callback(OK)

    def count_rounds(self, seconds: float) -> int:
        """Count the rounds that are made in so many seconds."""
        rounds = 0
        write = self.box.store.write

        def counted(work: Callable[[Tx], Any]) -> Deferred[Any]:
            nonlocal rounds
            rounds += 1
            return write(work)

        patch = self.patch(self.box.store, "write", counted)
        self.pump(seconds, step=1)
        patch.restore()
        return rounds


class RoomTests(RoundsTestCase):
    """How many attempts may be under way, and for whom some are reserved."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(worker, "MAX_ATTEMPTS", 40)
        self.patch(worker, "RESERVED", 10)
        self.patch(worker, "CLAIM_BATCH", 8)
        self.sender.answers = lambda claim: None

    def fill(self) -> None:
        """Let slow origins take as many attempts as they can get."""
        for i in range(4):
            self.due(f"slow{i}", MAX_SLOTS)
        self.rounds(20)

    def test_slow_origins_leave_some_attempts_to_others(self) -> None:
        self.fill()
        # The first attempt of each slow origin may be a reserved one.
        self.assertIn(len(self.sender.sent), range(30, 30 + 4 + 1))

    def test_a_reserved_attempt_goes_to_an_origin_that_has_none_under_way(self) -> None:
        self.fill()
        self.due("idle", 3)
        self.rounds()
        self.assertEqual(self.sent_to("idle"), 1)
        self.sender.under_way[-1].callback(OK)
        self.rounds()
        self.assertEqual(self.sent_to("idle"), 2)

    def test_reserved_attempts_are_bounded_too(self) -> None:
        self.fill()
        for i in range(12):
            self.due(f"idle{i}")
        self.rounds(20)
        self.assertEqual(len(self.sender.sent), 40)
        self.end_all()
        self.rounds(20)
        self.assertEqual(sum(self.sent_to(f"idle{i}") for i in range(12)), 12)

    def test_slow_origins_share_the_attempts_equally(self) -> None:
        self.fill()
        for _ in range(4):
            self.end_all()
            self.rounds(20)
        self.assertEqual([self.sent_to(f"slow{i}") for i in range(4)], [MAX_SLOTS] * 4)

    def test_at_most_so_many_attempts_begin_in_one_round(self) -> None:
        for i in range(20):
            self.due(f"idle{i}")
        begun = []
        for _ in range(4):
            self.box.clock.advance(0.003)
            begun.append(len(self.sender.sent))
        self.assertEqual(begun, [8, 16, 20, 20])

    def test_at_most_so_many_attempts_are_settled_in_one_round(self) -> None:
        self.patch(worker, "SETTLE_BATCH", 12)
        self.due("a", MAX_SLOTS)
        self.due("b", MAX_SLOTS)
        self.rounds(20)
        self.end_all()
        settled = []
        for _ in range(4):
            self.box.clock.advance(0.003)
            settled.append(self.states().count("delivered"))
        self.assertEqual(settled, [12, 24, 30, 30])

    def test_a_stop_settles_all_attempts_that_are_over(self) -> None:
        self.patch(worker, "SETTLE_BATCH", 3)
        self.due("a", 8)
        self.rounds()
        stopping = self.stop(10)
        self.end_all()
        self.successResultOf(stopping)
        self.assertEqual(set(self.states()), {"delivered"})

    def test_rounds_follow_each_other_while_deliveries_are_due(self) -> None:
        self.sender.answers = lambda claim: OK
        self.due("busy", 100)
        began = self.box.clock.seconds()
        while len(self.sender.sent) < 100:
            self.box.clock.advance(0.001)
        self.assertLess(self.box.clock.seconds() - began, 0.05)


class IdleTests(RoundsTestCase):
    """Hardly any round is made without need."""

    #: The rounds that an idle alarm makes in an hour.
    HEARTBEATS = round(HOUR / LONGEST_SLEEP)

    def fill(self, count: int) -> None:
        """Let so many deliveries be due at one origin, each of a job of its own."""
        self.finish(self.job())

        def work(tx: Tx) -> None:
            for i in range(count - 1):
                tx.execute(
                    "INSERT INTO jobs (id, kind, result, version, created_at, updated_at)"
                    " VALUES (:id, 'default', 'pending', 2, :now, :now)",
                    id=f"job {i}",
                    now=tx.now,
                )
            tx.execute(
                "INSERT INTO bodies (job_id, version, body)"
                " SELECT id, 2, '{\"job\":{\"version\":2}}' FROM jobs WHERE id LIKE 'job %'"
            )
            tx.execute(
                "INSERT INTO deliveries (id, webhook_id, origin_id, job_id, version, type,"
                " body_id, state, due_at, created_at)"
                " SELECT 'msg ' || b.job_id, w.id, w.origin_id, b.job_id, 2, 'job.completed',"
                " b.id, 'pending', :now, :now FROM bodies b, webhooks w"
                " WHERE b.job_id LIKE 'job %'",
                now=tx.now,
            )

        self.write(self.box, work)

    def test_few_rounds_are_made_when_there_is_nothing_to_do(self) -> None:
        self.assertLessEqual(self.count_rounds(HOUR), self.HEARTBEATS + 1)

    def test_few_rounds_are_made_while_10000_deliveries_wait_for_a_dead_origin(self) -> None:
        self.sender.answers = lambda claim: REFUSED
        self.fill(10_000)
        self.assertLess(self.count_rounds(HOUR), 2 * self.HEARTBEATS)
        # The rounds of 16, 8, 4, 2 and 1, then single probes.
        self.assertLess(len(self.sender.sent), 31 + 20)
        self.assertEqual(self.states().count("pending"), 10_000)

    def test_few_rounds_are_made_while_10000_deliveries_wait_as_retry_after_says(self) -> None:
        self.sender.answers = lambda claim: Outcome("http", 429, retry_after=HOUR)
        self.fill(10_000)
        self.assertLess(self.count_rounds(HOUR - 1), self.HEARTBEATS + 60)
        self.assertEqual(len(self.sender.sent), MAX_SLOTS)

    def test_few_rounds_are_made_while_an_origin_does_not_answer_and_more_is_due(self) -> None:
        self.sender.answers = lambda claim: None
        self.fill(1_000)
        self.assertLessEqual(self.count_rounds(HOUR), self.HEARTBEATS + 3)
        self.assertEqual(len(self.sender.sent), MAX_SLOTS)

    def test_few_rounds_are_made_while_an_update_waits_for_the_attempt_before_it(self) -> None:
        self.sender.answers = lambda claim: None
        job = self.job(events=["job.progress", "job.completed"])
        self.report(self.box, job, b'{"progress":0.5}')
        self.rounds()
        self.finish(job)
        self.assertLessEqual(self.count_rounds(HOUR), self.HEARTBEATS + 2)
        self.assertEqual(self.states(), ["sending", "pending"])

    def test_all_deliveries_arrive_soon_after_their_origin_works_again(self) -> None:
        self.sender.answers = lambda claim: REFUSED
        self.fill(1_000)
        self.pump(600, step=1)
        self.sender.answers = lambda claim: OK
        ((paused_until,),) = self.rows(self.box, "SELECT paused_until FROM origins")
        self.box.clock.advance(paused_until - self.box.clock.seconds())
        self.pump(2, step=0.002)
        self.assertEqual(set(self.states()), {"delivered"})


class FaultTests(RoundsTestCase):
    """Exceptions that nobody foresaw."""

    def break_settling(self, *kinds: str) -> Callable[[], None]:
        """
        Let no outcome of these classes be written down for the origin C{poison}; the function
        that ends it.
        """
        settle = outbox_settle.settle

        def broken(tx: Tx, node: str, claim: Claim, outcome: Outcome, retry: Retry) -> Settled:
            settled = settle(tx, node, claim, outcome, retry)
            if "poison" in claim.url and outcome.kind in kinds:
                raise ValueError("cannot be settled")
            return settled

        patch = self.patch(outbox_settle, "settle", broken)
        return lambda: patch.restore()

    def flush(self) -> int:
        return len(self.flushLoggedErrors(ValueError))

    def test_an_attempt_that_cannot_be_settled_holds_up_no_other(self) -> None:
        self.break_settling("ok")
        self.sender.answers = lambda claim: None
        for origin in ("a", "poison", "b"):
            self.due(origin)
        self.rounds()
        self.end_all()
        self.rounds()
        self.assertEqual(self.states().count("delivered"), 2)
        self.assertEqual(self.flush(), 1)
        self.sender.answers = lambda claim: OK
        self.due("c")
        self.rounds()
        self.assertEqual(self.states().count("delivered"), 3)

    def test_an_attempt_that_cannot_be_settled_counts_as_failed_and_is_made_again(self) -> None:
        repair = self.break_settling("ok")
        self.due("poison")
        self.pump(20)
        self.assertEqual((len(self.sender.sent), self.flush()), (2, 2))
        rows = self.rows(self.box, "SELECT class, detail FROM attempts")
        self.assertEqual(
            {(row["class"], row["detail"]) for row in rows},
            {("connect", "an unexpected error; the log of the server has more")},
        )
        repair()
        self.pump(60)
        self.assertEqual((len(self.sender.sent), self.states()), (3, ["delivered"]))

    def test_an_attempt_that_cannot_be_settled_at_all_waits_for_the_next_start(self) -> None:
        repair = self.break_settling("ok", "connect")
        self.due("poison")
        self.due("a")
        self.pump(60)
        self.assertEqual(sorted(self.states()), ["delivered", "sending"])
        self.assertEqual((len(self.sender.sent), self.flush()), (2, 2))
        repair()
        self.write(self.box, single_process.release_leases)
        self.pump(60)
        self.assertEqual(self.states(), ["delivered"] * 2)

    def test_attempts_are_settled_although_nothing_can_be_claimed(self) -> None:
        self.sender.answers = lambda claim: None
        self.due("a")
        self.rounds()

        def broken(tx: Tx, *args: object) -> list[Claim]:
            raise ValueError("cannot be claimed")

        patch = self.patch(outbox_claim, "claim", broken)
        self.end_all()
        self.due("b")
        self.pump(5.5 * RETRY_SLEEP, step=0.25)
        self.assertEqual(sorted(self.states()), ["delivered", "pending"])
        # The round is repeated once per second, and not more often.
        self.assertLess(self.flush(), 8)
        patch.restore()
        self.sender.answers = lambda claim: OK
        self.pump(RETRY_SLEEP + 0.5)
        self.assertEqual(self.states(), ["delivered"] * 2)

    def test_a_stop_ends_although_one_of_several_attempts_cannot_be_settled(self) -> None:
        self.break_settling("ok", "connect")
        self.sender.answers = lambda claim: None
        for origin in ("a", "poison", "b"):
            self.due(origin)
        self.rounds()
        stopping = self.stop(10)
        self.end_all()
        self.successResultOf(stopping)
        self.assertEqual(sorted(self.states()), ["delivered", "delivered", "sending"])
        self.assertEqual(self.flush(), 2)

    def test_a_stop_settles_attempts_that_end_during_it(self) -> None:
        self.sender.answers = lambda claim: None
        self.due("a", 3)
        self.rounds()
        stopping = self.stop(10)
        for attempt, outcome in zip(self.sender.under_way, (OK, REFUSED, OK), strict=True):
            attempt.callback(outcome)
        self.successResultOf(stopping)
        self.assertEqual(sorted(self.states()), ["delivered", "delivered", "pending"])
        self.assertEqual(self.box.clock.getDelayedCalls(), [])
