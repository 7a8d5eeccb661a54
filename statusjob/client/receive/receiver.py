"""
For those who would rather be told: a resource that takes what webhooks deliver.

Mount it in a C{Site} of your own, or return it from a Klein route with
C{branch=True}. It verifies, reads and answers: with success only after all
handlers are done, so that the server tries again what was not handled. How
repetitions and old versions are told is in L{statusjob.client.receive.dispatch}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection
from http import HTTPStatus
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob.client.http import answers
from statusjob.client.http.answers import WebhookEvent
from statusjob.client.receive.dispatch import Busy, Dispatcher, Handler
from statusjob.client.receive.memory import InProcessMemory, WebhookDelivery, WebhookMemory
from statusjob.contract import codec
from statusjob.contract.codec import BODY_LIMIT
from statusjob.contract.signing import TOLERANCE, Message, VerificationFailed, Verifier
from statusjob.jobs import TEST_EVENT, EventType

#: Headers that belong to errors; a sender that comes too often is asked to wait some seconds.
_HEADERS_OF = {
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "POST"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "5"),
}
#: Most characters of an unknown type that are logged.
_SHOWN = 64


class Notified(Protocol):
    """Somebody to be told of every event, such as a L{StatusClient}."""

    def notify(self, event: WebhookEvent) -> None:
        """Take an event; must not raise."""


class _Refusal(Exception):
    """
    A request that is answered with an error.

    @ivar code: the HTTP status.
    """

    def __init__(self, code: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class WebhookReceiver(Resource):
    """
    Takes deliveries by POST, at whatever path it is mounted.

    An update is handed over once: what is delivered again after it was handled, and versions
    older than one that was, are acknowledged and no more; so are tests, and types of events
    that are not known yet. A delivery that comes again while it is being handled waits for the
    same outcome. Updates of one job are handed over one after the other, never an older one
    after a newer one; those of different jobs at the same time. Beyond 256 at a time the server
    is asked to wait.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        *secrets: str,
        on_update: Handler | None = None,
        clients: Collection[Notified] = (),
        memory: WebhookMemory | None = None,
        tolerance: float = TOLERANCE,
        reactor: Any = None,
    ) -> None:
        """
        @param secrets: those of the webhook; several during a rotation.
        @param on_update: called with every update. It may return a C{Deferred}, or anything
            else to await. If it fails, that is logged, and the server is asked to deliver again.
            One that never comes to an end holds up its job, and its place among the 256.
        @param clients: told of every update before that. Looked at anew each time, so it may be
            a set that you add to and discard from.
        @param memory: of what was handled; C{None} for an L{InProcessMemory}.
        @param tolerance: how many seconds a timestamp may be off, either way.
        @param reactor: whose clock counts; C{None} for the global one.
        @raise BadSecret: if there is no secret, or one is malformed.
        """
        super().__init__()
        self._verifier = Verifier(*secrets, tolerance=tolerance)
        self._on_update = on_update
        self._clients = clients
        self._reactor: IReactorTime = _global_reactor() if reactor is None else reactor
        memory = InProcessMemory() if memory is None else memory
        self._dispatcher = Dispatcher(self._hand_over, memory, self._reactor)

    def render(self, request: Any) -> int:
        """Answer a request, when it is settled."""
        try:
            handled = self._receive(request)
        except _Refusal as refusal:
            _refuse(request, refusal)
            return NOT_DONE_YET

        def answer(handled: bool) -> None:
            if handled:
                request.setResponseCode(HTTPStatus.NO_CONTENT)
                request.finish()
            else:
                _refuse(
                    request, _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "not handled; try again")
                )

        # Whoever hangs up is not waited for, and stops nothing.
        request.notifyFinish().addErrback(lambda _: handled.cancel())
        handled.addCallbacks(answer, lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET

    def _receive(self, request: Any) -> Deferred[bool]:
        """
        Take one request.

        @return: whether what it brought was handled.
        @raise _Refusal: if there is nothing in it to hand over, or not now.
        """
        if request.method != b"POST":
            raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "deliveries come by POST")
        body = request.content.read(BODY_LIMIT + 1)
        if len(body) > BODY_LIMIT:
            raise _Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {BODY_LIMIT} bytes"
            )
        get_headers = request.requestHeaders.getRawHeaders
        try:
            message = self._verifier.verify(body, get_headers, self._reactor.seconds())
        except VerificationFailed as error:
            raise _Refusal(HTTPStatus.UNAUTHORIZED, error.reason) from None
        try:
            return self._take(message, body)
        except codec.BadInput as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        except Busy:
            raise _Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many at a time") from None

    def _take(self, message: Message, body: bytes) -> Deferred[bool]:
        """Take a genuine message; whether it was handled."""
        kind = answers.read_event_type(body)
        if kind == TEST_EVENT:
            self._log.info("a webhook was tested")
            return succeed(True)
        if kind is not None and kind not in tuple(EventType):
            self._log.info("a webhook brought an unknown event, {type!r}", type=kind[:_SHOWN])
            return succeed(True)
        event = answers.read_webhook(body)
        return self._dispatcher.dispatch(WebhookDelivery.of(message.id, event), event)

    def _hand_over(self, event: WebhookEvent) -> Awaitable[object] | object:
        """Give an update to whom it concerns; what the last one returns may be awaited."""
        # A copy: one who is told may well leave.
        for client in tuple(self._clients):
            client.notify(event)
        return None if self._on_update is None else self._on_update(event)


def _refuse(request: Any, refusal: _Refusal) -> None:
    """Answer with an error, as problem+json (RFC 9457), as the server's own are."""
    problem = {
        "type": "about:blank",
        "title": refusal.code.phrase,
        "status": int(refusal.code),
        "detail": str(refusal),
    }
    body = codec.encode(problem)
    request.setResponseCode(refusal.code)
    request.setHeader("Content-Type", "application/problem+json")
    request.setHeader("Content-Length", str(len(body)))
    if refusal.code in _HEADERS_OF:
        request.setHeader(*_HEADERS_OF[refusal.code])
    request.write(body)
    request.finish()


def _global_reactor() -> Any:
    from twisted.internet import reactor

    return reactor
