"""Webhooks by their id: show, list and change."""

from __future__ import annotations

from typing import Any

from tests.helpers.secrets import SECRET
from tests.helpers.webhook_api import (
    BEGINNING,
    NOBODY,
    ORIGIN,
    OTHER_URL,
    URL,
    WebhookApiTestCase,
    status,
)

PAIR = ["job.completed", "job.error"]
#: Ids that no webhook has.
UNKNOWN = (NOBODY, "wh_" + "0" * 31, "wh_" + "0" * 5000, "msg_" + "0" * 32, "%00" * 35, "'--" * 12)


class ShowTests(WebhookApiTestCase):
    """C{GET /webhooks/{id}}."""

    def test_a_webhook_has_exactly_these_members(self) -> None:
        job = self.create(self.fake)["id"]
        for scope, shown_job, shown_kind in (
            ({}, None, None),
            ({"kind": "export"}, None, "export"),
            ({"job": job}, job, None),
        ):
            hook = self.hook(URL, name="for the team", events=["job.error"], **scope)
            self.assertEqual(
                self.show(hook["id"]),
                {
                    "id": hook["id"],
                    "name": "for the team",
                    "origin": ORIGIN,
                    "job": shown_job,
                    "kind": shown_kind,
                    "events": ["job.error"],
                    "enabled": True,
                    "reason": None,
                    "failing_since": None,
                    "created_at": BEGINNING,
                },
            )

    def test_path_query_user_and_secret_are_never_shown(self) -> None:
        hook = self.hook(URL, secret=SECRET)["id"]
        for path in ("/webhooks", f"/webhooks/{hook}", f"/webhooks/{hook}/deliveries"):
            reply = self.ask(self.fake, "GET", path)
            self.assertEqual(reply.header("Cache-Control"), "no-store")
            for word in (b"whsec", b"deep", b"hunter", b"user", b"token"):
                self.assertNotIn(word, reply.body)

    def test_a_failing_webhook_shows_since_when(self) -> None:
        hook = self.hook()["id"]
        self.finish()
        self.receive(status(404))
        since = self.show(hook)["failing_since"]
        self.assertRegex(since, r"\A2024-11-23T18:00:00\.0[0-9]{2}Z\Z")
        self.fake.clock.advance(60)
        self.finish()
        self.receive(status(404))
        self.assertEqual(self.show(hook)["failing_since"], since)
        self.finish()
        self.receive()
        self.assertIsNone(self.show(hook)["failing_since"])

    def test_a_webhook_that_was_answered_410_shows_the_reason(self) -> None:
        hook = self.hook()["id"]
        self.finish()
        self.receive(status(410))
        shown = self.show(hook)
        self.assertEqual((shown["enabled"], shown["reason"]), (False, "it answered 410 Gone"))

    def test_an_unknown_webhook_is_a_problem_on_every_route(self) -> None:
        for unknown in UNKNOWN:
            for method, path, body in (
                ("GET", "", None),
                ("HEAD", "", None),
                ("PATCH", "", {"name": "x"}),
                ("DELETE", "", None),
                ("POST", "/rotate", {}),
                ("POST", "/test", {}),
                ("GET", "/deliveries", None),
                ("POST", "/redeliver", {"delivery": "msg_" + "0" * 32}),
                ("POST", "/redeliver", {"failed_since": BEGINNING}),
            ):
                reply = self.ask(self.fake, method, f"/webhooks/{unknown}{path}", body=body)
                self.assertEqual(reply.code, 404)
                if method != "HEAD":
                    self.assert_problem(reply, 404, "unknown-webhook")


class ListTests(WebhookApiTestCase):
    """C{GET /webhooks}."""

    def page(self, query: str = "") -> tuple[list[str], str | None]:
        page = self.get(f"/webhooks{query}")
        self.assertEqual(set(page), {"webhooks", "next"})
        return [each["id"] for each in page["webhooks"]], page["next"]

    def hooks(self, count: int, seconds: float = 0.001, base: str = OTHER_URL) -> list[str]:
        """Register so many webhooks; return them, the newest first."""
        ids: list[str] = []
        for n in range(count):
            self.fake.clock.advance(seconds)
            ids.insert(0, self.hook(f"{base}/{n}")["id"])
        return ids

    def walk(self, limit: int) -> list[list[str]]:
        """Return the ids on each page."""
        pages, cursor = [], ""
        while True:
            ids, following = self.page(f"?limit={limit}&cursor={cursor}")
            pages.append(ids)
            if following is None:
                return pages
            cursor = following

    def test_the_newest_webhook_comes_first_and_is_shown_whole(self) -> None:
        ids = self.hooks(3)
        self.assertEqual(self.page(), (ids, None))
        for shown in self.get("/webhooks")["webhooks"]:
            self.assertEqual(shown, self.show(shown["id"]))

    def test_a_cursor_leads_through_all_pages(self) -> None:
        ids = self.hooks(7)
        self.assertEqual(self.walk(3), [ids[:3], ids[3:6], ids[6:]])
        self.assertEqual(self.walk(7), [ids])

    def test_webhooks_of_the_same_millisecond_are_each_listed_once(self) -> None:
        ids = self.hooks(7, seconds=0)
        self.assertEqual(
            [each for page in self.walk(2) for each in page], sorted(ids, reverse=True)
        )

    def test_new_and_deleted_webhooks_do_not_disturb_the_pages(self) -> None:
        ids = self.hooks(7)
        first, cursor = self.page("?limit=3")
        self.hooks(2, base="http://127.0.0.1:9999/newer")
        # Also where the cursor points.
        for gone in (ids[2], ids[4]):
            self.ask(self.fake, "DELETE", f"/webhooks/{gone}")
        rest, _ = self.page(f"?limit=3&cursor={cursor}")
        self.assertEqual((first, rest), (ids[:3], [ids[3], *ids[5:]]))

    def test_webhooks_of_the_original_contract_are_listed_too(self) -> None:
        job = self.create(self.fake)
        for base in ("", job["links"]["self"]):
            reply = self.post(f"{base}/webhooks/register", {"url": URL})
            self.fake.clock.advance(1)
            (ids, _) = self.page("?limit=1")
            self.assertEqual(ids, [reply.json["id"]])

    def test_an_invalid_query_is_refused(self) -> None:
        cursor = "1732384800000.wh_" + "0" * 32
        self.page(f"?cursor={cursor}")
        for query in (
            "?limit=0",
            "?limit=101",
            "?limit=many",
            "?limit=1&limit=2",
            "?colour=red",
            "?secret=hunter2",
            "?%ff=1",
            "?cursor=nonsense",
            f"?cursor={cursor}x",
            f"?cursor=-{cursor}",
            f"?cursor=1{cursor}00000",
            f"?cursor=9999999{cursor}",
            f"?cursor={cursor.upper()}",
            f"?cursor={cursor.split('.')[0]}",
            f"?cursor={cursor}&cursor={cursor}",
            "?cursor=NaN.wh_" + "0" * 32,
            "?cursor=1.%00",
            "?cursor=%d9%a1.wh_" + "0" * 32,
            "?cursor=null",
        ):
            reply = self.ask(self.fake, "GET", f"/webhooks{query}")
            self.assertNotIn(
                "hunter2", self.assert_problem(reply, 400, "invalid-request")["detail"]
            )


class ChangeTests(WebhookApiTestCase):
    """C{PATCH /webhooks/{id}}."""

    def setUp(self) -> None:
        super().setUp()
        self.before = self.hook(name="before")
        self.hook_id = self.before["id"]
        del self.before["secret"]

    def change(self, **members: Any) -> Any:
        """Change the webhook; return how it is shown then."""
        reply = self.patch_hook(self.hook_id, **members)
        self.assertEqual(reply.code, 200, reply.body)
        self.assertEqual(reply.json, self.show(self.hook_id))
        return reply.json

    def test_a_change_leaves_the_other_members_alone(self) -> None:
        shown = self.before
        for name, value in (
            ("name", "after"),
            ("name", None),
            ("events", ["job.progress", "job.error"]),
            ("enabled", False),
        ):
            shown = {**shown, name: value}
            if name == "enabled":
                shown["reason"] = "by request"
            self.assertEqual(self.change(**{name: value}), shown)

    def test_an_empty_change_changes_nothing(self) -> None:
        self.assertEqual(self.change(), self.before)
        reply = self.ask(self.fake, "PATCH", f"/webhooks/{self.hook_id}")
        self.assertEqual((reply.code, reply.json), (200, self.before))

    def test_all_members_may_change_at_once(self) -> None:
        shown = self.change(name="x", events=["job.error", "job.progress"], enabled=False)
        self.assertEqual((shown["name"], shown["enabled"]), ("x", False))
        self.assertEqual(shown["events"], ["job.progress", "job.error"])

    def test_an_invalid_change_is_refused_and_changes_nothing(self) -> None:
        impossible: tuple[dict[str, Any], ...] = (
            {"name": ""},
            {"name": 7},
            {"name": "x" * 101},
            {"events": []},
            {"events": None},
            {"events": "job.error"},
            {"events": ["job.started"]},
            {"events": [None]},
            {"enabled": None},
            {"enabled": 0},
            {"enabled": "false"},
            {"url": URL},
            {"secret": SECRET},
            {"job": None},
            {"kind": "export"},
            {"reason": None},
            {"id": NOBODY},
            {"name": "other", "enabled": "no"},
        )
        for members in impossible:
            self.assert_problem(self.patch_hook(self.hook_id, **members), 400, "invalid-request")
        self.assertEqual(self.show(self.hook_id), self.before)

    def test_after_a_change_of_events_it_is_told_others(self) -> None:
        self.change(events=["job.error"])
        self.finish()
        self.report(self.create(self.fake), result="error")
        self.assertEqual([each["type"] for each in self.deliveries(self.hook_id)], ["job.error"])

    def test_a_disabled_webhook_is_told_nothing_and_its_deliveries_die(self) -> None:
        self.finish()
        self.change(enabled=False)
        self.finish()
        self.assertEqual(self.receive(), [])
        (dead,) = self.deliveries(self.hook_id)
        self.assertEqual(
            (dead["state"], dead["reason"], dead["next_attempt_at"]),
            ("dead", "the webhook was disabled: by request", None),
        )

    def test_an_attempt_that_fails_after_disabling_is_not_repeated(self) -> None:
        for answer, state in ((status(500), "dead"), (status(204), "delivered")):
            self.change(enabled=True)
            self.finish()
            ((wire, _),) = self.under_way()
            self.change(enabled=False)
            wire.answer(answer)
            self.assertEqual(self.receive(), [])
            self.assertEqual(self.deliveries(self.hook_id)[0]["state"], state)
        self.fake.clock.advance(7200)
        self.assertEqual(self.receive(), [])

    def test_an_enabled_webhook_starts_anew_and_is_told_what_comes(self) -> None:
        self.finish()
        self.receive(status(404))
        self.assertIsNotNone(self.change(enabled=False)["failing_since"])
        self.assertEqual(self.change(enabled=True), self.before)
        job = self.finish()
        self.assertIn(job["id"].encode(), self.told().body)

    def test_enabling_an_enabled_webhook_forgets_its_failures(self) -> None:
        self.finish()
        self.receive(status(404))
        self.assertIsNone(self.change(enabled=True)["failing_since"])

    def test_the_reason_why_the_server_disabled_it_stays(self) -> None:
        self.finish()
        self.receive(status(410))
        self.assertEqual(self.change(enabled=False)["reason"], "it answered 410 Gone")
