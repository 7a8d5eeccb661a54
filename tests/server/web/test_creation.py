"""C{POST /jobs}, also with a repeated C{Idempotency-Key}."""

from __future__ import annotations

import re
from typing import Any

from statusjob.contract.jobs import METADATA_LIMIT
from tests.helpers.lanes import HeldLane
from tests.helpers.messages import Reply
from tests.helpers.secrets import SECRET
from tests.helpers.servers import ServerTestCase

HOOK = {"url": "http://127.0.0.1:9999/hook", "events": ["job.completed"], "name": "build"}


class CreationTests(ServerTestCase):
    """A job is created."""

    def setUp(self) -> None:
        self.fake = self.serve()

    def post(self, body: Any, **headers: str) -> Reply:
        return self.ask(self.fake, "POST", "/jobs", body=body, headers=headers)

    def test_every_member_is_shown_and_null_if_it_is_not_known(self) -> None:
        job = self.create(self.fake)
        path = f"/jobs/{job['id']}"
        self.assertEqual(
            job,
            {
                "id": job["id"],
                "kind": "default",
                "result": "pending",
                "version": 1,
                "progress": None,
                "message": None,
                "eta_at": None,
                "output": None,
                "error": None,
                "metadata": None,
                "deadline": None,
                "heartbeat": None,
                "simulated": False,
                "created_at": "2024-11-23T18:00:00.000Z",
                "updated_at": "2024-11-23T18:00:00.000Z",
                "finished_at": None,
                "duration": None,
                "links": {
                    "self": path,
                    "status": f"{path}/status",
                    "operation": f"{path}/operation",
                    "events": f"{path}/events",
                },
            },
        )
        self.assertRegex(job["id"], r"\A[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]")

    def test_headers_tell_the_jobs_location_and_when_to_ask(self) -> None:
        reply = self.post({})
        path = reply.json["links"]["self"]
        self.assertEqual((reply.code, reply.header("Content-Type")), (201, "application/json"))
        self.assertEqual(reply.header("ETag"), '"1"')
        self.assertEqual(reply.header("Location"), path)
        self.assertEqual(reply.header("Operation-Location"), f"http://localhost{path}/operation")
        self.assertEqual(reply.header("Retry-After"), "2")

    def test_a_request_without_a_body_creates_a_job(self) -> None:
        self.assertEqual(self.ask(self.fake, "POST", "/jobs").code, 201)

    def test_members_of_the_request_are_kept(self) -> None:
        asked = {
            "kind": "video-translation",
            "metadata": {"file": "häuser.mp4", "sizes": [1, 2.5, None, {"deep": True}]},
            "deadline": 3600,
            "heartbeat": 12.5,
        }
        job = self.create(self.fake, **asked)
        self.assertEqual({name: job[name] for name in asked}, asked)
        self.assertEqual(self.ask(self.fake, "GET", f"/jobs/{job['id']}").json, job)

    def test_operation_location_has_the_host_of_the_request(self) -> None:
        for host in ("127.0.0.1:3000", "[::1]:3000"):
            reply = self.post({}, Host=host)
            path = reply.json["links"]["operation"]
            self.assertEqual(reply.header("Operation-Location"), f"http://{host}{path}")

    def test_the_public_url_wins_over_the_host(self) -> None:
        fake = self.serve(STATUSJOB_PUBLIC_URL="https://jobs.example/base/")
        reply = self.ask(fake, "POST", "/jobs", body={}, headers={"Host": "jobs.example"})
        path = f"/base/jobs/{reply.json['id']}"
        self.assertEqual(reply.header("Location"), path)
        self.assertEqual(
            reply.header("Operation-Location"), f"https://jobs.example{path}/operation"
        )
        self.assertEqual(reply.json["links"]["self"], path)

    def test_a_webhook_can_be_registered_with_the_job(self) -> None:
        job = self.create(self.fake, webhook=HOOK)
        self.assertEqual(set(job["webhook"]), {"id", "secret"})
        self.assertTrue(job["webhook"]["secret"].startswith("whsec_"))
        self.assertNotIn("webhook", self.ask(self.fake, "GET", f"/jobs/{job['id']}").json)

    def test_the_clients_own_secret_is_accepted(self) -> None:
        job = self.create(self.fake, webhook={**HOOK, "secret": SECRET})
        self.assertEqual(job["webhook"]["secret"], SECRET)

    def test_an_invalid_webhook_creates_no_job(self) -> None:
        for hook in ({"url": "ftp://x/"}, {**HOOK, "secret": "short"}, {**HOOK, "events": []}):
            self.assert_problem(self.post({"webhook": hook}), 400, "invalid-request")
        self.assertEqual(self.ask(self.fake, "GET", "/jobs").json["jobs"], [])

    def test_a_simulated_job_runs_by_itself(self) -> None:
        job = self.create(self.fake, simulate={"delay": 4, "error_rate": 0})
        self.assertTrue(job["simulated"])
        self.fake.clock.pump([0.5] * 5)
        shown = self.ask(self.fake, "GET", f"/jobs/{job['id']}").json
        self.assertEqual((shown["result"], shown["progress"]), ("pending", 5 / 8))
        self.fake.clock.pump([0.5] * 4)
        shown = self.ask(self.fake, "GET", f"/jobs/{job['id']}").json
        self.assertEqual((shown["result"], shown["progress"]), ("completed", 1))
        self.assertTrue(4 <= shown["duration"] <= 4.5, shown["duration"])

    def test_a_simulated_job_can_be_made_to_fail(self) -> None:
        job = self.create(self.fake, simulate={"delay": 1, "error_rate": 1})
        self.fake.clock.pump([0.5] * 4)
        shown = self.ask(self.fake, "GET", f"/jobs/{job['id']}").json
        self.assertEqual((shown["result"], shown["error"]["code"]), ("error", "simulated"))

    def test_invalid_members_are_refused(self) -> None:
        refused: list[dict[str, Any]] = [
            {"kind": "demo"},
            {"kind": ""},
            {"kind": "a b"},
            {"kind": "x" * 65},
            {"kind": 7},
            {"deadline": 0},
            {"deadline": -1},
            {"deadline": "60"},
            {"deadline": True},
            {"deadline": 1e300},
            {"heartbeat": 0},
            {"metadata": []},
            {"metadata": {"x": "y" * METADATA_LIMIT}},
            {"metadata": {"x": "a\x00b"}},
            {"simulate": {"delay": -1}},
            {"simulate": {"error_rate": 1.5}},
            {"simulate": {"speed": 2}},
            {"simulate": True},
            {"webhook": {}},
            {"webhook": {"url": ""}},
            {"webhook": {"url": "http://127.0.0.1/", "events": ["job.exploded"]}},
            {"webhook": {"url": "http://127.0.0.1/", "job": "x"}},
            {"id": "mine"},
            {"result": "completed"},
        ]
        for body in refused:
            self.assert_problem(self.post(body), 400, "invalid-request")
        self.assertEqual(self.ask(self.fake, "GET", "/jobs").json["jobs"], [])


class IdempotencyTests(ServerTestCase):
    """The same key and body make one job."""

    def setUp(self) -> None:
        self.fake = self.serve()

    def post(self, key: str | list[str], body: Any = None, data: bytes | None = None) -> Reply:
        headers: dict[str, str | list[str]] = {"Idempotency-Key": key}
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self.ask(self.fake, "POST", "/jobs", body=body, data=data, headers=headers)

    def jobs(self) -> int:
        return len(self.ask(self.fake, "GET", "/jobs").json["jobs"])

    def test_a_repeated_request_is_answered_with_the_job_as_it_is_now(self) -> None:
        first = self.post("k1", {"kind": "a"})
        self.ask(self.fake, "PATCH", first.header("Location") or "", body={"progress": 0.5})
        again = self.post("k1", {"kind": "a"})
        self.assertEqual((first.code, again.code), (201, 200))
        self.assertEqual(again.json["id"], first.json["id"])
        self.assertEqual((again.json["progress"], again.header("ETag")), (0.5, '"2"'))
        for name in ("Location", "Operation-Location"):
            self.assertEqual(again.header(name), first.header(name))
        self.assertEqual(self.jobs(), 1)

    def test_a_replay_of_a_finished_job_says_no_retry_after(self) -> None:
        first = self.post("k1", {})
        self.ask(self.fake, "PATCH", first.header("Location") or "", body={"result": "completed"})
        again = self.post("k1", {})
        self.assertEqual((again.code, again.json["result"]), (200, "completed"))
        self.assertIsNone(again.header("Retry-After"))

    def test_space_and_the_order_of_members_do_not_matter(self) -> None:
        self.assertEqual(self.post("k1", data=b'{"kind":"a","deadline":60}').code, 201)
        self.assertEqual(self.post("k1", data=b'{ "deadline": 60, "kind": "a" }').code, 200)

    def test_the_same_key_with_another_body_is_refused(self) -> None:
        self.post("k1", {"kind": "a"})
        reply = self.post("k1", {"kind": "b"})
        self.assert_problem(reply, 422, "idempotency-key-reused")
        self.assertEqual(self.jobs(), 1)

    def test_another_key_makes_another_job(self) -> None:
        self.assertEqual([self.post(key, {}).code for key in ("k1", "k2", "K1")], [201] * 3)

    def test_a_replay_gives_the_webhook_again(self) -> None:
        # The first answer, with the secret, may never have arrived.
        first = self.post("k1", {"webhook": HOOK})
        self.assertEqual(self.post("k1", {"webhook": HOOK}).json["webhook"], first.json["webhook"])

    def test_an_invalid_key_is_refused(self) -> None:
        for key in ("", "x" * 256, "ключ", ["k1", "k2"], ["k1", "k1"]):
            self.assert_problem(self.post(key, {}), 400, "invalid-request")
        self.assertEqual(self.jobs(), 0)
        self.assertEqual(self.post("x" * 255, {}).code, 201)

    def test_a_refused_body_does_not_use_up_its_key(self) -> None:
        self.assertEqual(self.post("k1", {"kind": "demo"}).code, 400)
        self.assertEqual(self.post("k1", {"kind": "a"}).code, 201)

    def test_a_race_is_won_once_and_the_loser_replays(self) -> None:
        lane = HeldLane()
        self.fake = self.serve(lane)
        asked = [
            self.fake.treq.request("POST", "http://localhost/jobs", headers=headers)
            for headers in [{"Host": "localhost", "Idempotency-Key": "k1"}] * 2
        ]
        while lane.held:
            lane.step()
        self.fake.treq.flush()
        replies = [self.successResultOf(each) for each in asked]
        self.assertEqual([reply.code for reply in replies], [201, 200])
        ids = {re.sub(".*/", "", self.location(reply)) for reply in replies}
        self.assertEqual(len(ids), 1)

    def test_a_retry_after_an_answer_that_never_came_finds_the_one_job(self) -> None:
        lane = HeldLane()
        self.fake = self.serve(lane)
        headers = {"Host": "localhost", "Idempotency-Key": "k1"}
        asked = self.fake.treq.request("POST", "http://localhost/jobs", headers=headers)
        # Its client is gone before the commit; the commit goes on.
        asked.addErrback(lambda failure: None).cancel()
        lane.step()
        again = self.fake.treq.request("POST", "http://localhost/jobs", headers=headers)
        lane.step()
        self.fake.treq.flush()
        self.assertEqual(self.successResultOf(again).code, 200)

    @staticmethod
    def location(response: Any) -> str:
        return str(response.headers.getRawHeaders("Location")[0])
