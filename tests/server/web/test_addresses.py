"""Addresses of webhooks, which are refused at registration and blocked at delivery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from statusjob.server.delivery.guard import CHECK_DEADLINE
from tests.helpers.messages import Reply
from tests.helpers.servers import PUBLIC, InMemoryServer, ServerTestCase

TOKEN = {"Authorization": "Bearer x"}
NOT_ALLOWED = "webhook address not allowed"
HOOK = {"url": "http://receiver.example/hook"}


class AddressTestCase(ServerTestCase):
    """Asks a server with a token."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_TOKEN="x")
        self.names = self.fake.names

    def post(
        self, path: str, body: Any, fake: InMemoryServer | None = None, key: str = ""
    ) -> Reply:
        headers = {**TOKEN, "Idempotency-Key": key} if key else TOKEN
        return self.ask(fake or self.fake, "POST", path, body=body, headers=headers)

    def column(self, sql: str) -> list[Any]:
        rows: Any = self.successResultOf(self.fake.server.store.read(lambda tx: tx.all(sql)))
        return [next(iter(row)) for row in rows]

    def assert_not_allowed(self, reply: Reply) -> None:
        self.assert_problem(reply, 400, "invalid-request", NOT_ALLOWED)


class RegistrationTests(AddressTestCase):
    """Addresses that registration refuses."""

    def test_an_address_that_is_not_public_is_refused_and_nothing_is_written(self) -> None:
        job = self.post("/jobs", {}).json["links"]["self"]
        self.names["private.example"] = [PUBLIC, "10.0.0.1"]
        self.names["nowhere.example"] = []
        for host in ("127.0.0.1:9999", "[::1]", "private.example", "nowhere.example"):
            for base in ("", job):
                body = {"url": f"http://{host}/hook"}
                self.assert_not_allowed(self.post(f"{base}/webhooks/register", body))
            self.assert_not_allowed(self.post("/jobs", {"webhook": {"url": f"http://{host}/"}}))
        self.assertEqual(self.column("SELECT id FROM webhooks"), [])
        self.assertEqual(len(self.column("SELECT id FROM jobs WHERE kind = 'default'")), 1)

    def test_a_public_address_is_accepted(self) -> None:
        self.assertEqual(self.post("/webhooks/register", HOOK).code, 200)
        self.assertEqual(self.post("/jobs", {"webhook": HOOK}).code, 201)

    def test_an_address_of_an_allowed_network_is_accepted(self) -> None:
        fake = self.serve(STATUSJOB_TOKEN="x", STATUSJOB_ALLOW_NET="10.0.0.0/8")
        for host, code in (("10.1.2.3", 200), ("11.1.2.3", 200), ("127.0.0.1", 400)):
            body = {"url": f"http://{host}/hook"}
            self.assertEqual(self.post("/webhooks/register", body, fake).code, code)

    def test_without_a_token_loopback_is_accepted_and_private_networks_are_not(self) -> None:
        fake = self.serve()
        for host in ("127.0.0.1:9999", "[::1]:9999", "receiver.example"):
            body = {"url": f"http://{host}/hook"}
            self.assertEqual(self.post("/webhooks/register", body, fake).code, 200)
        for host in ("10.0.0.1", "169.254.169.254", "0.0.0.0"):
            self.assert_not_allowed(
                self.post("/webhooks/register", {"url": f"http://{host}/"}, fake)
            )

    def test_a_name_whose_lookup_hangs_is_accepted_in_time(self) -> None:
        self.names["hangs.example"] = None
        headers = {"Host": "localhost", "Content-Type": "application/json", **TOKEN}
        asked = self.fake.treq.post(
            "http://localhost/webhooks/register",
            data=b'{"url":"http://hangs.example/"}',
            headers=headers,
        )
        self.fake.treq.flush()
        self.assertNoResult(asked)
        self.fake.clock.advance(CHECK_DEADLINE)
        self.fake.treq.flush()
        response = self.successResultOf(asked)
        self.assertEqual(response.code, 200)


class ReplayTests(AddressTestCase):
    """A repeated creation does not depend on the name of the webhook."""

    def test_a_repeated_creation_needs_no_lookup(self) -> None:
        first = self.post("/jobs", {"webhook": HOOK}, key="k1")
        for addresses in ([], ["10.0.0.1"]):
            self.names["receiver.example"] = addresses
            again = self.post("/jobs", {"webhook": HOOK}, key="k1")
            self.assertEqual((first.code, again.code), (201, 200))
            self.assertEqual(again.json, first.json)
            self.assert_not_allowed(self.post("/jobs", {"webhook": HOOK}, key="k2"))

    def test_a_repeated_key_with_another_body_is_refused_as_such(self) -> None:
        self.post("/jobs", {"webhook": HOOK}, key="k1")
        self.names["receiver.example"] = []
        reply = self.post("/jobs", {"kind": "other", "webhook": HOOK}, key="k1")
        self.assert_problem(reply, 422, "idempotency-key-reused")

    def test_a_refused_address_does_not_use_up_its_key(self) -> None:
        self.names["receiver.example"] = []
        self.assert_not_allowed(self.post("/jobs", {"webhook": HOOK}, key="k1"))
        self.names["receiver.example"] = [PUBLIC]
        self.assertEqual(self.post("/jobs", {"webhook": HOOK}, key="k1").code, 201)


class DeliveryTests(AddressTestCase):
    """An address that was public at registration is checked again at delivery."""

    def end_a_job(self, later: Sequence[str]) -> None:
        """End a job whose webhook's name has the address C{later} by then."""
        job = self.post("/jobs", {"webhook": HOOK}).json["links"]["self"]
        self.names["receiver.example"] = later
        self.ask(self.fake, "PATCH", job, body={"result": "completed"}, headers=TOKEN)
        self.fake.clock.advance(0)

    def test_a_name_whose_address_has_become_private_is_never_dialled(self) -> None:
        self.end_a_job(["127.0.0.1"])
        self.fake.clock.pump([0.01] * 2)
        self.assertEqual(self.fake.clock.tcpClients, [])
        self.assertEqual(self.column("SELECT class FROM attempts"), ["blocked"])

    def test_a_name_whose_address_is_still_public_is_dialled(self) -> None:
        self.end_a_job(["8.8.8.8"])
        ((host, port, *_),) = self.fake.clock.tcpClients
        self.assertEqual((host, port), ("8.8.8.8", 80))
