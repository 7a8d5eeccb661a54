"""The list of deliveries, and test messages to webhooks."""

from __future__ import annotations

import json
from typing import Any

from statusjob.server.delivery.poster import DEADLINE
from statusjob.server.store.delivery_log import ATTEMPTS_SHOWN
from tests.helpers.secrets import SECRET
from tests.helpers.webhook_api import BEGINNING, OTHER_URL, WebhookApiTestCase, status


class ListTests(WebhookApiTestCase):
    """C{GET /webhooks/{id}/deliveries}."""

    def setUp(self) -> None:
        super().setUp()
        self.hook_id = self.hook()["id"]

    def one(self) -> Any:
        """Return the only delivery."""
        (delivery,) = self.deliveries(self.hook_id)
        return delivery

    def walk(self, query: str) -> list[list[str]]:
        """Return the ids on each page."""
        pages, cursor = [], ""
        while True:
            page = self.get(f"/webhooks/{self.hook_id}/deliveries?{query}&cursor={cursor}")
            pages.append([each["id"] for each in page["deliveries"]])
            if page["next"] is None:
                return pages
            cursor = page["next"]

    def test_a_delivery_has_exactly_these_members(self) -> None:
        job = self.finish()
        delivery = self.one()
        self.assertRegex(delivery["id"], r"\Amsg_[0-9a-f]{32}\Z")
        self.assertEqual(
            delivery,
            {
                "id": delivery["id"],
                "type": "job.completed",
                "job": job["id"],
                "version": 2,
                "state": "pending",
                "reason": None,
                "next_attempt_at": BEGINNING,
                "created_at": BEGINNING,
                "finished_at": None,
                "attempts": [],
            },
        )

    def test_a_delivery_that_was_made_shows_its_attempt(self) -> None:
        self.finish()
        sent = self.told()
        delivery = self.one()
        self.assertEqual(delivery["id"], sent.headers["webhook-id"])
        (attempt,) = delivery["attempts"]
        self.assertEqual(
            attempt,
            {
                "attempt": 1,
                "class": "ok",
                "status": 204,
                "detail": None,
                "started_at": attempt["started_at"],
                "ended_at": delivery["finished_at"],
            },
        )
        self.assertLess(BEGINNING, attempt["started_at"])
        self.assertLess(attempt["started_at"], attempt["ended_at"])
        self.assertEqual((delivery["state"], delivery["next_attempt_at"]), ("delivered", None))

    def test_a_delivery_that_is_being_sent_is_shown_as_sending(self) -> None:
        self.finish()
        self.under_way()
        delivery = self.one()
        self.assertEqual((delivery["state"], delivery["next_attempt_at"]), ("sending", None))

    def test_a_failed_delivery_shows_why_and_when_it_is_attempted_again(self) -> None:
        self.finish()
        self.receive(status(404))
        delivery = self.one()
        self.assertEqual((delivery["state"], delivery["finished_at"]), ("pending", None))
        (attempt,) = delivery["attempts"]
        self.assertEqual(
            (attempt["class"], attempt["status"], attempt["detail"]),
            ("http", 404, "answered 404"),
        )
        # In an hour, or up to a quarter of it later.
        self.assertLess("2024-11-23T19:00:00", delivery["next_attempt_at"])
        self.assertLess(delivery["next_attempt_at"], "2024-11-23T19:15:01")

    def test_an_attempt_without_an_answer_has_no_status(self) -> None:
        self.finish()
        self.under_way()
        self.fake.clock.advance(DEADLINE)
        self.receive()
        (attempt,) = self.one()["attempts"]
        self.assertEqual((attempt["class"], attempt["status"]), ("timeout", None))
        self.assertEqual(attempt["detail"], f"no answer within {DEADLINE:g} s")

    def test_while_its_origin_is_paused_the_next_attempt_is_after_the_pause(self) -> None:
        self.finish()
        self.receive(status(503, "Retry-After: 600"))
        self.finish()
        newer, older = self.deliveries(self.hook_id)
        self.assertLess("2024-11-23T18:10:00", newer["next_attempt_at"])
        self.assertLess(newer["next_attempt_at"], "2024-11-23T18:10:01")
        self.assertLess("2024-11-23T19:00:00", older["next_attempt_at"])
        self.assertEqual(self.receive(), [])
        self.fake.clock.advance(600)
        self.assertEqual(len(self.receive()), 1)

    def test_a_dead_delivery_shows_why(self) -> None:
        self.finish()
        self.receive(status(500))
        self.fake.clock.advance(7200)
        self.receive(status(500))
        delivery = self.one()
        self.assertEqual(
            (delivery["state"], delivery["reason"], delivery["next_attempt_at"]),
            ("dead", "every attempt failed", None),
        )
        self.assertEqual([each["attempt"] for each in delivery["attempts"]], [1, 2])

    def test_only_the_latest_of_many_attempts_are_shown(self) -> None:
        schedule = ",".join(["0", *["1"] * (ATTEMPTS_SHOWN + 4)])
        self.begin(STATUSJOB_RETRY_SCHEDULE=schedule)
        self.hook_id = self.hook()["id"]
        self.finish()
        for _ in range(ATTEMPTS_SHOWN + 5):
            self.receive(status(404))
            self.fake.clock.advance(2)
        attempts = [each["attempt"] for each in self.one()["attempts"]]
        self.assertEqual(attempts, list(range(6, ATTEMPTS_SHOWN + 6)))

    def test_the_list_can_be_limited_to_a_state(self) -> None:
        ids = {}
        for state, answer in (("delivered", status(200)), ("dead", status(410))):
            self.finish()
            ids[state] = self.told(answer).headers["webhook-id"]
        self.patch_hook(self.hook_id, enabled=True)
        self.finish()
        ((_, sent),) = self.under_way()
        ids["sending"] = sent.headers["webhook-id"]
        self.finish()
        ids["pending"] = self.deliveries(self.hook_id)[0]["id"]
        self.assertEqual(len(self.deliveries(self.hook_id, "?state=")), 4)
        for state in ("pending", "sending", "delivered", "superseded", "dead"):
            listed = [each["id"] for each in self.deliveries(self.hook_id, f"?state={state}")]
            self.assertEqual(listed, [ids[state]] if state in ids else [], state)

    def test_a_cursor_leads_through_all_pages_of_any_state(self) -> None:
        self.finish()
        # Its origin is paused, so that what follows stays pending.
        self.receive(status(503, "Retry-After: 3600"))
        for _ in range(6):
            self.fake.clock.advance(0.001)
            self.finish()
        ids = [each["id"] for each in self.deliveries(self.hook_id)]
        pages = [ids[:3], ids[3:6], ids[6:]]
        self.assertEqual(self.walk("limit=3"), pages)
        self.assertEqual(self.walk("limit=3&state=pending"), pages)
        self.patch_hook(self.hook_id, enabled=False)
        self.assertEqual(self.walk("limit=7&state=dead"), [ids])
        self.assertEqual(self.walk("limit=3&state=dead"), pages)

    def test_new_deliveries_do_not_disturb_the_pages(self) -> None:
        for _ in range(4):
            self.finish()
        path = f"/webhooks/{self.hook_id}/deliveries"
        first = self.get(f"{path}?limit=2")
        self.fake.clock.advance(1)
        self.finish()
        rest = self.get(f"{path}?limit=2&cursor={first['next']}")
        listed = {each["id"] for page in (first, rest) for each in page["deliveries"]}
        self.assertEqual(len(listed), 4)
        self.assertIsNone(rest["next"])

    def test_deliveries_of_other_webhooks_are_not_shown(self) -> None:
        other = self.hook(f"{OTHER_URL}/other")["id"]
        self.finish()
        mine, others = self.one(), self.deliveries(other)
        self.assertNotEqual(mine["id"], others[0]["id"])
        self.assertEqual(len(others), 1)

    def test_an_invalid_query_is_refused(self) -> None:
        for query in (
            "?state=done",
            "?state=DEAD",
            "?state=dead&state=dead",
            "?state=dead%00",
            "?limit=0",
            "?limit=101",
            "?cursor=nonsense",
            "?cursor=1.msg_x",
            "?since=2024",
        ):
            reply = self.ask(self.fake, "GET", f"/webhooks/{self.hook_id}/deliveries{query}")
            self.assert_problem(reply, 400, "invalid-request")


class TestEventTests(WebhookApiTestCase):
    """C{POST /webhooks/{id}/test}."""

    def setUp(self) -> None:
        super().setUp()
        self.hook_id = self.hook(secret=SECRET, name="for the team")["id"]

    def send_test(self) -> str:
        """Send a test message; return the id of its delivery."""
        reply = self.post(f"/webhooks/{self.hook_id}/test")
        self.assertEqual((reply.code, set(reply.json)), (202, {"delivery"}))
        return str(reply.json["delivery"])

    def listed(self) -> list[tuple[Any, ...]]:
        """Return the deliveries of the webhook."""
        return [(each["id"], each["state"]) for each in self.deliveries(self.hook_id)]

    def test_a_test_message_is_signed_and_delivered_like_any_other(self) -> None:
        delivery = self.send_test()
        sent = self.told()
        self.assertEqual(sent.headers["webhook-id"], delivery)
        self.assertEqual(self.signers(sent, SECRET), [SECRET])
        self.assertEqual(
            json.loads(sent.body),
            {
                "type": "webhook.test",
                "timestamp": 1_732_384_800_000,
                "webhook": {"id": self.hook_id, "name": "for the team"},
            },
        )

    def test_a_test_message_is_shown_among_the_deliveries(self) -> None:
        delivery = self.send_test()
        (shown,) = self.deliveries(self.hook_id)
        self.assertEqual(
            [shown[name] for name in ("id", "type", "job", "version", "state")],
            [delivery, "webhook.test", None, None, "pending"],
        )
        self.receive()
        (shown,) = self.deliveries(self.hook_id)
        self.assertEqual((shown["state"], shown["attempts"][0]["status"]), ("delivered", 204))

    def test_a_disabled_webhook_can_be_tested_and_stays_disabled(self) -> None:
        self.patch_hook(self.hook_id, enabled=False)
        delivery = self.send_test()
        self.assertEqual(self.told().headers["webhook-id"], delivery)
        self.assertIs(self.show(self.hook_id)["enabled"], False)

    def test_disabling_the_webhook_does_not_stop_its_test(self) -> None:
        self.send_test()
        self.patch_hook(self.hook_id, enabled=False)
        self.assertEqual(len(self.receive()), 1)

    def test_a_webhook_has_one_test_at_a_time(self) -> None:
        first = self.send_test()
        self.assertEqual(self.send_test(), first)
        ((wire, _),) = self.under_way()
        self.assertEqual(self.send_test(), first)
        wire.answer()
        self.receive()
        self.assertNotEqual(self.send_test(), first)
        self.assertEqual(len(self.receive()), 1)

    def test_a_test_message_is_attempted_once(self) -> None:
        delivery = self.send_test()
        self.receive(status(500))
        (shown,) = self.deliveries(self.hook_id)
        self.assertEqual((shown["id"], shown["state"]), (delivery, "dead"))
        self.assertEqual(shown["reason"], "a test is attempted once")
        self.fake.clock.advance(86_400)
        self.assertEqual(self.receive(), [])

    def test_a_failed_test_does_not_count_as_a_failure_of_the_webhook(self) -> None:
        self.send_test()
        self.receive(status(500))
        self.assertIsNone(self.show(self.hook_id)["failing_since"])

    def test_only_the_newest_test_is_kept(self) -> None:
        for answer in (status(500), status(200), status(500)):
            delivery = self.send_test()
            self.receive(answer)
        self.assertEqual(self.listed(), [(delivery, "dead")])

    def test_a_test_message_replaces_no_update(self) -> None:
        self.finish()
        self.send_test()
        self.assertEqual(len(self.receive()), 2)

    def test_a_test_takes_no_members(self) -> None:
        path = f"/webhooks/{self.hook_id}/test"
        self.assertEqual(self.ask(self.fake, "POST", path).code, 202)
        self.assert_problem(self.post(path, {"type": "job.error"}), 400, "invalid-request")
