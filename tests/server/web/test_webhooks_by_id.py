"""Webhooks by their id: registration for one job, one kind or all jobs."""

from __future__ import annotations

import json
from typing import Any

from statusjob.contract.signing import check_secret
from statusjob.jobs import new_job_id
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.servers import EPOCH
from tests.helpers.webhook_api import NOBODY, OTHER_URL, URL, WebhookApiTestCase

PAIR = ["job.completed", "job.error"]
ALL = ["job.progress", *PAIR]


class RegistrationTests(WebhookApiTestCase):
    """C{POST /webhooks}."""

    def test_a_new_webhook_is_shown_with_its_secret_and_location(self) -> None:
        reply = self.post("/webhooks", {"url": URL})
        self.assertEqual((reply.code, reply.header("Content-Type")), (201, "application/json"))
        self.assertEqual(reply.header("Cache-Control"), "no-store")
        shown = reply.json
        check_secret(shown.pop("secret"))
        self.assertRegex(shown["id"], r"\Awh_[0-9a-f]{32}\Z")
        self.assertEqual(reply.header("Location"), f"/webhooks/{shown['id']}")
        self.assertEqual(shown, self.show(shown["id"]))

    def test_the_location_has_the_path_of_the_public_url(self) -> None:
        self.begin(STATUSJOB_PUBLIC_URL="https://jobs.example/base")
        reply = self.post("/webhooks", {"url": URL})
        self.assertEqual(reply.header("Location"), f"/base/webhooks/{reply.json['id']}")

    def test_the_client_may_send_a_secret_of_its_own(self) -> None:
        self.assertEqual(self.hook(secret=SECRET)["secret"], SECRET)

    def test_a_webhook_without_a_job_and_a_kind_is_told_of_all_jobs(self) -> None:
        self.hook()
        for kind in ("export", "import"):
            job = self.finish(kind=kind)
            self.assertIn(job["id"].encode(), self.told().body)

    def test_only_webhooks_of_the_demo_job_are_told_of_it(self) -> None:
        self.begin(STATUS_DELAY="1000", STATUSJOB_ERROR_RATE="0")
        demo = self.ask(self.fake, "GET", "/status").header("Link") or ""
        demo_id = demo.split("/jobs/")[1].split(">")[0]
        wide, own = self.hook(), self.hook(job=demo_id)
        self.fake.clock.advance(1.5)
        self.receive()
        self.assertEqual(self.deliveries(wide["id"]), [])
        self.assertEqual([each["job"] for each in self.deliveries(own["id"])], [demo_id])

    def test_a_webhook_of_a_kind_is_told_of_jobs_of_that_kind(self) -> None:
        hook = self.hook(kind="export")
        jobs = [self.finish(kind=kind) for kind in ("export", "import", "export2", "export")]
        told = [each["job"] for each in self.deliveries(hook["id"])]
        self.assertEqual(set(told), {jobs[0]["id"], jobs[3]["id"]})
        self.assertEqual(len(self.receive()), 2)

    def test_a_webhook_of_a_job_is_told_of_that_job(self) -> None:
        job, other = self.create(self.fake), self.create(self.fake)
        hook = self.hook(job=job["id"])
        self.report(other, result="completed")
        self.assertEqual(self.deliveries(hook["id"]), [])
        self.report(job, result="completed")
        self.assertIn(job["id"].encode(), self.told().body)

    def test_a_webhook_is_told_at_once_of_a_job_that_has_ended(self) -> None:
        job = self.finish()
        self.hook(job=job["id"])
        self.assertIn(b'"result":"completed"', self.told().body)
        self.assertEqual(self.post("/webhooks", {"url": OTHER_URL, "job": job["id"]}).code, 200)
        self.assertEqual(self.receive(), [])

    def test_an_end_that_is_not_among_its_events_is_not_told(self) -> None:
        hook = self.hook(job=self.finish()["id"], events=["job.error"])
        self.assertEqual(self.deliveries(hook["id"]), [])

    def test_only_the_events_asked_for_are_told(self) -> None:
        for events, told in ((None, PAIR[:1]), (PAIR[1:], []), (ALL, ALL[:2])):
            self.begin()
            self.hook(events=events)
            job = self.create(self.fake)
            self.report(job, progress=0.5)
            received = self.receive()
            self.report(job, result="completed")
            received += self.receive()
            self.assertEqual([json.loads(sent.body)["type"] for sent in received], told)

    def test_an_unknown_job_is_a_problem(self) -> None:
        for unknown in (new_job_id(EPOCH, 7), "nonsense", "", "x" * 1000):
            reply = self.post("/webhooks", {"url": OTHER_URL, "job": unknown})
            self.assert_problem(reply, 404, "unknown-job")
        self.assertEqual(self.get("/webhooks")["webhooks"], [])

    def test_an_invalid_registration_is_refused(self) -> None:
        job = self.create(self.fake)["id"]
        impossible: tuple[dict[str, Any], ...] = (
            {"job": job, "kind": "export"},
            {"kind": "demo"},
            {"kind": "no kind"},
            {"kind": ""},
            {"kind": "x" * 65},
            {"kind": 7},
            {"job": 7},
            {"events": []},
            {"events": ["job.started"]},
            {"events": ["webhook.test"]},
            {"events": "job.completed"},
            {"events": None, "name": ""},
            {"name": "x" * 101},
            {"name": 7},
            {"secret": ""},
            {"secret": "hunter2"},
            {"secret": 7},
            {"enabled": False},
            {"id": NOBODY},
            {"url": None},
            {"url": ""},
            {"url": "ftp://receiver.example/"},
            {"url": "receiver.example"},
            {"url": ["http://receiver.example/"]},
            {"url": "http://10.0.0.1/"},
        )
        for members in impossible:
            reply = self.post("/webhooks", {"url": OTHER_URL, **members})
            problem = self.assert_problem(reply, 400, "invalid-request")
            self.assertNotIn("hunter2", problem["detail"])
        self.assert_problem(self.post("/webhooks", {}), 400, "invalid-request")
        self.assertEqual(self.get("/webhooks")["webhooks"], [])

    def test_null_counts_as_missing(self) -> None:
        nothing: dict[str, Any] = dict.fromkeys(("job", "kind", "events", "secret", "name"))
        shown = self.hook(**nothing)
        self.assertEqual((shown["events"], shown["job"], shown["name"]), (PAIR, None, None))


class AgainTests(WebhookApiTestCase):
    """The same URL with the same scope is the same webhook."""

    def again(self, **members: Any) -> Any:
        """Register a webhook that exists; return how it is shown."""
        reply = self.post("/webhooks", {"url": OTHER_URL, **members})
        self.assertEqual(reply.code, 200, reply.body)
        self.assertEqual(reply.header("Location"), f"/webhooks/{reply.json['id']}")
        return reply.json

    def conflict(self, word: str, **members: Any) -> None:
        reply = self.post("/webhooks", {"url": OTHER_URL, **members})
        self.assertIn(word, self.assert_problem(reply, 409, "webhook-conflict")["detail"])

    def test_a_repeated_registration_finds_it_and_shows_no_secret(self) -> None:
        job = self.create(self.fake)["id"]
        for scope in ({}, {"kind": "export"}, {"job": job}):
            first = self.hook(secret=SECRET, **scope)
            del first["secret"]
            for members in ({}, {"secret": SECRET}, {"events": PAIR[::-1]}, {"name": "other"}):
                self.assertEqual(self.again(**scope, **members), first)
        self.assertEqual(len(self.get("/webhooks")["webhooks"]), 3)

    def test_another_secret_or_other_events_are_a_conflict(self) -> None:
        self.hook(events=PAIR)
        self.conflict("secret", secret=SECRET)
        self.conflict("events", events=ALL)

    def test_each_scope_may_have_a_secret_of_its_own(self) -> None:
        ids = {
            self.hook(secret=secret, **scope)["id"]
            for secret, scope in (
                (SECRET, {}),
                (OTHER_SECRET, {"kind": "a"}),
                (SECRET, {"kind": "b"}),
            )
        }
        self.assertEqual(len(ids), 3)

    def test_a_repeated_registration_tells_whether_it_is_enabled(self) -> None:
        self.patch_hook(self.hook()["id"], enabled=False)
        self.assertIs(self.again()["enabled"], False)

    def test_registration_under_a_base_is_the_same_as_by_scope(self) -> None:
        job = self.create(self.fake)
        first = self.hook(job=job["id"], secret=SECRET)
        base = job["links"]["self"]
        reply = self.post(f"{base}/webhooks/register", {"url": OTHER_URL, "secret": SECRET})
        self.assertEqual((reply.code, reply.json["id"]), (200, first["id"]))
        self.assertNotIn("secret", reply.json)
        self.ask(self.fake, "DELETE", f"{base}/webhooks/unregister", body={"url": OTHER_URL})
        reply = self.ask(self.fake, "GET", f"/webhooks/{first['id']}")
        self.assert_problem(reply, 404, "unknown-webhook")
        self.assertNotEqual(self.hook(job=job["id"])["id"], first["id"])

    def test_unregistering_under_a_base_leaves_wider_scopes(self) -> None:
        job = self.create(self.fake)
        wide = self.hook()
        unregister = f"{job['links']['self']}/webhooks/unregister"
        self.ask(self.fake, "DELETE", unregister, body={"url": OTHER_URL})
        self.report(job, result="completed")
        self.assertEqual(len(self.deliveries(wide["id"])), 1)


class LimitTests(WebhookApiTestCase):
    """The number of webhooks is limited. Those that exist are still found."""

    def allow(self, webhooks: int = 100, of_job: int = 20) -> None:
        """Go on with another server, which has these limits."""
        self.fake = self.serve(
            STATUSJOB_MAX_WEBHOOKS=f"{webhooks}", STATUSJOB_MAX_JOB_WEBHOOKS=f"{of_job}"
        )

    def fill(self, count: int, where: str, *bodies: Any) -> None:
        """Check that only the last of these registrations is refused."""
        replies = [self.post("/webhooks", body) for body in bodies]
        self.assertEqual([each.code for each in replies[:-1]], [201] * count)
        problem = self.assert_problem(replies[-1], 409, "webhook-conflict")
        self.assertIn(f"{count} webhooks {where}", problem["detail"])
        self.assertEqual(self.post("/webhooks", bodies[0]).code, 200)

    def test_the_number_per_job_is_limited(self) -> None:
        self.allow(of_job=3)
        job = self.create(self.fake)["id"]
        self.fill(3, "for this job", *({"url": f"{OTHER_URL}/{n}", "job": job} for n in range(4)))
        self.hook()

    def test_the_number_for_kinds_and_for_all_jobs_is_limited_together(self) -> None:
        self.allow(3)
        scopes: list[dict[str, str]] = [{}, {"kind": "export"}, {"kind": "import"}, {"kind": "k"}]
        self.fill(3, "for kinds and for all", *({"url": OTHER_URL, **scope} for scope in scopes))

    def test_webhooks_of_single_jobs_take_no_room_of_others(self) -> None:
        self.allow(1)
        for _ in range(3):
            self.hook(URL, job=self.create(self.fake)["id"])
        self.hook(URL)

    def test_a_deletion_makes_room(self) -> None:
        self.allow(1)
        self.ask(self.fake, "DELETE", f"/webhooks/{self.hook()['id']}")
        self.hook(URL)
