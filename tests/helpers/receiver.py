"""A C{WebhookReceiver} in memory, to which a test sends deliveries as over the wire."""

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
from tests.helpers.connections import Connection
from tests.helpers.messages import Reply
from tests.helpers.scripted_server import a_job
from tests.helpers.secrets import SECRET

NOW = 1_700_000_100
PAYLOAD = webhook_payload(a_job("completed", output=[1]))


def payload(version: int, result: str = "pending", **members: Any) -> bytes:
    """The body of a delivery: an update of a job."""
    return webhook_payload(a_job(result, version=version, **members))


class ReceiverTestCase(SynchronousTestCase):
    """
    Sends deliveries, and checks what is answered and what is passed on.

    @ivar events: the events with which C{on_update} was called.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.events: list[WebhookEvent] = []

    def receiver(self, *secrets: str, **options: Any) -> WebhookReceiver:
        """A receiver that appends every event to C{events}."""
        options = {
            "on_update": self.events.append,
            "reactor": self.clock,
            "now": self.clock.seconds,
            **options,
        }
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
        """
        Send a delivery.

        @param changed: headers to send instead of the genuine ones: a list repeats a header, and
            C{None} leaves it out.
        """
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
        """Send a request with any headers."""
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
        """The status code of the answer."""
        return connection.answer().code

    def waiting(self, connection: Connection) -> bool:
        """Whether there is no answer yet."""
        return connection.open and connection.transport.value() == b""

    def refused(self, connection: Connection, code: int) -> str:
        """Check that the answer is a refusal with that code; return its reason."""
        return self.reason(connection.answer(), code)

    def reason(self, answer: Reply, code: int) -> str:
        """Check that an answer is a refusal without a secret; return its reason."""
        self.assertEqual(answer.code, code, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertNotIn(b"whsec", answer.body)
        self.assertEqual(answer.json["status"], code)
        return str(answer.json["detail"])


class SlowHandlerTestCase(ReceiverTestCase):
    """
    Has handlers that run until the test ends them.

    @ivar running: the Deferreds of the running handlers, in the order in which they began.
    """

    def setUp(self) -> None:
        super().setUp()
        self.running: list[Deferred[None]] = []

    def handle(self, event: WebhookEvent) -> Deferred[None]:
        """Begin to handle an event."""
        self.events.append(event)
        self.running.append(Deferred())
        return self.running[-1]

    def slow_receiver(self, **options: Any) -> WebhookReceiver:
        """A receiver with such handlers."""
        return self.receiver(on_update=self.handle, **options)

    def succeed(self) -> None:
        """Let the handler that began first succeed."""
        self.running.pop(0).callback(None)

    def fail_handler(self) -> None:
        """Let the handler that began first fail."""
        self.running.pop(0).errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @property
    def versions(self) -> list[int]:
        """The versions that were passed on, in order."""
        return [each.job.version for each in self.events if each.job is not None]
