"""The outbox in SQL: which deliveries are claimed, and how attempts are settled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from statusjob.server.store import origins, outbox_claim, single_process
from statusjob.server.store.origins import MAX_SLOTS
from statusjob.server.store.outbox_claim import Claimed
from tests.helpers.core import COMPLETED, URL, Core, a_claim, version_of
from tests.helpers.outbox import ALL, NODE, OutboxTestCase, Slot
from tests.helpers.secrets import SECRET
from tests.helpers.servers import EPOCH


@contextmanager
def counted_steps(core: Core) -> Iterator[list[None]]:
    """Count the steps that SQLite makes."""
    steps: list[None] = []
    connection = core.connections[0]
    connection.set_progress_handler(lambda: steps.append(None), 1)
    yield steps
    connection.set_progress_handler(None, 0)


class ClaimTests(OutboxTestCase):
    """Which deliveries are claimed, and in which order."""

    def test_a_claim_has_everything_that_an_attempt_needs(self) -> None:
        self.register(secret=SECRET)
        self.say(COMPLETED)
        (claim,) = self.claim()
        self.assertEqual((claim.url, claim.secrets, claim.attempt), (URL, (SECRET,), 1))
        self.assertEqual(self.slots(), [Slot("sending", 2, 1, 0)])
        self.assertEqual(self.claim(), [])

    def test_an_origin_gets_no_more_claims_than_it_has_slots(self) -> None:
        self.due("busy.example", MAX_SLOTS + 3)
        self.due("idle.example", 1)
        claims = self.claim()
        busy = [claim for claim in claims if "busy" in claim.url]
        self.assertEqual((len(claims), len(busy)), (MAX_SLOTS + 1, MAX_SLOTS))
        self.assertEqual(self.claim(), [])
        for claim in busy[:2]:
            self.settle(claim)
        self.assertEqual(len(self.claim()), 2)

    def test_a_claim_costs_the_same_however_many_origins_wait(self) -> None:
        for due, origins_there in ((EPOCH + 1000, 200), (EPOCH, 200)):
            costs = []
            for waiting in (20, origins_there):
                self.setUp()
                for i in range(waiting):
                    self.due(f"r{i}.example", 1)
                self.execute(self.box, "UPDATE deliveries SET due_at = :due", due=due)
                self.execute(self.box, "UPDATE origins SET ready_at = :due", due=due)
                with counted_steps(self.box) as steps:
                    self.claim(10)
                costs.append(len(steps))
            self.assertLess(costs[1], 1.1 * costs[0])

    def test_paused_origins_hide_no_other(self) -> None:
        for i in range(20):
            self.due(f"paused{i}.example", 1)
        self.execute(self.box, "UPDATE origins SET paused_until = 2e9")
        self.due("working.example", 1)
        rounds: list[Claimed] = []
        while not rounds or rounds[-1].more:
            rounds.append(self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 8, 8)))
        self.assertEqual(sum(len(each.claims) for each in rounds), 1)
        self.assertLess(len(rounds), 6)

    def test_deliveries_to_a_paused_origin_do_not_wake_it(self) -> None:
        self.due("paused.example", 1)
        self.execute(self.box, "UPDATE origins SET paused_until = :until", until=EPOCH + 100)
        self.assertEqual(self.claim(), [])
        self.due("paused.example", 1)
        self.assertEqual(self.write(self.box, origins.next_ready), EPOCH + 100)
        self.box.clock.advance(100)
        self.assertEqual(len(self.claim()), 2)

    def test_no_more_deliveries_are_claimed_than_there_is_room_for(self) -> None:
        self.due("a.example", 3)
        self.due("b.example", 3)
        self.assertEqual(len(self.claim(4)), 4)
        self.assertEqual(self.claim(0), [])

    def test_the_number_of_claims_for_busy_origins_is_bounded(self) -> None:
        for origin in ("a.example", "b.example", "c.example"):
            self.due(origin, 5)
        first = self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 4)).claims
        # One for each that has nothing under way, and four more.
        self.assertEqual(len(first), 3 + 4)
        self.assertEqual(
            len(self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 3)).claims), 3
        )
        self.assertEqual(
            self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 0)).claims, []
        )

    def test_the_origin_that_was_served_least_recently_comes_first(self) -> None:
        self.due("a.example", 3)
        self.due("b.example", 3)
        served = []
        for _ in range(4):
            self.box.clock.advance(1)
            (claim,) = self.claim(1)
            served.append(claim.url[7])
        self.assertEqual(sorted(served[:2]), ["a", "b"])
        self.assertEqual(served[:2], served[2:])

    def test_nothing_is_claimed_at_a_paused_origin(self) -> None:
        self.due("a.example", 1)
        self.execute(self.box, "UPDATE origins SET paused_until = :until", until=EPOCH + 5)
        self.assertEqual(self.claim(), [])
        self.box.clock.advance(5)
        self.assertEqual(len(self.claim()), 1)

    def test_a_delivery_that_is_due_later_is_not_claimed_but_its_time_is_known(self) -> None:
        self.due("a.example", 1)
        (claim,) = self.claim()
        self.settle(claim, "http", wait=7)
        self.assertEqual(self.write(self.box, origins.next_ready), EPOCH + 7)
        self.box.clock.advance(7)
        self.assertIsNone(self.write(self.box, origins.next_ready))
        self.assertEqual([claim.attempt for claim in self.claim()], [2])


class SettleTests(OutboxTestCase):
    """The state of a delivery after an attempt."""

    def setUp(self) -> None:
        super().setUp()
        self.register()
        self.say(COMPLETED)
        (self.first,) = self.claim()

    def test_the_state_after_a_success_a_failure_and_the_last_failure(self) -> None:
        for outcome, wait, state in (("ok", 5, "delivered"), ("http", None, "dead")):
            self.setUp()
            self.assertEqual(self.settle(self.first, outcome, wait), state)
            self.assertEqual(self.slots(), [Slot(state, 2, 1, 0)])
            self.assertEqual(self.claim(), [])
        self.setUp()
        self.assertEqual(self.settle(self.first, "http", 5), "pending")
        self.assertEqual(self.slots(), [Slot("pending", 2, 1, 5)])

    def test_a_claim_that_was_lost_cannot_be_settled(self) -> None:
        self.write(self.box, single_process.release_leases)
        (second,) = self.claim()
        self.settle(second, "http", 5)
        self.assertIsNone(self.settle(second))
        self.box.clock.advance(5)
        (third,) = self.claim()
        self.assertIsNone(self.settle(second))
        self.assertIsNone(self.settle(a_claim(id="msg_none")))
        self.assertEqual((third.attempt, self.settle(third)), (2, "delivered"))

    def test_every_attempt_is_written_down(self) -> None:
        self.box.clock.advance(1)
        self.settle(self.first, "connect", 5)
        self.box.clock.advance(5)
        (second,) = self.claim()
        self.box.clock.advance(2)
        self.settle(second)
        rows = self.rows(self.box, "SELECT * FROM attempts ORDER BY id")
        self.assertEqual(
            [(row["attempt"], row["started_at"], row["ended_at"], row["class"]) for row in rows],
            [(1, EPOCH, EPOCH + 1, "connect"), (2, EPOCH + 6, EPOCH + 8, "ok")],
        )

    def test_a_crash_does_not_count_as_an_attempt(self) -> None:
        for _ in range(5):
            self.write(self.box, single_process.release_leases)
            self.assertEqual(self.slots(), [Slot("pending", 2, 0, 0)])
            (again,) = self.claim()
            self.assertEqual((again.id, again.attempt), (self.first.id, 1))
        self.settle(again)
        rows = self.rows(self.box, "SELECT attempt, class FROM attempts")
        self.assertEqual([(row["attempt"], row["class"]) for row in rows], [(1, "ok")])

    def test_after_a_crash_only_the_newer_update_is_sent(self) -> None:
        job = self.create(self.box)
        self.register(job=job, events=ALL)
        self.say(b'{"progress":0.5}', job)
        self.claim()
        self.say(COMPLETED, job)
        self.settle(self.first)
        self.write(self.box, single_process.release_leases)
        self.assertEqual([version_of(claim) for claim in self.claim()], [3])
