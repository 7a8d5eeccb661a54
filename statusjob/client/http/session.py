"""
How C{StatusClient} and C{WorkerClient} send requests to a server.

A session knows the base URL and the token. It shares its connections with all other sessions of
the reactor. It turns an answer that reports an error into an exception, and repeats no request.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote

from hyperlink import URL
from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.python import threadable
from twisted.web.http_headers import Headers

from statusjob.client.errors import (
    BadAnswer,
    BadSetting,
    Refused,
    Unreachable,
)
from statusjob.client.http import answers
from statusjob.client.http.base_url import read_base_url
from statusjob.client.http.cancelling import Cancellation, cancellable
from statusjob.client.http.connections import shared_connections
from statusjob.client.http.exchange import Answer, exchange
from statusjob.client.http.refusals import Refusals
from statusjob.client.http.streaming import EVENT_STREAM, stream
from statusjob.client.models import LocatedJob
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.failures import ExchangeFailed
from statusjob.jobs import Job
from statusjob.version import __version__

T = TypeVar("T")

#: Consecutive failures after which a client still tries again.
MAX_RETRIES = 10
#: Seconds for one request.
REQUEST_TIMEOUT = 10.0
#: Most bytes in the body of an answer without a job.
STATUS_LIMIT = 64 * 1024
#: Most bytes in the body of an answer with a job: even the longest metadata and output, escaped,
#: are shorter.
JOB_LIMIT = 2 * 1024 * 1024
#: Seconds until the first piece of a stream, which servers send at once.
STREAM_START = 3.0
#: Longest time in seconds between two pieces of a stream: a server sends at least a comment every
#: 15 seconds, so three of them are missing.
SILENCE = 45.0
#: The status codes of an answer with a body that follows the contract. A proxy says 203 if it has
#: changed a header of it.
_SUCCESSES = (200, 201, 203)
_USER_AGENT = f"statusjob/{__version__}"
_JSON = {"Accept": "application/json"}
_EVENTS = {"Accept": EVENT_STREAM}


class Requester(Protocol):
    """Sends requests: a C{treq.client.HTTPClient}, or a C{treq.testing.StubTreq}."""

    def request(
        self,
        method: str,
        url: Any,
        *,
        headers: Any,
        data: Any,
        allow_redirects: bool,
        unbuffered: bool,
        reactor: Any,
    ) -> Deferred[Any]:
        """Start a request."""


class Session:
    """
    Sends requests to one server, below one base URL.

    @ivar base: the base URL.
    @ivar reactor: the reactor that measures the time.
    @ivar timeout: the seconds for one request.
    @ivar now: returns the seconds since the epoch.
    @ivar answered: whether any answer ever came, whoever sent it.
    @ivar connections: the connections that all sessions of the reactor share.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None,
        request_timeout: float,
        reactor: Any,
        treq: Requester | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param base_url: the URL of the server, or of one of its jobs.
        @param token: sent as a bearer token; C{None} for none.
        @param request_timeout: seconds for one request and its answer, above 0.
        @param reactor: the reactor to use; C{None} for the global one.
        @param treq: sends the requests; C{None} for a client over the shared connections.
        @param now: returns the seconds since the epoch.
        @raise BadSetting: if an argument is out of range, or the base URL malformed.
        """
        if not is_positive(request_timeout):
            raise BadSetting(
                f"request_timeout must be a number of seconds above 0, not {request_timeout!r}:"
                " without it, a request could hang for ever"
            )
        self.base = read_base_url(base_url)
        self.reactor: IReactorTime = reactor_or_global(reactor)
        self.timeout = request_timeout
        self.answered = False
        self.now = now
        self.connections = shared_connections(self.reactor)
        self._treq = treq
        self._token = token
        self._refusals = Refusals(self.reactor, self.base)
        self._origin = self.base.replace(path=()).to_text()

    def start(self, run: Callable[[Cancellation], Coroutine[Any, Any, T]]) -> Deferred[T]:
        """
        Run a coroutine that makes requests, as L{cancellable} does.

        @raise RuntimeError: if the reactor runs in another thread.
        """
        self._check_thread()
        return cancellable(run)

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """Keep connections inside the context, until the last session has left its own."""
        return self.connections.in_use(self.reactor)

    async def ask(
        self,
        method: str,
        *segments: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        limit: int = STATUS_LIMIT,
        wait: float = 0.0,
        timeout: float = math.inf,
    ) -> Answer:
        """
        Send one request, and return the answer whatever its status is.

        @param segments: the segments of the path below the base URL.
        @param query: the query of the URL, if it has one.
        @param body: sent as JSON, unless it is C{None}.
        @param headers: further headers to send.
        @param limit: most bytes that the answer's body may have.
        @param wait: for how many seconds the server may delay its answer. If that is not 0, the
            request is a long poll, and the caller must hold a slot for it
            (L{Connections.take_slot<statusjob.client.http.connections.Connections.take_slot>}).
        @param timeout: the seconds for this request, if they are fewer than for any other.
        @raise Unreachable: if no complete answer came.
        """
        url = self._url(segments, query or {})
        start = self._request(method, url, body, {**_JSON, **(headers or {})}, wait > 0)
        slot = self.connections.request_slot(self._origin, changes=method != "GET")
        async with self.in_use(), nullcontext() if wait else slot:
            try:
                deadline = min(self.timeout, timeout) + wait
                answer = await exchange(self.reactor, start, deadline=deadline, limit=limit)
            except ExchangeFailed as error:
                raise _unreachable(error) from error
        self.answered = True
        return answer

    async def follow(
        self, *segments: str, headers: Mapping[str, str], take: Callable[[bytes], object]
    ) -> Answer | None:
        """
        Follow a stream of events to its end; the caller must hold a slot for it.

        @param segments: the segments of the path below the base URL.
        @param headers: further headers to send.
        @param take: called with each piece. If it raises, the stream ends, and the error is raised
            here.
        @return: C{None} at the end of the stream; the answer, if it is no stream.
        @raise Unreachable: if the stream broke off, did not begin within L{STREAM_START}, or was
            silent for L{SILENCE}.
        """
        start = self._request("GET", self._url(segments, {}), None, {**_EVENTS, **headers}, True)
        async with self.in_use():
            try:
                return await stream(
                    self.reactor,
                    start,
                    take,
                    deadline=min(self.timeout, STREAM_START),
                    silence=SILENCE,
                    limit=STATUS_LIMIT,
                )
            except ExchangeFailed as error:
                raise _unreachable(error) from error

    def _check_thread(self) -> None:
        """Refuse to be used where nothing would ever happen."""
        if not IReactorFromThreads.providedBy(self.reactor) or threadable.ioThread is None:
            return
        if not threadable.isInIOThread():
            raise RuntimeError(
                "this must be called in the thread of the reactor; see"
                " twisted.internet.threads.blockingCallFromThread"
            )

    def _url(self, segments: Sequence[str], query: Mapping[str, str]) -> URL:
        """Return a URL below the base URL."""
        url = self.base.child(*segments) if segments else self.base
        encoded = {name: quote(value, safe="") for name, value in query.items()}
        return url.replace(query=tuple(encoded.items()))

    def _request(
        self,
        method: str,
        url: URL,
        body: object,
        headers: Mapping[str, str],
        long_poll: bool,
    ) -> Callable[[], Deferred[Any]]:
        """
        Return a function that sends a request each time it is called.

        @raise RuntimeError: if the reactor runs in another thread.
        """
        self._check_thread()
        sent = Headers({"User-Agent": [_USER_AGENT]})
        if self._token is not None:
            sent.setRawHeaders("Authorization", [f"Bearer {self._token}"])
        if body is not None:
            sent.setRawHeaders("Content-Type", ["application/json"])
        for name, value in headers.items():
            sent.setRawHeaders(name, [value])

        def start() -> Deferred[Any]:
            treq: Any = self._treq or self.connections.client(long_poll=long_poll)
            sending: Deferred[Any] = treq.request(
                method,
                url,
                headers=sent,
                data=None if body is None else codec.encode(body),
                allow_redirects=False,
                unbuffered=True,
                reactor=self.reactor,
            )
            return sending

        return start

    def retry_after(self, answer: Answer) -> float | None:
        """
        Return how many seconds the server asks the client to wait, or C{None}.

        If the server gives a date, it is compared with the server's own C{Date}, if there is one,
        and otherwise with the wall clock.
        """
        asked = answer.header("Retry-After")
        if asked is None:
            return None
        now = read_date(answer.header("Date") or "")
        return read_retry_after(asked, self.now() if now is None else now)

    def refusal(self, answer: Answer) -> Refused:
        """
        Return the error that an unexpected answer stands for.

        @return: an L{Unavailable<statusjob.client.errors.Unavailable>} if it may be over at the
            next try, as L{statusjob.client.http.refusals} tells.
        """
        return self._refusals.read(answer, self.retry_after(answer))

    def read(self, answer: Answer, decode: Callable[[bytes], T]) -> T:
        """
        Read the body of an answer.

        @param decode: decodes it, or raises L{BadInput<codec.BadInput>}.
        @raise BadAnswer: if it is not what the HTTP contract says.
        @raise Refused: if the answer reports an error.
        """
        if answer.code not in _SUCCESSES:
            raise self.refusal(answer)
        return self.read_body(answer.body, decode)

    def read_job(self, answer: Answer) -> LocatedJob:
        """Read an answer with a job, as L{read} does."""
        return self.read(answer, self.decode_job)

    def decode_job(self, body: bytes) -> LocatedJob:
        """
        Decode a job as the server shows it.

        @raise BadInput: if it is not one.
        """
        return self.locate(answers.read_job(body))

    def locate(self, job: Job) -> LocatedJob:
        """Return a job of the server together with its URL."""
        is_base = self.base.path[-2:] == ("jobs", job.id)
        url = self.base if is_base else self.base.child("jobs", job.id)
        return LocatedJob(**structs.asdict(job), url=url.to_text())

    def read_body(self, body: bytes, decode: Callable[[bytes], T]) -> T:
        """Read the body of a successful answer, or a part of it, as L{read} does."""
        try:
            value = decode(body)
        except codec.BadInput as error:
            raise BadAnswer(str(error)) from error
        self._refusals.server_heard = True
        return value


class KeepsConnections:
    """
    A client that keeps its connections open inside C{async with}.

    Without that, single calls close the connection that they have opened.
    """

    _session: Session

    async def __aenter__(self) -> Self:
        self._session.connections.enter(self._session.reactor)
        return self

    async def __aexit__(self, *reason: object) -> None:
        await self._session.connections.leave()


def _unreachable(error: ExchangeFailed) -> Unreachable:
    return Unreachable(error.kind, error.reason, lasting=error.lasting)


def is_positive(value: object) -> bool:
    """Tell whether a setting is a finite number above 0."""
    return isinstance(value, (int, float)) and 0 < value < math.inf


def reactor_or_global(reactor: Any) -> Any:
    """Return C{reactor}, or the global reactor instead of C{None}; only then is it imported."""
    if reactor is None:
        from twisted.internet import reactor
    return reactor
