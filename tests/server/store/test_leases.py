"""The outbox in SQL: one node at a time serves an origin, until its lease ends."""

from __future__ import annotations

from statusjob.server.store import origins, single_process
from statusjob.server.store.origins import MAX_SLOTS
from statusjob.server.store.outbox_claim import LEASE
from tests.helpers.core import COMPLETED, version_of
from tests.helpers.outbox import ALL, NODE, OutboxTestCase, Slot

OTHER = "other node"
A, B = "a.example", "b.example"


class LeaseTests(OutboxTestCase):
    """Which node may serve an origin."""

    def test_only_the_node_that_claimed_first_may_serve_an_origin(self) -> None:
        self.due(A, 4)
        self.assertEqual(len(self.claim(2)), 2)
        self.assertEqual(self.claim(node=OTHER), [])
        self.assertEqual(len(self.claim(2)), 2)

    def test_another_node_may_serve_other_origins(self) -> None:
        self.due(A)
        self.claim()
        self.due(B)
        self.assertEqual([each.url for each in self.claim(node=OTHER)], [f"http://{B}/"])

    def test_claiming_renews_the_lease(self) -> None:
        self.due(A, 5)
        for _ in range(4):
            (claim,) = self.claim(1)
            self.settle(claim)
            self.box.clock.advance(LEASE - 1)
            self.assertEqual(self.claim(node=OTHER), [])
        self.box.clock.advance(1)
        self.assertEqual(len(self.claim(node=OTHER)), 1)

    def test_a_late_node_may_settle_unless_another_node_took_over(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        self.box.clock.advance(10 * LEASE)
        self.assertIsNone(self.settle(claim, node=OTHER))
        self.assertEqual(self.settle(claim), "delivered")

    def test_no_other_node_may_settle(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        for outcome in ("ok", 410, 500, "connect"):
            self.assertIsNone(self.settle(claim, outcome, 5, node=OTHER))
        self.assertEqual(self.slots(), [Slot("sending", 2, 1, 0)])
        self.assertEqual(self.column(self.box, "SELECT COUNT(*) FROM attempts"), [0])
        self.assertEqual(self.column(self.box, "SELECT failures FROM origins"), [0])


class TakeOverTests(OutboxTestCase):
    """A node's lease ended while it was sending."""

    def test_its_deliveries_are_due_again_with_the_same_id_and_body(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        self.box.clock.advance(LEASE - 0.001)
        self.assertEqual(self.claim(node=OTHER), [])
        self.box.clock.advance(0.001)
        (again,) = self.claim(node=OTHER)
        self.assertEqual(
            (again.id, again.body, again.attempt), (claim.id, claim.body, claim.attempt)
        )

    def test_only_the_node_that_gets_the_lease_takes_them_over(self) -> None:
        self.due(A)
        self.claim()
        self.box.clock.advance(LEASE)
        self.patch(origins, "lease", lambda *given: False)
        self.assertEqual(self.claim(node=OTHER), [])
        self.assertEqual([slot.state for slot in self.slots()], ["sending"])

    def test_it_cannot_settle_any_more(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        self.box.clock.advance(LEASE)
        (again,) = self.claim(node=OTHER)
        self.assertIsNone(self.settle(claim))
        self.assertEqual(self.settle(again, 500, 5, node=OTHER), "pending")
        self.assertIsNone(self.settle(claim, 410))
        self.assertEqual(self.column(self.box, "SELECT class FROM attempts"), ["http"])

    def test_all_its_slots_are_free_at_once(self) -> None:
        self.due(A, MAX_SLOTS + 2)
        self.assertEqual(len(self.claim()), MAX_SLOTS)
        self.box.clock.advance(LEASE)
        self.assertEqual(len(self.claim(node=OTHER)), MAX_SLOTS)

    def test_a_newer_update_replaces_its_delivery(self) -> None:
        self.register(events=ALL)
        self.progress(0.5)
        (claim,) = self.claim()
        self.say(COMPLETED)
        self.box.clock.advance(LEASE)
        (terminal,) = self.claim(node=OTHER)
        self.assertEqual(version_of(terminal), 3)
        self.assertEqual([slot.state for slot in self.slots()], ["superseded", "sending"])
        self.assertIsNone(self.settle(claim))

    def test_its_deliveries_at_a_paused_origin_wait_for_the_end_of_the_pause(self) -> None:
        self.due(A)
        self.claim()
        self.execute(self.box, "UPDATE origins SET paused_until = 2e9")
        self.box.clock.advance(LEASE)
        self.assertEqual(self.claim(node=OTHER), [])
        self.assertEqual([slot.state for slot in self.slots()], ["pending"])

    def test_the_late_node_itself_keeps_its_deliveries(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        self.box.clock.advance(10 * LEASE)
        self.assertEqual(self.claim(), [])
        self.assertEqual(self.settle(claim), "delivered")


class ReleaseTests(OutboxTestCase):
    """A process ended while it was sending, and the next one starts."""

    def test_a_start_ends_every_lease_at_once(self) -> None:
        self.due(A, 2)
        self.due(B, 2)
        old = self.claim()
        self.write(self.box, single_process.release_leases)
        self.assertEqual({slot.state for slot in self.slots()}, {"pending"})
        new = self.claim(node=OTHER)
        self.assertEqual({claim.id for claim in new}, {claim.id for claim in old})
        for claim in old:
            self.assertIsNone(self.settle(claim, node=NODE))

    def test_a_delivery_that_waits_for_a_retry_goes_on_waiting(self) -> None:
        self.due(A)
        (claim,) = self.claim()
        self.settle(claim, 500, 30)
        self.write(self.box, single_process.release_leases)
        self.assertEqual(self.slots(), [Slot("pending", 2, 1, 30)])

    def test_pauses_outlive_a_restart(self) -> None:
        self.due(A, 2)
        (claim,) = self.claim(1)
        self.settle(claim, 503, 5, retry_after=100)
        self.write(self.box, single_process.release_leases)
        self.assertEqual(self.claim(node=OTHER), [])
