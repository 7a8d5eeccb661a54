"""A C{WebhookReceiver} in memory: deliveries come to it byte by byte as over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from twisted.web.server import Site

from statusjob import WebhookEvent, WebhookReceiver
from statusjob.contract.jobs import webhook_payload
from statusjob.contract.signing import headers
from tests.helpers.connections import Connection, Raw
from tests.helpers.scripted_server import a_job
from tests.helpers.secrets import SECRET

NOW = 1_700_000_100
PAYLOAD = webhook_payload(a_job("completed", output=[1]))


def payload(version: int, result: str = "pending", **members: Any) -> bytes:
    """An update of a job."""
    return webhook_payload(a_job(result, version=version, **members))


class ReceiverTestCase(SynchronousTestCase):
    """
    Delivers, and looks at what is answered and what is handed over.

    @ivar events: what C{on_update} was told.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.events: list[WebhookEvent] = []

    def receiver(self, *secrets: str, **options: Any) -> WebhookReceiver:
        """A receiver that notes down what it is told."""
        options = {"on_update": self.events.append, "reactor": self.clock, **options}
        return WebhookReceiver(*(secrets or (SECRET,)), **options)

    def send(
        self,
        resource: IResource,
        body: bytes = PAYLOAD,
        *,
        method: str = "POST",
        path: str = "/",
        message_id: str = "msg_1",
        secret: str = SECRET,
        timestamp: int = NOW,
        **changed: bytes | Sequence[bytes] | None,
    ) -> Connection:
        """Deliver; C{webhook_id=None} leaves a header out, a list repeats it."""
        sent: dict[bytes, Any] = {**headers([secret], message_id, timestamp, body)}
        for name, value in changed.items():
            sent[name.replace("_", "-").encode()] = value
        lines = [
            (name, value)
            for name, values in sent.items()
            if values is not None
            for value in ([values] if isinstance(values, bytes) else values)
        ]
        return self.send_raw(resource, f"{method} {path}".encode(), lines, body)

    def send_raw(
        self,
        resource: IResource,
        first_line: bytes,
        lines: Sequence[tuple[bytes, bytes]],
        body: bytes,
    ) -> Connection:
        """Send a request with these headers, whatever they are."""
        site = Site(resource, reactor=self.clock, timeout=None)
        connection = Connection(site)
        head = [
            first_line + b" HTTP/1.1",
            b"Host: receiver.test",
            b"Content-Length: %d" % len(body),
            *(b"%b: %b" % line for line in lines),
        ]
        connection.send(b"\r\n".join([*head, b"", body]))
        return connection

    def code(self, connection: Connection) -> int:
        """What was answered."""
        return connection.answer().code

    def waiting(self, connection: Connection) -> bool:
        """Whether nothing was answered yet."""
        return connection.open and connection.transport.value() == b""

    def refused(self, connection: Connection, code: int) -> str:
        """The reason of a refusal with that code."""
        return self.reason(connection.answer(), code)

    def reason(self, answer: Raw, code: int) -> str:
        """What a refusal says; never a secret."""
        self.assertEqual(answer.code, code, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"whsec", answer.body)
        self.assertEqual(answer.json["status"], code)
        return str(answer.json["detail"])


class HeldTestCase(ReceiverTestCase):
    """
    Handlers that end when the test says so.

    @ivar running: what they are to fire, in the order in which they began.
    """

    def setUp(self) -> None:
        super().setUp()
        self.running: list[Deferred[None]] = []

    def handle(self, event: WebhookEvent) -> Deferred[None]:
        """Begin."""
        self.events.append(event)
        self.running.append(Deferred())
        return self.running[-1]

    def held(self, **options: Any) -> WebhookReceiver:
        """A receiver of such handlers."""
        return self.receiver(on_update=self.handle, **options)

    def succeed(self) -> None:
        """The handler that runs for longest succeeds."""
        self.running.pop(0).callback(None)

    def fail_handler(self) -> None:
        """It fails."""
        self.running.pop(0).errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @property
    def versions(self) -> list[int]:
        """Which versions were handed over, in order."""
        return [each.job.version for each in self.events if each.job is not None]
