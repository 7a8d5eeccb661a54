"""
One HTTP exchange whose answer goes on for as long as there is something to tell.

As L{statusjob.client.http.exchange}, but what comes is handed on in pieces. A stream that
falls silent is given up: whoever sends one says something every few seconds,
if only that it is there. What the pieces mean is for others to say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from statusjob.client.http.exchange import Answer, Body, abort, let_come
from statusjob.failures import ExchangeFailed, classify

#: The media type of server-sent events.
EVENT_STREAM = "text/event-stream"


def stream(
    reactor: IReactorTime,
    start: Callable[[], Awaitable[IResponse]],
    take: Callable[[bytes], object],
    *,
    deadline: float,
    silence: float,
    limit: int,
) -> Deferred[Answer | None]:
    """
    Make one request and hand on what its answer streams.

    @param start: sends the request; called once, now.
    @param take: is given each piece; if it raises, that ends the stream.
    @param deadline: seconds until the answer has begun; or, if it is no stream, is complete.
    @param silence: longest time in seconds between two pieces.
    @param limit: most bytes of body that are taken of an answer that is no stream.
    @return: fires with C{None} when the stream has ended, or with the answer if it is none. Fails
        with L{ExchangeFailed}, or with what C{take} raised. May be cancelled.
    """
    allowed = deadline
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        work.cancel()

    def came() -> None:
        nonlocal allowed
        allowed = silence
        timer.reset(silence)

    async def run() -> Answer | None:
        response = await start()
        if response.code == 200 and _is_stream(response):
            came()
            await _Pieces(take, came).read(response)
            return None
        content = await Body(limit).read(response)
        return Answer(response.code, response.headers, content)

    def failed(failure: Failure) -> NoReturn:
        if expired:
            raise ExchangeFailed("timeout", f"nothing came for {allowed:g} s")
        assert failure.value is not None
        raise classify(failure.value)

    def finished(result: Answer | Failure | None) -> Answer | Failure | None:
        if timer.active():
            timer.cancel()
        return result

    timer = reactor.callLater(deadline, expire)
    work: Deferred[Answer | None] = Deferred.fromCoroutine(run())
    work.addBoth(finished)
    return work.addErrback(failed)


def _is_stream(response: IResponse) -> bool:
    values = response.headers.getRawHeaders(b"Content-Type", [b""])
    kind: str = values[0].decode("latin-1").partition(";")[0]
    return kind.strip().lower() == EVENT_STREAM


class _Pieces(Protocol):
    """Reads a body that goes on."""

    def __init__(self, take: Callable[[bytes], object], came: Callable[[], object]) -> None:
        self._take = take
        self._came = came
        self._reading = True
        self._done: Deferred[None] = Deferred(lambda _: self._cut())

    def read(self, response: IResponse) -> Deferred[None]:
        """Read the body of C{response}, to its end."""
        response.deliverBody(self)
        return self._done

    def dataReceived(self, data: bytes) -> None:
        """Hand on a piece."""
        if not self._reading:
            return
        try:
            self._take(data)
        except Exception:
            self._cut()
            self._done.errback()
            return
        if self._reading:
            let_come(self.transport)
            self._came()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is over."""
        if not self._reading:
            return
        self._reading = False
        if reason.check(ResponseDone, PotentialDataLoss):
            self._done.callback(None)
        else:
            self._done.errback(reason)

    def _cut(self) -> None:
        self._reading = False
        abort(self.transport)
