"""
For those who would rather be told: a resource that takes what webhooks deliver.

Mount it in a C{Site} of your own, or return it from a Klein route with
C{branch=True}. It verifies, hands over and answers; a delivery is answered with
success only after all handlers are done, so that the server tries again what
was not handled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from http import HTTPStatus
from inspect import isawaitable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob import answers, wire
from statusjob.answers import WebhookEvent
from statusjob.signing import TOLERANCE, Message, VerificationFailed, Verifier
from statusjob.wire import BODY_LIMIT


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
    """Takes deliveries by POST, at whatever path it is mounted."""

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        *secrets: str,
        on_update: Callable[[WebhookEvent], Awaitable[object] | object] | None = None,
        clients: Collection[Notified] = (),
        tolerance: float = TOLERANCE,
        reactor: Any = None,
    ) -> None:
        """
        @param secrets: those of the webhook; several during a rotation.
        @param on_update: called with every genuine event. What it returns may be awaited. If it
            fails, that is logged, and the server is asked to deliver again.
        @param clients: told of every event before that. Looked at anew each time, so it may be a
            set that you add to and discard from.
        @param tolerance: how many seconds a timestamp may be off, either way.
        @param reactor: whose clock counts; C{None} for the global one.
        @raise BadSecret: if there is no secret, or one is malformed.
        """
        super().__init__()
        self._verifier = Verifier(*secrets, tolerance=tolerance)
        self._on_update = on_update
        self._clients = clients
        self._reactor: IReactorTime = _global_reactor() if reactor is None else reactor

    def render(self, request: Any) -> int:
        """Answer a request, when it is settled."""
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)
        settled = Deferred.fromCoroutine(self._receive(request))

        def accepted(_: None) -> None:
            if not gone:
                request.setResponseCode(HTTPStatus.NO_CONTENT)
                request.finish()

        def failed(failure: Failure) -> None:
            refusal = failure.value
            if not isinstance(refusal, _Refusal):
                self._log.failure("a webhook's delivery was not handled", failure)
                refusal = _Refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "not handled; try again")
            if not gone:
                _answer(request, refusal)

        settled.addCallbacks(accepted, failed)
        return NOT_DONE_YET

    async def _receive(self, request: Any) -> None:
        """
        Take one request.

        @raise _Refusal: if there is nothing in it to hand over.
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
            event = answers.read_webhook(body)
        except wire.BadInput as error:
            raise _Refusal(HTTPStatus.BAD_REQUEST, str(error)) from None
        await self._hand_over(message, event)

    async def _hand_over(self, message: Message, event: WebhookEvent) -> None:
        """Give a genuine event to whom it concerns; C{message.id} tells deliveries apart."""
        self._log.debug("webhook {id} says {result}", id=message.id, result=event.result)
        # A copy: one who is told may well leave.
        for client in tuple(self._clients):
            client.notify(event)
        if self._on_update is not None:
            handled = self._on_update(event)
            if isawaitable(handled):
                await handled


def _answer(request: Any, refusal: _Refusal) -> None:
    """An error as problem+json (RFC 9457), as the server's own are."""
    request.setResponseCode(refusal.code)
    request.setHeader("Content-Type", "application/problem+json")
    if refusal.code is HTTPStatus.METHOD_NOT_ALLOWED:
        request.setHeader("Allow", "POST")
    detail = str(refusal)
    request.write(
        wire.encode(
            {
                "type": "about:blank",
                "title": refusal.code.phrase,
                "status": int(refusal.code),
                "detail": detail,
            }
        )
    )
    request.finish()


def _global_reactor() -> Any:
    from twisted.internet import reactor

    return reactor
