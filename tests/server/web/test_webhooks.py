"""Registration of webhooks as in the original contract, under every base."""

from __future__ import annotations

import json
from typing import Any

from statusjob.client.http.answers import read_webhook
from statusjob.jobs import new_job_id
from statusjob.server.delivery.poster import DEADLINE
from statusjob.server.store.interface import Row
from statusjob.server.webhooks.registry import DEFAULT_LIMITS
from tests.helpers.messages import Reply
from tests.helpers.secrets import SECRET
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase

URL = "http://127.0.0.1:9999/hook"
REGISTERED = "webhook registered successfully"
DELETED = {"message": "webhook deleted successfully"}


class WebhookTestCase(ServerTestCase):
    """Registers under a base, and reads the outbox."""

    fake: InMemoryServer
    base = ""

    def register(self, body: Any, **headers: str) -> Reply:
        return self.ask(
            self.fake, "POST", f"{self.base}/webhooks/register", body=body, headers=headers
        )

    def unregister(self, body: Any) -> Reply:
        return self.ask(self.fake, "DELETE", f"{self.base}/webhooks/unregister", body=body)

    def deliveries(self) -> list[Any]:
        """Return the payloads of all pending deliveries."""

        def work(tx: Any) -> list[Row]:
            rows: list[Row] = tx.all(
                "SELECT body FROM deliveries JOIN bodies ON bodies.id = body_id ORDER BY body_id"
            )
            return rows

        rows = self.successResultOf(self.fake.server.store.read(work))
        return [json.loads(row["body"]) for row in rows]


class RegistrationContract:
    """Tests that hold under each base; C{end} ends the job of the base."""

    def end(self: Any) -> None:
        raise NotImplementedError

    def test_a_url_is_registered(self: Any) -> None:
        reply = self.register({"url": URL})
        self.assertEqual((reply.code, reply.header("Content-Type")), (200, "application/json"))
        self.assertEqual(set(reply.json), {"message", "id", "secret"})
        self.assertEqual(reply.json["message"], REGISTERED)
        self.assertTrue(reply.json["secret"].startswith("whsec_"))

    def test_a_repeated_registration_has_the_same_id_and_shows_no_secret(self: Any) -> None:
        first = self.register({"url": URL, "secret": SECRET}).json
        self.assertEqual(first["secret"], SECRET)
        for body in ({"url": URL}, {"url": URL, "secret": SECRET}):
            again = self.register(body)
            self.assertEqual(again.code, 200)
            self.assertEqual(again.json, {"message": REGISTERED, "id": first["id"]})
        self.end()
        self.assertEqual(len(self.deliveries()), 1)

    def test_another_secret_is_a_conflict(self: Any) -> None:
        self.register({"url": URL})
        self.assert_problem(self.register({"url": URL, "secret": SECRET}), 409, "webhook-conflict")

    def test_a_missing_url_is_named(self: Any) -> None:
        for body in ({}, {"url": None}, {"url": ""}, {"secret": SECRET}):
            for reply in (self.register(body), self.unregister(body)):
                self.assert_problem(reply, 400, "invalid-request", "webhook URL is required")
        for method, verb in (("POST", "register"), ("DELETE", "unregister")):
            reply = self.ask(self.fake, method, f"{self.base}/webhooks/{verb}")
            self.assert_problem(reply, 400, "invalid-request", "webhook URL is required")

    def test_a_url_that_is_not_http_is_refused(self: Any) -> None:
        for url in (
            "127.0.0.1:9999/hook",
            "/hook",
            "ftp://127.0.0.1/hook",
            "javascript:alert(1)",
            "http://",
            "http:///hook",
            "http://127.0.0.1:0/hook",
            "http://127.0.0.1:99999/hook",
            "http://127.0.0.1:port/hook",
            "http://[::1/hook",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/\r\nX: y",
            "http://127.0.0.1/" + "x" * 2048,
        ):
            reply = self.register({"url": url})
            self.assert_problem(reply, 400, "invalid-request", "invalid webhook URL")

    def test_a_url_that_is_not_text_is_refused(self: Any) -> None:
        for url in (7, True, ["http://127.0.0.1/"], {"href": "http://127.0.0.1/"}):
            self.assert_problem(self.register({"url": url}), 400, "invalid-request")

    def test_an_invalid_secret_is_refused_and_not_repeated(self: Any) -> None:
        for secret in ("swordfish", "whsec_c3dvcmRmaXNo", "whsec_swordfish!"):
            problem = self.assert_problem(
                self.register({"url": URL, "secret": secret}), 400, "invalid-request"
            )
            self.assertNotIn(secret, problem["detail"])

    def test_members_that_old_clients_send_are_ignored(self: Any) -> None:
        body = {"url": URL, "jobId": "x", "events": 7, "retries": {"max": 3}}
        self.assertEqual(self.register(body).code, 200)
        self.assertEqual(self.unregister(body).json, DELETED)

    def test_the_end_of_the_job_makes_a_delivery_for_each_webhook(self: Any) -> None:
        self.register({"url": URL})
        self.register({"url": URL + "/2"})
        self.assertEqual(self.deliveries(), [])
        self.end()
        self.assertEqual([each["result"] for each in self.deliveries()], ["completed"] * 2)

    def test_the_end_of_a_job_that_has_ended_is_delivered_at_once_and_once(self: Any) -> None:
        self.end()
        for _ in range(2):
            self.assertEqual(self.register({"url": URL}).code, 200)
            # The one attempt of the delivery fails, so that another could be seen.
            self.fake.clock.pump([0, DEADLINE])
            (payload,) = self.deliveries()
            self.assertEqual(payload["result"], "completed")

    def test_unregistering_stops_future_updates(self: Any) -> None:
        self.register({"url": URL})
        reply = self.unregister({"url": URL})
        self.assertEqual((reply.code, reply.json), (200, DELETED))
        self.end()
        self.assertEqual(self.deliveries(), [])

    def test_deliveries_that_are_written_are_still_made(self: Any) -> None:
        self.register({"url": URL})
        self.end()
        self.unregister({"url": URL})
        self.assertEqual(len(self.deliveries()), 1)

    def test_unregistering_an_unknown_url_succeeds(self: Any) -> None:
        for url in (URL, "nonsense"):
            reply = self.unregister({"url": url})
            self.assertEqual((reply.code, reply.json), (200, DELETED))

    def test_after_unregistering_the_same_url_is_a_new_registration(self: Any) -> None:
        first = self.register({"url": URL}).json
        self.unregister({"url": URL})
        second = self.register({"url": URL, "secret": SECRET})
        self.assertEqual((second.code, second.json["secret"]), (200, SECRET))
        self.assertNotEqual(second.json["id"], first["id"])

    def test_the_number_of_webhooks_per_job_is_limited(self: Any) -> None:
        limit = DEFAULT_LIMITS.job
        codes = [self.register({"url": f"{URL}/{n}"}).code for n in range(limit + 1)]
        self.assertEqual(codes, [200] * limit + [409])

    def test_only_json_is_accepted(self: Any) -> None:
        reply = self.ask(
            self.fake,
            "POST",
            f"{self.base}/webhooks/register",
            data=b"url=http%3A%2F%2F127.0.0.1%2F",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        self.assert_problem(reply, 415, "unsupported-media-type")

    def test_only_one_method_is_allowed(self: Any) -> None:
        for verb, allowed in (("register", "OPTIONS, POST"), ("unregister", "DELETE, OPTIONS")):
            reply = self.ask(self.fake, "GET", f"{self.base}/webhooks/{verb}")
            self.assert_problem(reply, 405, "method-not-allowed")
            self.assertEqual(reply.header("Allow"), allowed)


class DemoRegistrationTests(RegistrationContract, WebhookTestCase):
    """The base C{/}, which stands for the demo job."""

    def setUp(self) -> None:
        self.fake = self.serve(
            STATUS_DELAY="1000", STATUSJOB_ERROR_RATE="0", STATUSJOB_RETRY_SCHEDULE="0"
        )

    def end(self) -> None:
        # Long enough for the one attempt of a delivery to fail.
        self.fake.clock.pump([0.5] * 4 + [DEADLINE])

    def test_a_webhook_of_the_demo_job_is_not_told_of_other_jobs(self) -> None:
        self.register({"url": URL})
        other = self.create(self.fake)
        self.ask(self.fake, "PATCH", other["links"]["self"], body={"result": "completed"})
        self.assertEqual(self.deliveries(), [])


class JobRegistrationTests(RegistrationContract, WebhookTestCase):
    """The base C{/jobs/{id}}, which stands for that job."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_RETRY_SCHEDULE="0")
        self.base = self.create(self.fake)["links"]["self"]

    def end(self) -> None:
        self.ask(self.fake, "PATCH", self.base, body={"result": "completed"})

    def test_the_payload_is_as_in_the_contract_with_the_whole_job(self) -> None:
        self.register({"url": URL})
        self.fake.clock.advance(0.25)
        self.end()
        (payload,) = self.deliveries()
        self.assertEqual(payload["result"], "completed")
        self.assertEqual(payload["timestamp"], 1_732_384_800_250)
        self.assertEqual(payload["type"], "job.completed")
        self.assertEqual(payload["job"], self.ask(self.fake, "GET", self.base).json)
        self.assertEqual(read_webhook(json.dumps(payload).encode()).timestamp, EPOCH + 0.25)

    def test_progress_is_not_told(self) -> None:
        self.register({"url": URL})
        self.ask(self.fake, "PATCH", self.base, body={"progress": 0.5})
        self.assertEqual(self.deliveries(), [])

    def test_a_cancellation_is_told_as_an_error(self) -> None:
        self.register({"url": URL})
        self.ask(self.fake, "DELETE", self.base)
        (payload,) = self.deliveries()
        self.assertEqual((payload["result"], payload["type"]), ("error", "job.error"))

    def test_an_unknown_job_is_a_problem(self) -> None:
        for unknown in (new_job_id(EPOCH, 7), "nonsense"):
            self.base = f"/jobs/{unknown}"
            self.assert_problem(self.register({"url": URL}), 404, "unknown-job")
            self.assert_problem(self.unregister({"url": URL}), 404, "unknown-job")


class OneUrlForManyJobsTests(WebhookTestCase):
    """The same URL may be registered for several jobs."""

    def test_each_job_has_its_own_registration(self) -> None:
        self.fake = self.serve()
        ids = set()
        for base in ("", *(self.create(self.fake)["links"]["self"] for _ in range(2))):
            self.base = base
            ids.add(self.register({"url": URL, "secret": SECRET}).json["id"])
        self.assertEqual(len(ids), 3)
