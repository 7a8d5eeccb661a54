"""
One bounded HTTP exchange: a request goes out, an answer of bounded size comes in, on time.

Works with whatever starts a request and returns a Deferred of an C{IResponse}: treq with
C{unbuffered=True}, or a bare C{Agent}. It follows no redirects, keeps no cookies and repeats
nothing. Whatever happens (an answer, a failure, a cancellation), it leaves no delayed call and no
unread body behind: a connection whose answer was not read to its end is closed (at once, if it is
a L{bounded<statusjob.client.http.bounded>} one) and never used again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import GzipDecoder, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

from statusjob.client.http.cancelling import Cancellation, cancellable
from statusjob.failures import ExchangeFailed, classify

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The answer to a request.

    @ivar code: the HTTP status code, from 100 to 599.
    """

    code: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or C{None} if it is missing."""
        values = self.headers.getRawHeaders(name.encode("ascii"))
        return values[0].decode("latin-1") if values else None


def exchange(
    reactor: IReactorTime,
    start: Callable[[], Awaitable[IResponse]],
    *,
    deadline: float,
    limit: int,
) -> Deferred[Answer]:
    """
    Make one request and read its answer.

    @param start: sends the request; called once, now.
    @param deadline: seconds for everything: name, connection, TLS, headers and body.
    @param limit: most bytes that the body may have.
    @return: fires with the L{Answer}, or fails with L{ExchangeFailed}. May be cancelled. An error
        that is no failure of the transport (a mistake in C{start}, say) is passed on unchanged.
    """

    async def run(restart_timer: Callable[[float], None]) -> Answer:
        return await read_answer(await start(), limit)

    return run_in_time(reactor, run, deadline)


def run_in_time(
    reactor: IReactorTime,
    run: Callable[[Callable[[float], None]], Coroutine[Deferred[Any], Any, T]],
    seconds: float,
) -> Deferred[T]:
    """
    Run an exchange, and cancel it when its time is up.

    @param run: makes the exchange; called once, now. It is given a function that restarts the
        timer with a number of seconds.
    @param seconds: the time for the exchange, unless the timer is restarted.
    @return: fires with the result of C{run}, or fails with L{ExchangeFailed}. May be cancelled.
        An error that is no failure of the transport is passed on unchanged.
    """
    allowed = seconds
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        running.cancel()

    def restart_timer(seconds: float) -> None:
        nonlocal allowed
        allowed = seconds
        timer.reset(seconds)

    def finished(result: T | Failure) -> T | Failure:
        if timer.active():
            timer.cancel()
        return result

    def failed(failure: Failure) -> NoReturn:
        if expired:
            raise ExchangeFailed("timeout", f"timed out after {allowed:g} s")
        assert failure.value is not None
        raise classify(failure.value)

    timer = reactor.callLater(seconds, expire)
    running = Deferred.fromCoroutine(run(restart_timer))
    running.addBoth(finished).addErrback(failed)

    async def wait_for_it(_: Cancellation) -> T:
        return await running

    return cancellable(wait_for_it)


async def read_answer(response: IResponse, limit: int) -> Answer:
    """
    Read an answer to its end.

    @param limit: most bytes that the body may have.
    @raise ExchangeFailed: if the body is longer, or the status code is not one.
    """
    body = bytearray()
    too_big = ExchangeFailed("too-big", f"more than {limit} bytes")

    def collect(piece: bytes) -> None:
        if len(body) + len(piece) > limit:
            raise too_big
        body.extend(piece)

    response = decoded(response)
    reader = BodyReader(collect)
    done = reader.read(response)
    if isinstance(response.length, int) and response.length > limit:
        reader.give_up(Failure(too_big))
    await done
    if not 100 <= response.code <= 599:
        # RFC 9110 15: not a status code. Twisted accepts any integer, of any size.
        raise ExchangeFailed("connect", "the answer has no valid status code")
    return Answer(response.code, response.headers, bytes(body))


def decoded(response: IResponse) -> IResponse:
    """
    Decode an answer that is compressed with gzip under another name for that.

    treq asks for C{gzip}, and decodes what is called exactly that. C{x-gzip} is the same, and
    names of codings are case-insensitive (RFC 9110 8.4.1).
    """
    codings = response.headers.getRawHeaders(b"Content-Encoding", [])
    if len(codings) == 1 and codings[0].strip().lower() in (b"gzip", b"x-gzip"):
        response.headers.removeHeader(b"Content-Encoding")
        unpacked: IResponse = GzipDecoder(response)
        return unpacked
    return response


class BodyReader(Protocol):
    """Reads the body of one answer, and hands on its pieces as they arrive."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        """
        @param take: called with each piece; if it raises, the body is given up.
        """
        self._take = take
        self._reading = True
        self._done: Deferred[None] = Deferred(lambda _: self._abort())

    def read(self, response: IResponse) -> Deferred[None]:
        """
        Read the body of C{response}; may be called once.

        @return: fires when the body is complete. Fails if the connection breaks, or with what
            C{take} raised. If it is cancelled, the body is given up.
        """
        response.deliverBody(self)
        return self._done

    def give_up(self, failure: Failure) -> None:
        """Abort the connection, and fail unless the body is complete."""
        if self._reading:
            self._abort()
            self._done.errback(failure)

    def dataReceived(self, data: bytes) -> None:
        """Hand on a piece."""
        if not self._reading:
            return
        try:
            self._take(data)
        except Exception:
            self.give_up(Failure())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body is complete, or the connection broke."""
        if not self._reading:
            return
        self._reading = False
        # Without a declared length the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self._done.callback(None)
        else:
            self._done.errback(reason)

    def _abort(self) -> None:
        # After the answer is complete, this has no effect on the connection.
        self._reading = False
        transport: Any = self.transport
        transport.stopProducing()


@implementer(IBodyProducer)
class BytesProducer:
    """
    A request body that is sent at once.

    Unlike C{FileBodyProducer} it needs no cooperator, and so no global reactor.
    """

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Write the whole body."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Do nothing: the body has been written."""

    def resumeProducing(self) -> None:
        """Do nothing: the body has been written."""

    def stopProducing(self) -> None:
        """Do nothing: the body has been written."""
