"""
A web resource that receives the deliveries of webhooks.

Mount it in your own C{Site}, or return it from a Klein route with C{branch=True}. It verifies each
delivery and answers with success only after all handlers are done, so that the server repeats a
delivery that was not handled. L{statusjob.client.receive.dispatch} recognises repeated deliveries
and old versions.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob.client.http import answers
from statusjob.client.http.session import reactor_or_global
from statusjob.client.models import WebhookEvent
from statusjob.client.receive.dispatch import Busy, Dispatcher, Handler
from statusjob.client.receive.memory import InProcessMemory, WebhookDelivery, WebhookMemory
from statusjob.client.receive.refusal_log import RefusalLog
from statusjob.contract import codec
from statusjob.contract.codec import BODY_LIMIT
from statusjob.contract.signing import TOLERANCE, Message, VerificationFailed, Verifier
from statusjob.jobs import TEST_EVENT, EventType

#: Headers that belong to errors. If too much is pending, a sender is asked to wait a few seconds.
_HEADERS_OF = {
    HTTPStatus.METHOD_NOT_ALLOWED: ("Allow", "POST"),
    HTTPStatus.SERVICE_UNAVAILABLE: ("Retry-After", "5"),
}
#: Most characters of an unknown event type that are logged.
_LOGGED_TYPE_LIMIT = 64


class Notifiable(Protocol):
    """An object that is notified of every event, such as a L{StatusClient}."""

    def notify(self, event: WebhookEvent) -> None:
        """Take note of an event; must not raise."""


class _Refusal(Exception):
    """
    A request is answered with an error.

    @ivar code: the HTTP status code.
    """

    def __init__(self, code: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class WebhookReceiver(Resource):
    """
    Receives deliveries by POST, at the path at which it is mounted.

    Each update is passed on once. A delivery that was handled before, or whose version is older
    than one that was handled, is acknowledged and ignored. So are test events, and events of
    unknown types, which later servers may send. A delivery that arrives again while it is being
    handled waits for the same outcome.

    Updates of one job are passed on one after the other, never an older one after a newer one.
    Updates of different jobs are passed on at the same time. At most 256 deliveries are pending
    at the same time; beyond that the server is asked to wait. Why a delivery is refused is logged,
    for each status code at most once in ten seconds.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        *secrets: str,
        on_update: Handler | None = None,
        clients: Collection[Notifiable] = (),
        memory: WebhookMemory | None = None,
        tolerance: float = TOLERANCE,
        reactor: Any = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param secrets: the secrets of the webhook: one, or several while it is being rotated.
        @param on_update: called with every update. It may return a C{Deferred}, or another
            awaitable. If it fails, the failure is logged, and the server is asked to deliver
            again. If it never ends, further updates of the job wait, and one of the 256 pending
            deliveries remains taken.
        @param clients: notified of every update before C{on_update} is called. The collection is
            read for each update, so it may be a set that you add to and discard from.
        @param memory: remembers what was handled; C{None} for an L{InProcessMemory}.
        @param tolerance: by how many seconds a timestamp may differ from the present, either way.
        @param reactor: measures how often refusals are logged; C{None} for the global one.
        @param now: returns the seconds since the epoch, with which timestamps are compared.
        @raise BadSecret: if there is no secret, or one is malformed.
        """
        super().__init__()
        self._verifier = Verifier(*secrets, tolerance=tolerance)
        self._on_update = on_update
        self._clients = clients
        self._now = now
        self._refusals = RefusalLog(reactor_or_global(reactor))
        memory = InProcessMemory() if memory is None else memory
        self._dispatcher = Dispatcher(self._pass_on, memory, now)

    def render(self, request: Any) -> int:
        """Answer a request once its delivery is handled."""
        try:
            handled = self._receive(request)
        except _Refusal as refusal:
            self._refusals.note(refusal.code, str(refusal))
            _refuse(request, refusal)
            return NOT_DONE_YET

        def answer(handled: bool) -> None:
            if handled:
                request.setResponseCode(HTTPStatus.NO_CONTENT)
                request.finish()
            else:
                failed = HTTPStatus.INTERNAL_SERVER_ERROR
                _refuse(request, _Refusal(failed, "the delivery failed; try again"))

        # If the sender hangs up, only the waiting ends, but not the handling.
        request.notifyFinish().addErrback(lambda _: handled.cancel())
        handled.addCallbacks(answer, lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET

    def _receive(self, request: Any) -> Deferred[bool]:
        """
        Verify a request and dispatch its delivery.

        @return: fires with whether the delivery was handled.
        @raise _Refusal: if the delivery cannot be accepted, or not now.
        """
        if request.method != b"POST":
            raise _Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "deliveries must be sent by POST")
        body = request.content.read(BODY_LIMIT + 1)
        if len(body) > BODY_LIMIT:
            raise _Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {BODY_LIMIT} bytes"
            )
        get_headers = request.requestHeaders.getRawHeaders
        try:
            message = self._verifier.verify(body, get_headers, self._now())
        except VerificationFailed as error:
            raise _Refusal(HTTPStatus.UNAUTHORIZED, error.reason) from None
        try:
            return self._dispatch(message, body)
        except codec.BadInput as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        except Busy:
            raise _Refusal(
                HTTPStatus.SERVICE_UNAVAILABLE, "too many deliveries are pending"
            ) from None

    def _dispatch(self, message: Message, body: bytes) -> Deferred[bool]:
        """Dispatch a genuine delivery. The result fires with whether it was handled."""
        event_type = answers.read_event_type(body)
        if event_type == TEST_EVENT:
            self._log.info("webhook tested")
            return succeed(True)
        if event_type is not None and event_type not in tuple(EventType):
            shown = event_type[:_LOGGED_TYPE_LIMIT]
            self._log.info("webhook ignored, unknown event type: {type!r}", type=shown)
            return succeed(True)
        event = answers.read_webhook(body)
        return self._dispatcher.dispatch(WebhookDelivery.of(message.id, event), event)

    def _pass_on(self, event: WebhookEvent) -> Awaitable[object] | object:
        """Notify all clients of an update, then call C{on_update} and return its result."""
        # A copy: a client that is notified may leave the collection.
        for client in tuple(self._clients):
            client.notify(event)
        return None if self._on_update is None else self._on_update(event)


def _refuse(request: Any, refusal: _Refusal) -> None:
    """Answer with an error in the format of our server: problem+json (RFC 9457)."""
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
