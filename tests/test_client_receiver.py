"""C{WebhookReceiver}: what it takes, what it refuses, whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from klein import Klein
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request

from statusjob import (
    BadSecret,
    EventType,
    Status,
    StatusClient,
    WebhookEvent,
    WebhookReceiver,
    new_secret,
    wire,
)
from statusjob.signing import headers
from tests.fakes import BASE, OTHER_ID, FakeServer, a_job, hold

NOW = 1_700_000_100
SECRET = new_secret(b"s" * 32)
OTHER_SECRET = new_secret(b"o" * 32)
PAYLOAD = wire.webhook_payload(a_job("completed", output=[1]))


class ReceiverTests(SynchronousTestCase):
    """In memory; deliveries come as they would come over the wire."""

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
        resource: Any,
        body: bytes = PAYLOAD,
        *,
        method: str = "POST",
        secret: str = SECRET,
        timestamp: int = NOW,
        path: str = "/",
        **changed: bytes | list[bytes] | None,
    ) -> Deferred[Any]:
        """Deliver; C{webhook_id=None} leaves a header out."""
        sent: dict[bytes, Any] = {**headers([secret], "msg_1", timestamp, body)}
        for name, value in changed.items():
            sent[name.replace("_", "-").encode()] = value
        kept = {name: value for name, value in sent.items() if value is not None}
        self.stub = cast(Any, StubTreq(resource))
        url = "http://receiver.test" + path
        sending: Deferred[Any] = self.stub.request(method, url, headers=kept, data=body)
        return sending

    def answer(self, sending: Deferred[Any]) -> tuple[int, bytes, Any]:
        """Its code, body and headers."""
        response = self.successResultOf(sending)
        body = self.successResultOf(cast("Deferred[bytes]", response.content()))
        return response.code, body, response.headers

    def refused(self, sending: Deferred[Any]) -> tuple[int, str]:
        """The code and the reason of a refusal, which was handed to nobody."""
        code, body, sent = self.answer(sending)
        self.assertEqual(sent.getRawHeaders("Content-Type"), ["application/problem+json"])
        self.assertNotIn(b"whsec", body)
        self.assertEqual(self.events, [])
        problem = cast(Any, wire.decode(body, dict))
        self.assertEqual(problem["status"], code)
        return code, problem["detail"]

    def test_a_genuine_delivery_is_handed_over(self) -> None:
        code, body, _ = self.answer(self.send(self.receiver()))
        self.assertEqual((code, body), (204, b""))
        [event] = self.events
        self.assertEqual((event.result, event.type), (Status.COMPLETED, EventType.COMPLETED))
        self.assertEqual(event.job, a_job("completed", output=[1]))

    def test_the_payload_of_the_original_contract_will_do(self) -> None:
        body = b'{"result":"error","timestamp":1732387200123}'
        self.assertEqual(self.answer(self.send(self.receiver(), body))[0], 204)
        self.assertEqual(self.events, [WebhookEvent(Status.ERROR, 1732387200.123)])

    def test_any_of_several_secrets_will_do(self) -> None:
        receiver = self.receiver(OTHER_SECRET, SECRET)
        self.assertEqual(self.answer(self.send(receiver))[0], 204)
        self.assertEqual(self.answer(self.send(receiver, secret=OTHER_SECRET))[0], 204)

    def test_forged_and_malformed_deliveries_are_refused(self) -> None:
        for sending in (
            self.send(self.receiver(), secret=OTHER_SECRET),
            self.send(self.receiver(), webhook_signature=b"v1,AAAA"),
            self.send(self.receiver(), webhook_signature=b"\xff\xfe"),
            self.send(self.receiver(), webhook_id=b"msg_2"),
            self.send(self.receiver(), webhook_id=None),
            self.send(self.receiver(), webhook_timestamp=None),
            self.send(self.receiver(), webhook_signature=None),
            self.send(self.receiver(), webhook_id=[b"msg_1", b"msg_1"]),
        ):
            self.assertEqual(self.refused(sending)[0], 401)

    def test_a_body_is_verified_as_it_came(self) -> None:
        signed = headers([SECRET], "msg_1", NOW, PAYLOAD)[b"webhook-signature"]
        reordered = PAYLOAD.replace(b'{"result"', b'{ "result"')
        sending = self.send(self.receiver(), reordered, webhook_signature=signed)
        self.assertEqual(self.refused(sending)[0], 401)

    def test_stale_deliveries_are_refused(self) -> None:
        for off in (-301, 301):
            code, detail = self.refused(self.send(self.receiver(), timestamp=NOW + off))
            self.assertEqual(code, 401)
            self.assertIn(f"{off:+d} s off", detail)
        self.assertEqual(self.answer(self.send(self.receiver(), timestamp=NOW - 300))[0], 204)

    def test_the_tolerance_can_be_chosen(self) -> None:
        receiver = self.receiver(tolerance=1000)
        self.assertEqual(self.answer(self.send(receiver, timestamp=NOW - 999))[0], 204)

    def test_a_genuine_sender_of_nonsense_is_told(self) -> None:
        for body in (b"", b"{}", b"not JSON", b"\xff", b'{"result":"done","timestamp":1}'):
            self.assertEqual(self.refused(self.send(self.receiver(), body))[0], 400)

    def test_a_body_that_is_too_long_is_refused(self) -> None:
        sending = self.send(self.receiver(), b" " * (wire.BODY_LIMIT + 1))
        self.assertEqual(self.refused(sending)[0], 413)

    def test_deliveries_come_by_post_only(self) -> None:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            sending = self.send(self.receiver(), method=method)
            self.assertEqual(self.refused(sending)[0], 405)
            response = self.successResultOf(self.send(self.receiver(), method=method))
            self.assertEqual(response.headers.getRawHeaders("Allow"), ["POST"])

    def test_it_answers_when_the_handler_is_done(self) -> None:
        handled: Deferred[None] = Deferred()
        sending = self.send(self.receiver(on_update=lambda _: handled))
        self.assertNoResult(sending)
        handled.callback(None)
        self.stub.flush()
        self.assertEqual(self.answer(sending)[0], 204)

    def test_a_handler_may_be_a_coroutine(self) -> None:
        async def handle(event: WebhookEvent) -> None:
            await succeed(None)
            self.events.append(event)

        self.assertEqual(self.answer(self.send(self.receiver(on_update=handle)))[0], 204)
        self.assertEqual(len(self.events), 1)

    def test_a_handler_that_fails_is_logged_and_the_sender_tries_again(self) -> None:
        def broken(_: WebhookEvent) -> None:
            raise ZeroDivisionError("whsec_x")

        async def later(_: WebhookEvent) -> None:
            raise ZeroDivisionError("whsec_x")

        for handler in (broken, later, lambda _: fail(ZeroDivisionError("whsec_x"))):
            sending = self.send(self.receiver(on_update=handler))
            self.assertEqual(self.refused(sending)[0], 500)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def leave_early(self, finish: Callable[[Deferred[None]], None]) -> None:
        """Deliver, hang up, and only then let the handler finish."""
        handled: Deferred[None] = Deferred()
        sending = self.send(self.receiver(on_update=lambda _: handled))
        sending.cancel()
        self.failureResultOf(sending)
        self.stub.flush()
        finish(handled)

    def test_a_sender_that_leaves_early_is_not_answered(self) -> None:
        answered: list[object] = []
        self.patch(Request, "finish", answered.append)
        self.leave_early(lambda handled: handled.callback(None))
        self.leave_early(lambda handled: handled.errback(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(answered, [])

    def test_its_clients_are_told(self) -> None:
        clients: set[StatusClient] = set()
        receiver = self.receiver(on_update=None, clients=clients)
        server = FakeServer(self.clock, otherwise=hold)
        client = StatusClient(BASE, reactor=self.clock, treq=server.stub)
        other = StatusClient(
            BASE.replace(BASE[-36:], OTHER_ID), reactor=self.clock, treq=server.stub
        )
        clients |= {client, other}
        monitored, other_monitored = client.start_monitoring(), other.start_monitoring()

        def leave(status: Status) -> Status:
            clients.discard(client)
            return status

        monitored.addCallback(leave)
        self.assertEqual(self.answer(self.send(receiver))[0], 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertNoResult(other_monitored)
        self.assertEqual(clients, {other})
        other.stop_monitoring()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_klein_app_can_mount_it(self) -> None:
        app, receiver = Klein(), self.receiver()

        @app.route("/hooks/statusjob", branch=True)
        def hook(request: object) -> WebhookReceiver:
            return receiver

        sending = self.send(app.resource(), path="/hooks/statusjob")
        self.assertEqual(self.answer(sending)[0], 204)
        self.assertEqual(len(self.events), 1)

    def test_it_needs_good_secrets(self) -> None:
        self.assertRaises(BadSecret, WebhookReceiver, reactor=self.clock)
        self.assertRaises(BadSecret, WebhookReceiver, "plain", reactor=self.clock)
