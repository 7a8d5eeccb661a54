"""
One HTTP exchange whose answer is a stream that may go on for hours.

As L{statusjob.client.http.exchange}, but the body is handed on in pieces. A stream that falls
silent is given up: a server sends at least a comment every few seconds. This module does not
interpret the pieces.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IResponse

from statusjob.client.http.exchange import Answer, BodyReader, decoded, read_answer, run_in_time

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
    Make one request and hand on the pieces of the stream that answers it.

    @param start: sends the request; called once, now.
    @param take: is given each piece; if it raises, that ends the stream.
    @param deadline: seconds until the first piece of a stream, or until the end of another
        answer. Where a proxy keeps a stream back, the headers may come, and nothing else.
    @param silence: longest time in seconds between two pieces.
    @param limit: most bytes that the body of an answer may have that is no stream.
    @return: fires with C{None} when the stream has ended, or with the answer if it is no stream.
        Fails with L{ExchangeFailed}, or with what C{take} raised. May be cancelled.
    """

    async def run(restart_timer: Callable[[float], None]) -> Answer | None:
        response = await start()
        if response.code != 200 or not _is_stream(response):
            return await read_answer(response, limit)

        def took(piece: bytes) -> None:
            restart_timer(silence)
            # A stream may have any number of bytes in all: let the connection count anew.
            transport: Any = reader.transport
            transport.resumeProducing()
            take(piece)

        reader = BodyReader(took)
        await reader.read(decoded(response))
        return None

    return run_in_time(reactor, run, deadline)


def _is_stream(response: IResponse) -> bool:
    values = response.headers.getRawHeaders(b"Content-Type", [b""])
    media_type: str = values[0].decode("latin-1").partition(";")[0]
    return media_type.strip().lower() == EVENT_STREAM
