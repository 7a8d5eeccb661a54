"""C{POST /webhooks/{id}/redeliver}: repeat one delivery, or all that failed since a time."""

from __future__ import annotations

from typing import Any

from statusjob.server.store import delivery_log
from statusjob.server.store.interface import Tx
from statusjob.server.webhooks import redelivery as server_deliveries
from tests.helpers.messages import Reply, Request
from tests.helpers.webhook_api import BEGINNING, OTHER_URL, WebhookApiTestCase, status


class RedeliveryTestCase(WebhookApiTestCase):
    """Asks a server that attempts each delivery twice."""

    def setUp(self) -> None:
        super().setUp()
        self.hook_id = self.hook()["id"]

    def redeliver(self, **members: Any) -> Reply:
        return self.post(f"/webhooks/{self.hook_id}/redeliver", members)

    def redelivered(self, count: int, **members: Any) -> None:
        """Redeliver, and check how many deliveries are due because of it."""
        reply = self.redeliver(**members)
        self.assertEqual((reply.code, reply.json), (202, {"redelivered": count}))

    def conflict(self, word: str, **members: Any) -> None:
        problem = self.assert_problem(self.redeliver(**members), 409, "webhook-conflict")
        self.assertIn(word, problem["detail"])

    def die(self, count: int = 1) -> list[str]:
        """Let so many deliveries fail until they are dead; return their ids."""
        for _ in range(count):
            self.finish()
        ids = self.ids(self.receive(status(404)))
        self.fake.clock.advance(4600)
        self.assertEqual(self.ids(self.receive(status(404))), ids)
        return ids

    def ids(self, sent: list[Request]) -> list[str]:
        return sorted(each.headers["webhook-id"] for each in sent)

    def states(self) -> list[str]:
        return [each["state"] for each in self.deliveries(self.hook_id)]


class OneTests(RedeliveryTestCase):
    """C{{"delivery": id}}."""

    def test_a_delivery_is_repeated_unchanged_but_for_its_time(self) -> None:
        self.finish()
        first = self.told()
        self.fake.clock.advance(60)
        self.redelivered(1, delivery=first.headers["webhook-id"])
        again = self.told()
        self.assertEqual(again.headers["webhook-id"], first.headers["webhook-id"])
        self.assertEqual(again.body, first.body)
        for name in ("webhook-timestamp", "webhook-signature"):
            self.assertNotEqual(again.headers[name], first.headers[name])

    def test_a_dead_delivery_begins_its_schedule_anew(self) -> None:
        (dead,) = self.die()
        self.redelivered(1, delivery=dead)
        self.assertEqual(self.ids(self.receive(status(404))), [dead])
        (shown,) = self.deliveries(self.hook_id)
        self.assertEqual((shown["state"], shown["reason"]), ("pending", None))
        self.assertEqual([each["attempt"] for each in shown["attempts"]], [1, 2, 1])
        self.fake.clock.advance(4600)
        self.assertEqual(self.ids(self.receive()), [dead])
        self.assertEqual(self.states(), ["delivered"])

    def test_a_pending_delivery_is_attempted_at_once(self) -> None:
        self.finish()
        waiting = self.told(status(404)).headers["webhook-id"]
        for _ in range(2):
            self.redelivered(1, delivery=waiting)
        self.assertEqual(self.ids(self.receive()), [waiting])
        self.fake.clock.advance(4600)
        self.assertEqual(self.receive(), [])

    def test_a_redelivery_does_not_wait_for_the_end_of_a_pause(self) -> None:
        self.finish()
        waiting = self.told(status(429, "Retry-After: 60")).headers["webhook-id"]
        self.redelivered(1, delivery=waiting)
        self.assertEqual(self.ids(self.receive()), [waiting])

    def test_a_delivery_that_is_being_sent_is_not_repeated(self) -> None:
        self.finish()
        ((wire, sent),) = self.under_way()
        self.conflict("is being sent", delivery=sent.headers["webhook-id"])
        wire.answer()

    def test_a_delivery_is_not_repeated_while_a_newer_update_is_pending(self) -> None:
        self.patch_hook(self.hook_id, events=["job.progress", "job.completed"])
        job = self.create(self.fake)
        first = self.told().headers["webhook-id"]
        self.report(job, progress=0.5)
        self.conflict("another update", delivery=first)
        self.fake.clock.advance(1)
        self.conflict("another update", delivery=first)
        self.receive()

    def test_nothing_is_repeated_to_a_disabled_webhook(self) -> None:
        self.finish()
        delivery = self.told().headers["webhook-id"]
        self.patch_hook(self.hook_id, enabled=False)
        self.conflict("enable it", delivery=delivery)
        self.patch_hook(self.hook_id, enabled=True)
        self.redelivered(1, delivery=delivery)

    def test_a_test_may_be_repeated_and_is_attempted_once(self) -> None:
        delivery = self.post(f"/webhooks/{self.hook_id}/test").json["delivery"]
        self.receive(status(500))
        self.redelivered(1, delivery=delivery)
        self.assertEqual(self.ids(self.receive(status(500))), [delivery])
        self.assertEqual(self.states(), ["dead"])

    def test_an_unknown_delivery_is_a_problem(self) -> None:
        other = self.hook(f"{OTHER_URL}/other")["id"]
        self.finish()
        self.receive()
        (others,) = self.deliveries(other)
        for unknown in (others["id"], "msg_" + "0" * 32, "nonsense", "", "x" * 100_000):
            self.assert_problem(self.redeliver(delivery=unknown), 404, "unknown-delivery")


class AllTests(RedeliveryTestCase):
    """C{{"failed_since": time}}."""

    def test_all_dead_deliveries_are_repeated_and_no_others(self) -> None:
        dead = self.die(3)
        self.finish()
        self.receive()
        self.redelivered(3, failed_since=BEGINNING)
        self.assertEqual(self.ids(self.receive()), dead)
        self.assertEqual(self.states(), ["delivered"] * 4)
        self.redelivered(0, failed_since=BEGINNING)

    def test_deliveries_that_failed_before_the_time_are_not_repeated(self) -> None:
        # They die 4600 s apart, at 19:16:40 and 20:33:20 and a moment.
        self.die()
        (newer,) = self.die()
        for since in (
            "2024-11-23T20:00:00Z",
            "2024-11-23T21:00:00.000+01:00",
            "2024-11-23t15:00:00.123456789-05:00",
            self.deliveries(self.hook_id)[0]["finished_at"],
        ):
            self.redelivered(1, failed_since=since)
            self.assertEqual(self.ids(self.receive(status(410))), [newer])
            self.patch_hook(self.hook_id, enabled=True)
        for since in ("9999-12-31T23:59:59-23:59", "2024-11-24T00:00:00Z"):
            self.redelivered(0, failed_since=since)
        self.redelivered(2, failed_since="0001-01-01T00:00:00+23:59")

    def test_deliveries_of_other_webhooks_are_not_repeated(self) -> None:
        other = self.hook(f"{OTHER_URL}/other")["id"]
        self.die()
        self.redelivered(1, failed_since=BEGINNING)
        self.assertEqual(self.deliveries(other)[0]["state"], "dead")

    def test_tests_are_not_repeated(self) -> None:
        self.post(f"/webhooks/{self.hook_id}/test")
        self.receive(status(500))
        self.redelivered(0, failed_since=BEGINNING)

    def test_pending_deliveries_are_not_changed(self) -> None:
        self.finish()
        self.receive(status(404))
        self.redelivered(0, failed_since=BEGINNING)

    def test_only_the_newest_delivery_of_each_job_is_repeated(self) -> None:
        self.patch_hook(self.hook_id, events=["job.progress", "job.completed"])
        job = self.create(self.fake)
        self.receive(status(410))
        self.patch_hook(self.hook_id, enabled=True)
        self.redelivered(1, failed_since=BEGINNING)
        self.receive(status(410))
        self.patch_hook(self.hook_id, enabled=True)
        self.report(job, result="completed")
        # The end is on its way: nothing older may follow it.
        self.redelivered(0, failed_since=BEGINNING)
        self.patch_hook(self.hook_id, enabled=False)
        self.patch_hook(self.hook_id, enabled=True)
        self.assertEqual(self.states(), ["dead", "dead"])
        self.redelivered(1, failed_since=BEGINNING)
        self.assertIn(b'"result":"completed"', self.told().body)

    def test_more_deliveries_than_fit_one_transaction_are_repeated(self) -> None:
        self.patch(server_deliveries, "REDELIVERY_BATCH", 3)
        for count in (7, 6):
            self.setUp()
            dead = self.die(count)
            self.redelivered(count, failed_since=BEGINNING)
            self.assertEqual(self.ids(self.receive()), dead)

    def test_a_delivery_that_dies_again_meanwhile_is_not_repeated(self) -> None:
        self.patch(server_deliveries, "REDELIVERY_BATCH", 2)
        self.die(6)
        make_due = delivery_log.redeliver_dead
        counts: list[int] = []

        def hopeless(tx: Tx, *given: Any, probe: bool) -> int:
            # By the next transaction all are dead again.
            counts.append(make_due(tx, *given, probe=probe))
            self.assertLess(len(counts), 10)
            self.fake.clock.advance(0.001)
            tx.execute(
                "UPDATE deliveries SET state = 'dead', finished_at = :then"
                " WHERE state = 'pending'",
                then=tx.now + 0.001,
            )
            return counts[-1]

        self.patch(delivery_log, "redeliver_dead", hopeless)
        self.redelivered(6, failed_since=BEGINNING)

    def test_nothing_is_repeated_to_a_disabled_webhook(self) -> None:
        self.die()
        self.patch_hook(self.hook_id, enabled=False)
        self.conflict("enable it", failed_since=BEGINNING)


class BodyTests(RedeliveryTestCase):
    """Bodies that are not valid."""

    def test_an_invalid_body_is_refused(self) -> None:
        dead = self.die()
        impossible: tuple[dict[str, Any], ...] = (
            {},
            {"delivery": None},
            {"delivery": dead[0], "failed_since": BEGINNING},
            {"delivery": 7},
            {"delivery": dead},
            {"delivery": dead[0], "force": True},
            {"failed_since": "2024-11-23T18:00:00"},
            {"failed_since": "2024-11-23"},
            {"failed_since": "2024-11-23T25:00:00Z"},
            {"failed_since": "2024-02-30T00:00:00Z"},
            {"failed_since": "yesterday"},
            {"failed_since": ""},
            {"failed_since": 1_732_384_800},
            {"failed_since": [BEGINNING]},
        )
        for members in impossible:
            self.assert_problem(self.redeliver(**members), 400, "invalid-request")
        self.assertEqual(self.states(), ["dead"])
