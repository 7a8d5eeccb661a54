"""C{WebhookReceiver}: which deliveries it accepts or refuses, and what it passes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogLevel, capturedLogs, eventAsText, formatEvent
from twisted.web.http import Request

from statusjob import BadSecret, EventType, Status, WebhookEvent, WebhookReceiver
from statusjob.contract import codec
from statusjob.contract.signing import headers
from statusjob.jobs import TEST_EVENT
from tests.helpers.receiver import NOW, PAYLOAD, ReceiverTestCase, payload
from tests.helpers.scripted_server import a_job
from tests.helpers.secrets import OTHER_SECRET, SECRET


class VerifyingTests(ReceiverTestCase):
    """Only genuine and well-formed deliveries are passed on."""

    def test_a_genuine_delivery_is_passed_on(self) -> None:
        answer = self.send(self.receiver()).answer()
        self.assertEqual((answer.code, answer.body), (204, b""))
        [event] = self.events
        self.assertEqual((event.result, event.type), (Status.COMPLETED, EventType.COMPLETED))
        self.assertEqual(event.job, a_job("completed", output=[1]))

    def test_a_payload_of_the_original_contract_is_accepted(self) -> None:
        body = b'{"result":"error","timestamp":1732387200123}'
        self.assertEqual(self.code(self.send(self.receiver(), body)), 204)
        self.assertEqual(self.events, [WebhookEvent(Status.ERROR, 1732387200.123)])

    def test_a_delivery_may_be_signed_with_any_of_several_secrets(self) -> None:
        receiver = self.receiver(OTHER_SECRET, SECRET)
        for number, secret in enumerate((SECRET, OTHER_SECRET), 1):
            sent = self.send(receiver, payload(number), message_id=f"msg_{number}", secret=secret)
            self.assertEqual(self.code(sent), 204)
        self.assertEqual(len(self.events), 2)

    def test_forged_and_malformed_deliveries_are_refused(self) -> None:
        changes: list[dict[str, Any]] = [
            {"secret": OTHER_SECRET},
            {"webhook_signature": b"v1,AAAA"},
            {"webhook_signature": b"\xff\xfe"},
            {"webhook_id": b"msg_2"},
            {"webhook_id": None},
            {"webhook_timestamp": None},
            {"webhook_signature": None},
        ]
        for changed in changes:
            self.refused(self.send(self.receiver(), **changed), 401)
        self.assertEqual(self.events, [])

    def test_a_repeated_header_is_refused_whichever_value_is_right(self) -> None:
        genuine = headers([SECRET], "msg_1", NOW, PAYLOAD)
        for name, value in genuine.items():
            for values in ([value, value], [value, b"x"], [b"x", value]):
                changed = {name.decode().replace("-", "_"): values}
                sent = self.send(self.receiver(), **changed)  # type: ignore[arg-type]
                self.assertEqual(self.refused(sent, 401), f"{name.decode()} is repeated")
        self.assertEqual(self.events, [])

    def test_a_body_is_verified_byte_by_byte(self) -> None:
        signed = headers([SECRET], "msg_1", NOW, PAYLOAD)[b"webhook-signature"]
        spaced = PAYLOAD.replace(b'{"result"', b'{ "result"')
        self.refused(self.send(self.receiver(), spaced, webhook_signature=signed), 401)
        self.assertEqual(self.events, [])

    def test_stale_deliveries_are_refused(self) -> None:
        for off in (-301, 301):
            reason = self.refused(self.send(self.receiver(), timestamp=NOW + off), 401)
            self.assertIn(f"{off:+d} s off", reason)
        self.assertEqual(self.events, [])
        self.assertEqual(self.code(self.send(self.receiver(), timestamp=NOW - 300)), 204)

    def test_only_a_genuine_sender_learns_how_far_its_clock_is_off(self) -> None:
        sent = self.send(self.receiver(), secret=OTHER_SECRET, timestamp=NOW - 999)
        self.assertEqual(self.refused(sent, 401), "no signature matches")

    def test_the_tolerance_can_be_chosen(self) -> None:
        receiver = self.receiver(tolerance=1000)
        self.assertEqual(self.code(self.send(receiver, timestamp=NOW - 999)), 204)

    def test_a_genuine_delivery_that_is_malformed_is_refused(self) -> None:
        for body in (
            b"",
            b"{}",
            b"not JSON",
            b"\xff",
            b'{"result":"done","timestamp":1}',
            b'{"type":5,"result":"completed","timestamp":1}',
            b'{"type":"job.progress","result":"completed","timestamp":1}',
        ):
            self.refused(self.send(self.receiver(), body), 400)
        self.assertEqual(self.events, [])

    def test_a_body_that_is_too_long_is_refused(self) -> None:
        self.refused(self.send(self.receiver(), b" " * (codec.BODY_LIMIT + 1)), 413)

    def test_only_post_is_accepted(self) -> None:
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = self.send(self.receiver(), method=method).answer()
            self.reason(answer, 405)
            self.assertEqual(answer.headers["allow"], "POST")
        self.assertEqual(self.events, [])

    def test_a_receiver_needs_wellformed_secrets(self) -> None:
        self.assertRaises(BadSecret, WebhookReceiver, reactor=self.clock)
        self.assertRaises(BadSecret, WebhookReceiver, "plain", reactor=self.clock)


class OtherEventTests(ReceiverTestCase):
    """Events without a job, and events that only later servers send."""

    def logged(self, body: bytes) -> list[str]:
        """Deliver an event that must only be acknowledged; return the log lines."""
        with capturedLogs() as logged:
            self.assertEqual(self.code(self.send(self.receiver(clients=[self]), body)), 204)
        self.assertEqual(self.events, [])
        self.assertEqual([each["log_level"] for each in logged], [LogLevel.info])
        return [formatEvent(each) for each in logged]

    def notify(self, event: WebhookEvent) -> None:
        """Fail: no client may be notified."""
        raise AssertionError(event)

    def test_a_test_event_is_acknowledged_and_logged_but_not_passed_on(self) -> None:
        webhook = {"id": "wh_1", "name": "mine"}
        body = codec.encode({"type": TEST_EVENT, "timestamp": 1, "webhook": webhook})
        self.assertEqual(self.logged(body), ["webhook tested"])

    def test_an_unknown_type_is_acknowledged_but_not_passed_on(self) -> None:
        body = b'{"type":"job.paused","result":"paused","timestamp":"now","job":5}'
        self.assertEqual(self.logged(body), ["webhook ignored, unknown event type: 'job.paused'"])

    def test_an_unknown_type_reaches_the_log_escaped_and_cut_short(self) -> None:
        body = codec.encode({"type": "a\nb" + "x" * 1000})
        [line] = self.logged(body)
        self.assertNotIn("\n", line)
        self.assertLess(len(line), 120)

    def test_a_forged_event_is_refused(self) -> None:
        for kind in (TEST_EVENT, "job.paused"):
            body = codec.encode({"type": kind})
            self.refused(self.send(self.receiver(), body, secret=OTHER_SECRET), 401)

    def test_a_repeated_test_event_is_acknowledged_again(self) -> None:
        receiver, body = self.receiver(), codec.encode({"type": TEST_EVENT, "timestamp": 1})
        for _ in range(2):
            self.assertEqual(self.code(self.send(receiver, body)), 204)


class HandlerTests(ReceiverTestCase):
    """The answer waits for C{on_update}, and depends on its outcome."""

    def test_the_answer_is_sent_when_the_handler_is_done(self) -> None:
        handled: Deferred[None] = Deferred()
        sent = self.send(self.receiver(on_update=lambda _: handled))
        self.assertTrue(self.waiting(sent))
        handled.callback(None)
        self.assertEqual(self.code(sent), 204)

    def test_a_handler_may_be_a_coroutine(self) -> None:
        async def handle(event: WebhookEvent) -> None:
            await succeed(None)
            self.events.append(event)

        self.assertEqual(self.code(self.send(self.receiver(on_update=handle))), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_failing_handler_is_logged_and_the_sender_asked_to_try_again(self) -> None:
        def broken(_: WebhookEvent) -> None:
            raise ZeroDivisionError("whsec_x")

        async def later(_: WebhookEvent) -> None:
            raise ZeroDivisionError("whsec_x")

        for handler in (broken, later, lambda _: fail(ZeroDivisionError("whsec_x"))):
            self.refused(self.send(self.receiver(on_update=handler)), 500)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_handler_that_raises_system_exit_has_only_failed(self) -> None:
        def exits(_: WebhookEvent) -> None:
            raise SystemExit

        receiver = self.receiver(on_update=exits)
        for _ in range(2):
            self.refused(self.send(receiver), 500)
            self.assertEqual(len(self.flushLoggedErrors(SystemExit)), 1)

    def leave_early(self, finish: Callable[[Deferred[None]], None]) -> None:
        """Deliver, hang up, and only then let the handler finish."""
        handled: Deferred[None] = Deferred()
        sent = self.send(self.receiver(on_update=lambda _: handled))
        sent.hang_up()
        finish(handled)

    def test_a_sender_that_leaves_early_is_not_answered(self) -> None:
        answered: list[object] = []
        self.patch(Request, "finish", answered.append)
        self.leave_early(lambda handled: handled.callback(None))
        self.leave_early(lambda handled: handled.errback(ZeroDivisionError()))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(answered, [])

    def test_only_the_result_of_a_delivery_is_logged(self) -> None:
        receiver = self.receiver(on_update=lambda _: fail(ZeroDivisionError()))
        with capturedLogs() as logged:
            for secret, code in ((SECRET, 500), (OTHER_SECRET, 401)):
                sent = self.send(
                    receiver, message_id="msg_private", path="/private?private", secret=secret
                )
                self.refused(sent, code)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        shown = "".join(repr(each) + eventAsText(each) for each in logged)
        self.assertIn("webhook received: completed", shown)
        self.assertIn("ZeroDivisionError", shown)
        signature = headers([SECRET], "msg_private", NOW, PAYLOAD)[b"webhook-signature"]
        for private in ("whsec", "private", SECRET[6:], signature.decode()[3:], str(NOW)):
            self.assertNotIn(private, shown)

    def test_a_klein_app_can_mount_it(self) -> None:
        app, receiver = Klein(), self.receiver()

        @app.route("/hooks/statusjob", branch=True)
        def hook(request: object) -> WebhookReceiver:
            return receiver

        sent = self.send(app.resource(), path="/hooks/statusjob")
        self.assertEqual(self.code(sent), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_handler_in_a_klein_app_goes_on_if_the_sender_leaves(self) -> None:
        app, handled, done = Klein(), Deferred[None](), list[object]()
        receiver = self.receiver(on_update=lambda _: handled.addBoth(done.append))

        @app.route("/", branch=True)
        def hook(request: object) -> WebhookReceiver:
            return receiver

        self.send(app.resource()).hang_up()
        self.assertEqual(done, [])
        handled.callback(None)
        self.assertEqual(done, [None])
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(done, [None])
