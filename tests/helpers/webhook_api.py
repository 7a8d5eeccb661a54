"""Tests of the webhook API: they ask a server for webhooks, and receive its deliveries."""

from __future__ import annotations

from typing import Any

from statusjob.contract.signing import VerificationFailed, Verifier
from statusjob.server.lanes import Lane
from tests.helpers.messages import Reply, Request
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase
from tests.helpers.wires import NO_CONTENT, Wire

URL = "https://user:hunter2@receiver.example/deep/hook?token=hunter3"
OTHER_URL = "http://127.0.0.1:9999/hook"
ORIGIN = "https://receiver.example:443"
#: When an L{InMemoryServer} starts, as JSON shows it.
BEGINNING = "2024-11-23T18:00:00.000Z"
#: The id of no webhook.
NOBODY = "wh_" + "0" * 32


def status(code: int, *headers: str) -> bytes:
    """Write the answer of a receiver."""
    lines = [f"HTTP/1.1 {code} X", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


class WebhookApiTestCase(ServerTestCase):
    """
    Asks a server for webhooks, and receives their deliveries as bytes, without TLS.

    @ivar wires: the connections that the server has opened to receivers.
    """

    fake: InMemoryServer

    def setUp(self) -> None:
        self.begin()

    def begin(self, lane: Lane | None = None, **variables: str) -> None:
        """Start a server which attempts each delivery once at once, and once after an hour."""
        variables = {"STATUSJOB_RETRY_SCHEDULE": "0,3600", **variables}
        self.fake = self.serve(lane, start=EPOCH, **variables)
        self.wires: list[Wire] = []

    def get(self, path: str) -> Any:
        """Get a path, and return the JSON of the answer."""
        reply = self.ask(self.fake, "GET", path)
        self.assertEqual(reply.code, 200, reply.body)
        return reply.json

    def post(self, path: str, body: Any = None) -> Reply:
        return self.ask(self.fake, "POST", path, body={} if body is None else body)

    def patch_hook(self, webhook: str, **members: Any) -> Reply:
        """Change a webhook."""
        return self.ask(self.fake, "PATCH", f"/webhooks/{webhook}", body=members)

    def hook(self, url: str = OTHER_URL, **members: Any) -> Any:
        """Register a new webhook, and return its JSON, the secret included."""
        reply = self.post("/webhooks", {"url": url, **members})
        self.assertEqual(reply.code, 201, reply.body)
        return reply.json

    def show(self, webhook: str) -> Any:
        """Return the JSON of a webhook."""
        return self.get(f"/webhooks/{webhook}")

    def deliveries(self, webhook: str, query: str = "") -> list[Any]:
        """Return the first page of a webhook's deliveries."""
        page = self.get(f"/webhooks/{webhook}/deliveries{query}")
        self.assertEqual(set(page), {"deliveries", "next"})
        listed: list[Any] = page["deliveries"]
        return listed

    def report(self, job: Any, **members: Any) -> Any:
        """Report on a job, and return its JSON."""
        reply = self.ask(self.fake, "PATCH", job["links"]["self"], body=members)
        self.assertEqual(reply.code, 200, reply.body)
        return reply.json

    def finish(self, **members: Any) -> Any:
        """Create a job, complete it, and return its JSON."""
        return self.report(self.create(self.fake, **members), result="completed")

    def under_way(self) -> list[tuple[Wire, Request]]:
        """Return the attempts that begin within a few milliseconds. None is answered yet."""
        begun = []
        for _ in range(4):
            self.fake.clock.advance(0.002)
            dialled = self.fake.clock.tcpClients[len(self.wires) :]
            self.wires += [Wire(factory) for _, _, factory, *_ in dialled]
            begun += [(wire, sent) for wire in self.wires for sent in wire.sent()]
        return begun

    def receive(self, answer: bytes = NO_CONTENT) -> list[Request]:
        """Receive all deliveries that are due, and give each the same answer."""
        received = []
        while begun := self.under_way():
            for wire, sent in begun:
                received.append(sent)
                wire.answer(answer)
        return received

    def told(self, answer: bytes = NO_CONTENT) -> Request:
        """Receive the one delivery that is due, and answer it."""
        (sent,) = self.receive(answer)
        return sent

    def signers(self, sent: Request, *secrets: str) -> list[str]:
        """Return those of the secrets with which a delivery is signed, at the present time."""

        def signed(secret: str) -> bool:
            try:
                Verifier(secret).verify(
                    sent.body,
                    lambda name: [sent.headers[name.decode()].encode()],
                    self.fake.clock.seconds(),
                )
            except VerificationFailed:
                return False
            return True

        return [secret for secret in secrets if signed(secret)]
