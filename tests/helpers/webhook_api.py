"""What tests of the webhook API share: a server that is asked for webhooks, and their receiver."""

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
#: When a L{InMemoryServer} begins, as JSON shows it.
BEGINNING = "2024-11-23T18:00:00.000Z"
#: An id that nothing has.
NOBODY = "wh_" + "0" * 32


def status(code: int, *headers: str) -> bytes:
    """An answer of a receiver."""
    lines = [f"HTTP/1.1 {code} X", *headers, "Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode()


class WebhookApiTestCase(ServerTestCase):
    """
    Asks for webhooks, and receives what they are told.

    What goes to C{http} is received as it comes over the wire: TLS is the guard's matter.
    """

    fake: InMemoryServer

    def setUp(self) -> None:
        self.begin()

    def begin(self, lane: Lane | None = None, **variables: str) -> None:
        """Start a server; one that makes an attempt of each delivery, and another in an hour."""
        variables = {"STATUSJOB_RETRY_SCHEDULE": "0,3600", **variables}
        self.fake = self.serve(lane, start=EPOCH, **variables)
        self.wires: list[Wire] = []

    def get(self, path: str) -> Any:
        """What is there."""
        reply = self.ask(self.fake, "GET", path)
        self.assertEqual(reply.code, 200, reply.body)
        return reply.json

    def post(self, path: str, body: Any = None) -> Reply:
        return self.ask(self.fake, "POST", path, body={} if body is None else body)

    def patch_hook(self, webhook: str, **members: Any) -> Reply:
        """Change a webhook."""
        return self.ask(self.fake, "PATCH", f"/webhooks/{webhook}", body=members)

    def hook(self, url: str = OTHER_URL, **members: Any) -> Any:
        """Register a new webhook: what is told of it, its secret included."""
        reply = self.post("/webhooks", {"url": url, **members})
        self.assertEqual(reply.code, 201, reply.body)
        return reply.json

    def show(self, webhook: str) -> Any:
        """A webhook."""
        return self.get(f"/webhooks/{webhook}")

    def deliveries(self, webhook: str, query: str = "") -> list[Any]:
        """The first page of a webhook's deliveries."""
        page = self.get(f"/webhooks/{webhook}/deliveries{query}")
        self.assertEqual(set(page), {"deliveries", "next"})
        listed: list[Any] = page["deliveries"]
        return listed

    def report(self, job: Any, **members: Any) -> Any:
        """A worker's report: the job then."""
        reply = self.ask(self.fake, "PATCH", job["links"]["self"], body=members)
        self.assertEqual(reply.code, 200, reply.body)
        return reply.json

    def finish(self, **members: Any) -> Any:
        """Create a job and complete it."""
        return self.report(self.create(self.fake, **members), result="completed")

    def under_way(self) -> list[tuple[Wire, Request]]:
        """The attempts that begin within a moment, each to be answered."""
        begun = []
        for _ in range(4):
            self.fake.clock.advance(0.002)
            dialled = self.fake.clock.tcpClients[len(self.wires) :]
            self.wires += [Wire(factory) for _, _, factory, *_ in dialled]
            begun += [(wire, sent) for wire in self.wires for sent in wire.sent()]
        return begun

    def receive(self, answer: bytes = NO_CONTENT) -> list[Request]:
        """Receive what is due, and answer it."""
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
        """Which of these secrets signed what was received, by whose clock it is the present."""

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
