"""The outbox in SQL: who is served, in which order, and what becomes of attempts."""

from __future__ import annotations

from statusjob.server.store import outbox_claim, single_process
from statusjob.server.store.origins import MAX_SLOTS
from tests.helpers.core import COMPLETED, URL, a_claim, version_of
from tests.helpers.outbox import ALL, NODE, OutboxTestCase, Slot
from tests.helpers.secrets import SECRET
from tests.helpers.servers import EPOCH


class ClaimTests(OutboxTestCase):
    """Who is served, and in which order."""

    def test_a_claim_has_all_that_an_attempt_needs(self) -> None:
        self.register(secret=SECRET)
        self.say(COMPLETED)
        (claim,) = self.claim()
        self.assertEqual((claim.url, claim.secrets, claim.attempt), (URL, (SECRET,), 1))
        self.assertEqual(self.slots(), [Slot("sending", 2, 1, 0)])
        self.assertEqual(self.claim(), [])

    def test_an_origin_gets_no_more_than_its_share(self) -> None:
        self.due("busy.example", MAX_SLOTS + 3)
        self.due("idle.example", 1)
        claims = self.claim()
        busy = [claim for claim in claims if "busy" in claim.url]
        self.assertEqual((len(claims), len(busy)), (MAX_SLOTS + 1, MAX_SLOTS))
        self.assertEqual(self.claim(), [])
        for claim in busy[:2]:
            self.settle(claim)
        self.assertEqual(len(self.claim()), 2)

    def test_no_more_are_taken_than_asked_for(self) -> None:
        self.due("a.example", 3)
        self.due("b.example", 3)
        self.assertEqual(len(self.claim(4)), 4)
        self.assertEqual(self.claim(0), [])

    def test_of_what_is_taken_only_so_much_is_for_the_busy(self) -> None:
        for origin in ("a.example", "b.example", "c.example"):
            self.due(origin, 5)
        first = self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 4))
        # One for each that has nothing under way, and four more.
        self.assertEqual(len(first), 3 + 4)
        self.assertEqual(
            len(self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 3))), 3
        )
        self.assertEqual(self.write(self.box, lambda tx: outbox_claim.claim(tx, NODE, 100, 0)), [])

    def test_the_origin_that_waited_longest_comes_first(self) -> None:
        self.due("a.example", 3)
        self.due("b.example", 3)
        served = []
        for _ in range(4):
            self.box.clock.advance(1)
            (claim,) = self.claim(1)
            served.append(claim.url[7])
        self.assertEqual(sorted(served[:2]), ["a", "b"])
        self.assertEqual(served[:2], served[2:])

    def test_a_paused_origin_is_left_alone(self) -> None:
        self.due("a.example", 1)
        self.execute(self.box, "UPDATE origins SET paused_until = :until", until=EPOCH + 5)
        self.assertEqual(self.claim(), [])
        self.box.clock.advance(5)
        self.assertEqual(len(self.claim()), 1)

    def test_what_is_due_later_is_not_taken_but_its_time_is_known(self) -> None:
        self.due("a.example", 1)
        (claim,) = self.claim()
        self.settle(claim, "http", wait=7)
        self.assertEqual(self.write(self.box, outbox_claim.next_due), EPOCH + 7)
        self.box.clock.advance(7)
        self.assertIsNone(self.write(self.box, outbox_claim.next_due))
        self.assertEqual([claim.attempt for claim in self.claim()], [2])


class SettleTests(OutboxTestCase):
    """What becomes of an attempt."""

    def setUp(self) -> None:
        super().setUp()
        self.register()
        self.say(COMPLETED)
        (self.first,) = self.claim()

    def test_success_failure_and_the_last_failure(self) -> None:
        for outcome, wait, state in (("ok", 5, "delivered"), ("http", None, "dead")):
            self.setUp()
            self.assertEqual(self.settle(self.first, outcome, wait), state)
            self.assertEqual(self.slots(), [Slot(state, 2, 1, 0)])
            self.assertEqual(self.claim(), [])
        self.setUp()
        self.assertEqual(self.settle(self.first, "http", 5), "pending")
        self.assertEqual(self.slots(), [Slot("pending", 2, 1, 5)])

    def test_whoever_lost_a_delivery_cannot_settle_it(self) -> None:
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

    def test_after_a_crash_what_a_newer_update_replaces_is_not_sent_again(self) -> None:
        job = self.create(self.box)
        self.register(job=job, events=ALL)
        self.say(b'{"progress":0.5}', job)
        self.claim()
        self.say(COMPLETED, job)
        self.settle(self.first)
        self.write(self.box, single_process.release_leases)
        self.assertEqual([version_of(claim) for claim in self.claim()], [3])
