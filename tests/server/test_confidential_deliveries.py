"""Deliveries reveal nothing confidential, neither in answers nor in the log."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from twisted.python.monkey import MonkeyPatcher

from statusjob.contract import signing
from statusjob.server.delivery import connection, poster
from statusjob.server.store import outbox_settle
from statusjob.server.store.interface import StoreFull
from tests.helpers.confidential import URL, Broken, ConfidentialTestCase
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.webhook_api import status
from tests.helpers.wires import Wire

#: A receiver that gives all of it back.
ECHO = f"HTTP/1.1 500 p4th\r\nX-us3r: {URL} {SECRET}\r\nContent-Length: {len(URL)}\r\n\r\n{URL}"


class DeliveryTests(ConfidentialTestCase):
    """Attempts, whatever their outcome."""

    def attempt(self, answer: bytes | None = None) -> list[str]:
        """Make an attempt with this answer; give the classes of its delivery's attempts."""
        hook = self.hook(URL, secret=SECRET)["id"]
        self.finish()
        begun = self.under_way()
        for wire, _ in begun:
            if answer is None:
                wire.hang_up()
            else:
                wire.answer(answer)
        self.receive()
        return self.look(hook)

    def dialled(self) -> ClientFactory:
        """Give the factory of the one connection that an attempt has just begun to make."""
        self.fake.clock.advance(0)
        ((_, _, factory, *_),) = self.fake.clock.tcpClients
        return factory

    def test_an_attempt_that_succeeds(self) -> None:
        self.assertEqual(self.attempt(status(204)), ["ok"])

    def test_an_attempt_that_is_signed_by_several_secrets(self) -> None:
        hook = self.hook(URL, secret=SECRET)["id"]
        for body in ({}, {"secret": OTHER_SECRET}):
            self.assertEqual(self.post(f"/webhooks/{hook}/rotate", body).code, 200)
        self.finish()
        self.assertEqual(len(self.told(status(500)).headers["webhook-signature"].split()), 3)
        self.assertEqual(self.look(hook), ["http"])

    def test_an_answer_that_repeats_the_request(self) -> None:
        self.assertEqual(self.attempt(ECHO.encode()), ["http"])
        self.assertEqual(self.logged("answered 500"), 1)

    def test_a_redirect_to_the_same_url(self) -> None:
        self.assertEqual(self.attempt(status(308, f"Location: {URL}")), ["http"])

    def test_an_invalid_retry_after(self) -> None:
        self.assertEqual(self.attempt(status(503, f"Retry-After: {URL}")), ["http"])

    def test_an_answer_of_410(self) -> None:
        self.assertEqual(self.attempt(status(410)), ["http"])

    def test_an_answer_that_is_not_http(self) -> None:
        self.assertEqual(self.attempt(f"{URL} {SECRET}\r\n\r\n".encode()), ["connect"])

    def test_an_answer_without_end(self) -> None:
        line = f"X-p4th: {URL} {SECRET}\r\n"
        self.assertEqual(self.attempt(b"HTTP/1.1 500 No\r\n" + line.encode() * 5000), ["http"])

    def test_interim_answers_without_end(self) -> None:
        interim = f"HTTP/1.1 103 Early Hints\r\nX-p4th: {URL} {SECRET}\r\n\r\n"
        self.assertEqual(self.attempt(interim.encode() * 5000), ["too-big"])

    def test_a_connection_that_ends_without_an_answer(self) -> None:
        self.assertEqual(self.attempt(), ["connect"])

    def test_an_answer_without_tls_where_tls_is_expected(self) -> None:
        hook = self.hook(URL.replace("http:", "https:"), secret=SECRET)["id"]
        self.finish()
        Wire(self.dialled()).answer(ECHO.encode())
        self.fake.clock.pump([0.01] * 3)
        self.assertEqual(self.look(hook), ["tls"])

    def test_an_attempt_that_is_never_answered(self) -> None:
        hook = self.hook(URL)["id"]
        self.finish()
        self.under_way()
        self.fake.clock.advance(poster.DEADLINE)
        self.receive()
        self.assertEqual(self.look(hook), ["timeout"])

    def test_a_refused_connection(self) -> None:
        hook = self.hook(URL)["id"]
        self.finish()
        refusal = Failure(ConnectionRefusedError())
        self.dialled().clientConnectionFailed(cast(Any, None), refusal)
        self.fake.clock.pump([0.5] * 3)
        self.assertEqual(self.look(hook), ["connect"])

    def test_a_host_that_no_longer_exists_or_is_no_longer_allowed(self) -> None:
        hook = self.hook(URL)["id"]
        for addresses, kind in (([], "dns"), (["10.0.0.1"], "blocked"), (None, "timeout")):
            self.fake.names["receiver.example"] = addresses
            self.finish()
            self.fake.clock.pump([0.01, 0.01, poster.DEADLINE, 0.01])
            self.assertEqual(self.look(hook), [kind])

    def test_a_lookup_that_raises_an_exception(self) -> None:
        hook = self.hook(URL)["id"]
        self.fake.names = Broken()
        self.finish()
        self.fake.clock.pump([0.01] * 3)
        self.assertEqual(self.look(hook), ["dns"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_attempts_that_raise_exceptions(self) -> None:
        hook = self.hook(URL, secret=SECRET)["id"]

        def broken(*_: object, **__: object) -> Any:
            raise ZeroDivisionError

        for owner, name in (
            (signing, "headers"),
            (poster, "Posting"),
            (connection.Connection, "send"),
            (outbox_settle, "settle"),
        ):
            patched = self.patch(owner, name, broken)
            self.finish()
            self.receive()
            patched.restore()
            self.assertGreater(len(self.flushLoggedErrors(ZeroDivisionError)), 0, name)
            self.look(hook)
            self.fake.clock.advance(600)
            self.receive()

    def test_an_attempt_that_cannot_be_settled(self) -> None:
        self.hook(URL, secret=SECRET)
        self.finish()
        ((wire, _),) = self.under_way()
        # Writes fail to the end of the test, and so during the stop, too.
        MonkeyPatcher(
            (self.fake.server.store, "write", lambda _: fail(StoreFull("no room")))
        ).patch()
        wire.answer(status(500))
        self.fake.clock.pump([0.01] * 3)
        self.assertEqual(self.logged("delivery must wait: no room"), 1)

    def test_an_attempt_that_a_stop_cancels(self) -> None:
        self.hook(URL, secret=SECRET)
        self.finish()
        self.assertEqual(len(self.under_way()), 1)

    def test_a_test_of_a_webhook(self) -> None:
        hook = self.hook(URL, name="a name", secret=SECRET)["id"]
        self.post(f"/webhooks/{hook}/test")
        self.told(ECHO.encode())
        self.assertEqual(self.look(hook), ["http"])

    def test_a_webhook_that_is_deleted_during_an_attempt(self) -> None:
        hook = self.hook(URL, secret=SECRET)["id"]
        self.finish()
        ((wire, _),) = self.under_way()
        self.ask(self.fake, "DELETE", f"/webhooks/{hook}")
        wire.answer(ECHO.encode())
        self.receive()
        self.assertEqual(self.logged("answered 500); it is no longer ours"), 1)
