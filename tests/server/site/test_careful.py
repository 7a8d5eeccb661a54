"""Certificates that are renewed while a server runs, and machines that cannot speak TLS."""

from __future__ import annotations

from typing import Any, ClassVar

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from OpenSSL import SSL
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs
from twisted.trial import util
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.settings import resolve
from statusjob.server.site import careful
from statusjob.server.site.careful import (
    CONTEXT_SECONDS,
    CannotListen,
    CarefulReactor,
    RenewedContext,
)
from statusjob.server.site.ports import listen
from statusjob.testing import self_signed_options
from tests.helpers.servers import directory


def pem(host: str) -> bytes:
    """A private key and a certificate for a host."""
    options: Any = self_signed_options(host)
    key = options.privateKey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    certificate: bytes = options.certificate.public_bytes(Encoding.PEM)
    return bytes(key) + certificate


class Listening(MemoryReactorClock):
    """A reactor that keeps the context factory of its last TLS port."""

    def listenSSL(
        self, port: Any, factory: Any, contextFactory: Any, backlog: Any = 50, interface: Any = ""
    ) -> Any:
        self.contexts = contextFactory
        return super().listenSSL(port, factory, contextFactory, backlog, interface)


class RenewalTests(SynchronousTestCase):
    """A TLS endpoint whose certificate file changes."""

    #: Twisted's endpoint still hands pyOpenSSL its own wrappers.
    suppress: ClassVar = [util.suppress(category=DeprecationWarning, message="Passing pyOpenSSL")]

    def setUp(self) -> None:
        self.reactor = Listening()
        self.path = directory(self) / "both.pem"
        self.path.write_bytes(pem("old.example"))
        self.description = f"ssl:0:privateKey={self.path}:certKey={self.path}:interface=127.0.0.1"
        self.contexts: list[RenewedContext] = []
        endpoint = serverFromString(
            CarefulReactor(self.reactor, self.description, self.contexts), self.description
        )
        nothing: Any = None
        self.successResultOf(endpoint.listen(nothing))

    def context(self) -> SSL.Context:
        context: SSL.Context = self.reactor.contexts.getContext()
        return context

    def test_connections_of_the_same_minute_share_a_context(self) -> None:
        first = self.context()
        self.reactor.advance(CONTEXT_SECONDS - 1)
        self.assertIs(self.context(), first)

    def test_a_renewed_certificate_is_served_a_minute_later(self) -> None:
        first = self.context()
        self.path.write_bytes(pem("new.example"))
        self.reactor.advance(CONTEXT_SECONDS)
        second = self.context()
        self.assertIsNot(second, first)
        self.assertIs(self.context(), second)

    def test_a_certificate_can_be_renewed_at_once(self) -> None:
        first = self.context()
        self.path.write_bytes(pem("new.example"))
        (context,) = self.contexts
        context.renew()
        self.assertIsNot(self.context(), first)

    def test_a_file_that_is_just_being_written_changes_nothing(self) -> None:
        first = self.context()
        for content in (b"", self.path.read_bytes()[:500]):
            self.path.write_bytes(content)
            self.reactor.advance(CONTEXT_SECONDS)
            with capturedLogs() as events:
                self.assertIs(self.context(), first)
            (event,) = events
            self.assertIn("is not renewed", event["log_format"])
        self.path.unlink()
        self.reactor.advance(CONTEXT_SECONDS)
        self.assertIs(self.context(), first)

    def test_without_callbacks_a_tls_endpoint_is_refused(self) -> None:
        class NoCallbacks:
            def __init__(self, method: int) -> None: ...

            def set_info_callback(self, callback: object) -> None:
                raise MemoryError("Cannot allocate write+execute memory for ffi.callback()")

        self.patch(careful, "Context", NoCallbacks)
        given = resolve({"endpoint": [self.description]}, {}, {})
        nothing: Any = None
        error = self.assertRaises(CannotListen, listen, Clock(), nothing, given)
        self.assertIn("cannot speak TLS", str(error))
