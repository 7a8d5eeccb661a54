"""The delivery log in SQL: which attempts, deliveries and bodies are kept."""

from __future__ import annotations

from typing import Any

from statusjob.server.store.delivery_log import ATTEMPTS_SHOWN, attempts
from tests.helpers.core import COMPLETED
from tests.helpers.outbox import ALL, OutcomeTestCase


class AttemptTests(OutcomeTestCase):
    """The attempts that are shown of a delivery."""

    def attempts(self, delivery_id: str) -> list[tuple[Any, ...]]:
        made = self.write(self.box, lambda tx: attempts(tx, delivery_id))
        return [(each.number, each.kind, each.status, each.detail) for each in made]

    def test_attempts_are_kept_in_order_with_class_status_and_detail(self) -> None:
        self.register()
        self.say(COMPLETED)
        for outcome, detail in (("dns", "no such host"), (503, "answered 503"), ("ok", None)):
            claim = self.one()
            self.settle(claim, outcome, 1, detail=detail)
            self.box.clock.advance(1)
        self.assertEqual(
            self.attempts(claim.id),
            [
                (1, "dns", None, "no such host"),
                (2, "http", 503, "answered 503"),
                (3, "ok", 200, None),
            ],
        )

    def test_only_the_latest_attempts_are_shown(self) -> None:
        self.register()
        self.say(COMPLETED)
        for _ in range(ATTEMPTS_SHOWN + 5):
            self.box.clock.advance(400)
            claim = self.one()
            self.settle(claim, "connect", 1)
        numbers = [each[0] for each in self.attempts(claim.id)]
        self.assertEqual(numbers, list(range(6, ATTEMPTS_SHOWN + 6)))

    def test_a_redelivery_counts_from_one_again_and_earlier_attempts_stay(self) -> None:
        webhook_id = self.register()
        self.say(COMPLETED)
        claim = self.one()
        self.settle(claim, 400, 1)
        self.box.clock.advance(1)
        self.settle(self.one(), 401)
        self.assertEqual(self.fates(), [("dead", "every attempt failed")])
        self.successResultOf(self.deliveries.redeliver(webhook_id, claim.id))
        self.assertEqual(self.fates(), [("pending", None)])
        again = self.one()
        self.assertEqual((again.id, again.body, again.attempt), (claim.id, claim.body, 1))
        self.settle(again)
        self.assertEqual(
            [each[:3] for each in self.attempts(claim.id)],
            [(1, "http", 400), (2, "http", 401), (1, "ok", 200)],
        )

    def test_progress_inherits_attempts_and_a_terminal_update_has_none(self) -> None:
        self.register(events=ALL)
        self.progress(0.25)
        self.settle(self.one(), "connect", 30)
        self.progress(0.5)
        (inherited,) = self.column(self.box, "SELECT id FROM deliveries")
        self.assertEqual(len(self.attempts(inherited)), 1)
        self.say(COMPLETED)
        (terminal,) = self.column(self.box, "SELECT id FROM deliveries")
        self.assertEqual(self.attempts(terminal), [])


class KeptTests(OutcomeTestCase):
    """How many finished deliveries are kept."""

    def setUp(self) -> None:
        super().setUp()
        self.register(events=ALL)

    def tell(self, outcome: str | int = "ok") -> None:
        """Report progress, and settle its delivery with an outcome."""
        self.box.clock.advance(1)
        self.progress(self.box.clock.seconds() % 1000 / 1000)
        self.settle(self.one(), outcome)

    def versions(self, table: str) -> list[Any]:
        return self.column(self.box, f"SELECT version FROM {table} ORDER BY version")

    def test_only_the_newest_finished_progress_is_kept(self) -> None:
        for outcome in ("ok", 404, "ok", "connect"):
            self.tell(outcome)
            (job,) = self.rows(self.box, "SELECT version FROM jobs")
            self.assertEqual(self.versions("deliveries"), [job["version"]])
            self.assertEqual(self.versions("bodies"), [job["version"]])

    def test_after_the_end_was_delivered_only_that_is_kept(self) -> None:
        self.tell()
        self.say(COMPLETED)
        self.assertEqual(self.versions("deliveries"), [2, 3])
        self.settle(self.one())
        self.assertEqual((self.versions("deliveries"), self.versions("bodies")), ([3], [3]))

    def test_a_body_that_another_delivery_needs_is_kept(self) -> None:
        self.register("http://slow.example/", events=ALL)
        self.progress(0.5)
        quick, slow = self.claim()
        self.settle(quick)
        self.tell()
        self.assertEqual(self.versions("bodies"), [2, 3])
        self.settle(slow)
        self.box.clock.advance(1)
        self.settle(self.one())
        self.assertEqual(self.versions("bodies"), [3])
