"""
How C{StatusClient} and C{WorkerClient} send requests to a server.

A session knows the base URL and the token. It shares its connections with all other sessions of
the reactor. It turns an answer that reports an error into an exception, and repeats no request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from msgspec import DecodeError, Raw, Struct, json
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from statusjob.client.errors import (
    BadAnswer,
    BadRequest,
    BadSetting,
    JobCancelled,
    JobFinished,
    JobNotFound,
    NotAuthorized,
    Refused,
    Unavailable,
    Unreachable,
)
from statusjob.client.http import answers
from statusjob.client.http.base_url import read_base_url
from statusjob.client.http.connections import shared_connections
from statusjob.client.http.exchange import Answer, exchange
from statusjob.client.http.streaming import EVENT_STREAM, stream
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.failures import ExchangeFailed
from statusjob.jobs import CANCELLED
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
#: Longest time in seconds between two pieces of a stream: a server sends at least a comment every
#: 15 seconds, so three of them are missing.
SILENCE = 45.0
#: Most characters of a server's error message that are kept.
_DETAIL_LIMIT = 500
_USER_AGENT = f"statusjob/{__version__}"
_JSON = {"Accept": "application/json"}
_EVENTS = {"Accept": EVENT_STREAM}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


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
    ) -> None:
        """
        @param base_url: the URL of the server, or of one of its jobs.
        @param token: sent as a bearer token; C{None} for none.
        @param request_timeout: seconds for one request and its answer, above 0.
        @param reactor: the reactor to use; C{None} for the global one.
        @param treq: sends the requests; C{None} for a client over the shared connections.
        @raise BadSetting: if an argument is out of range, or the base URL malformed.
        """
        if not request_timeout > 0:
            raise BadSetting(f"request_timeout must be above 0 s, not {request_timeout!r}")
        self.base = read_base_url(base_url)
        self.reactor: IReactorTime = reactor_or_global(reactor)
        self.timeout = request_timeout
        self.connections = shared_connections(self.reactor)
        self._treq = treq
        self._token = token
        self._origin = self.base.replace(path=()).to_text()

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """Keep connections inside the context, until the last session has left its own."""
        return self.connections.in_use(self.reactor)

    async def ask(
        self,
        method: str,
        *segments: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        limit: int = STATUS_LIMIT,
        wait: float = 0.0,
    ) -> Answer:
        """
        Send one request, and return the answer whatever its status is.

        @param segments: the segments of the path below the base URL.
        @param body: sent as JSON, unless it is C{None}.
        @param headers: further headers to send.
        @param limit: most bytes that the answer's body may have.
        @param wait: for how many seconds the server may delay its answer. If that is not 0, the
            request is a long poll, and the caller must hold a slot for it
            (L{Connections.take_slot<statusjob.client.http.connections.Connections.take_slot>}).
        @raise Unreachable: if no complete answer came.
        """
        start = self._request(method, segments, body, {**_JSON, **(headers or {})}, wait > 0)
        async with (
            self.in_use(),
            nullcontext() if wait else self.connections.request_slot(self._origin),
        ):
            try:
                return await exchange(
                    self.reactor, start, deadline=self.timeout + wait, limit=limit
                )
            except ExchangeFailed as error:
                raise Unreachable(error.kind, error.reason) from error

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
        @raise Unreachable: if the stream broke off, or was silent for L{SILENCE}.
        """
        start = self._request("GET", segments, None, {**_EVENTS, **headers}, True)
        async with self.in_use():
            try:
                return await stream(
                    self.reactor,
                    start,
                    take,
                    deadline=self.timeout,
                    silence=SILENCE,
                    limit=STATUS_LIMIT,
                )
            except ExchangeFailed as error:
                raise Unreachable(error.kind, error.reason) from error

    def _request(
        self,
        method: str,
        segments: Sequence[str],
        body: object,
        headers: Mapping[str, str],
        long_poll: bool,
    ) -> Callable[[], Deferred[Any]]:
        """Return a function that sends a request each time it is called."""
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
                self.base.child(*segments) if segments else self.base,
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

        If the server gives a date, it is compared with the server's own C{Date}, if there is one.
        """
        asked = answer.header("Retry-After")
        if asked is None:
            return None
        now = read_date(answer.header("Date") or "")
        return read_retry_after(asked, self.reactor.seconds() if now is None else now)

    def refusal(self, answer: Answer) -> Refused:
        """Return the error that an unexpected answer stands for."""
        code, detail = answer.code, _detail(answer)
        if code in (401, 403):
            return NotAuthorized(code, detail)
        if code == 404:
            return JobNotFound(code, detail)
        if code in (400, 413, 415, 422):
            return BadRequest(code, detail)
        if code == 409:
            return _conflict(answer, detail)
        if code in (408, 425, 429) or code >= 500:
            unavailable = Unavailable(code, detail)
            unavailable.retry_after = self.retry_after(answer)
            return unavailable
        return Refused(code, detail)


class _Problem(Struct):
    """The reason in an error's body: problem+json, or the original contract's C{error}."""

    detail: str | None = None
    error: str | None = None


class _Conflict(Struct):
    """The part of a 409 answer that shows the job as it ended."""

    job: Raw


def read_members(answer: Answer, shape: type[T]) -> T:
    """
    Read the members of a JSON answer that C{shape} has.

    @raise BadAnswer: if the body is not JSON, or a member is missing or of another type.
    """
    try:
        return json.decode(answer.body, type=shape)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"not the expected answer: {error}") from None


def _detail(answer: Answer) -> str:
    """Return the reason that the server gives, or else the phrase that belongs to its code."""
    try:
        problem = read_members(answer, _Problem)
        reason = problem.detail or problem.error
    except BadAnswer:
        reason = None
    if reason:
        return _UNPRINTABLE.sub(" ", reason)[:_DETAIL_LIMIT]
    try:
        return HTTPStatus(answer.code).phrase
    except ValueError:
        return "unknown status"


def _conflict(answer: Answer, detail: str) -> Refused:
    """Return the error for a 409: if the answer shows a job, a report came too late for it."""
    try:
        job = answers.read_job(bytes(read_members(answer, _Conflict).job))
    except (BadAnswer, codec.BadInput):
        return Refused(answer.code, detail)
    cancelled = job.error is not None and job.error.code == CANCELLED
    return (JobCancelled if cancelled else JobFinished)(answer.code, detail, job=job)


def reactor_or_global(reactor: Any) -> Any:
    """Return C{reactor}, or the global reactor instead of C{None}; only then is it imported."""
    if reactor is None:
        from twisted.internet import reactor
    return reactor
