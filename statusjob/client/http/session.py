"""
What C{StatusClient} and C{WorkerClient} share: how a server is asked.

A session knows the base URL and the token. Connections are shared with all
other sessions of the reactor, and closed before the last user goes on. It reads
from an answer what went wrong; it repeats nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from hyperlink import URL
from msgspec import DecodeError, Raw, Struct, json
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from statusjob.client.errors import (
    BadAnswer,
    BadBaseURL,
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
from statusjob.client.http.connections import shared_connections
from statusjob.client.http.exchange import Answer, exchange
from statusjob.client.http.streaming import EVENT_STREAM, stream
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.failures import ExchangeFailed
from statusjob.jobs import CANCELLED

T = TypeVar("T")

#: Consecutive failures that are outlived.
MAX_RETRIES = 10
#: Seconds for one request, and most bytes of an answer.
REQUEST_TIMEOUT = 10.0
STATUS_LIMIT = 64 * 1024
#: A job with the longest metadata and output, both escaped, stays below this.
JOB_LIMIT = 2 * 1024 * 1024
#: Three of the comments by which a stream says every 15 seconds that it is there.
SILENCE = 45.0
_DETAIL_LIMIT = 500
_JSON = {"Accept": "application/json"}
_EVENTS = {"Accept": EVENT_STREAM}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class Requester(Protocol):
    """What is used of a C{treq.client.HTTPClient}; C{treq.testing.StubTreq} has it, too."""

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
    """How one server is asked, under one base URL."""

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
        @param request_timeout: seconds for one request, answer included.
        @param reactor: C{None} for the global one.
        @param treq: what sends the requests; C{None} for our own, over shared connections.
        @raise BadSetting: if an argument makes no sense.
        """
        if not request_timeout > 0:
            raise BadSetting(f"request_timeout must be above 0 s, not {request_timeout!r}")
        self.base = _read_base(base_url)
        self.reactor: IReactorTime = _global_reactor() if reactor is None else reactor
        self.timeout = request_timeout
        self.connections = shared_connections(self.reactor)
        self._treq = treq
        self._token = token
        self._origin = self.base.replace(path=()).to_text()

    def in_use(self) -> AbstractAsyncContextManager[None]:
        """Connections are kept inside; when the last one leaves they are closed."""
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
        Ask once; whatever the answer is, it is returned.

        @param segments: of the path, below the base.
        @param body: sent as JSON, unless C{None}.
        @param limit: most bytes of the answer's body.
        @param wait: for how many seconds the server may hold the answer; whoever lets it has a
            place for that.
        @raise Unreachable: if none came.
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
        Follow a stream of events to its end. Whoever does has a place for that.

        @param take: is given each piece; what it raises comes through.
        @return: C{None} at its end; the answer, if it is no stream.
        @raise Unreachable: if it broke off, or fell silent.
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
        """What sends a request, when it is called."""
        sent = Headers({"User-Agent": ["statusjob"]})
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
        How many seconds the server asks to wait.

        A date is measured by the server's own clock where it shows it.
        """
        asked = answer.header("Retry-After")
        if asked is None:
            return None
        now = read_date(answer.header("Date") or "")
        return read_retry_after(asked, self.reactor.seconds() if now is None else now)

    def refusal(self, answer: Answer) -> Refused:
        """The error that an answer other than the hoped-for stands for."""
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


class _Encoded(URL):
    """A URL in its encoded form: treq would encode again, and fails at an IPv6 address."""

    __slots__ = ()

    def to_uri(self) -> _Encoded:
        return self


class _Problem(Struct):
    """What is read of an error's body: problem+json, or the original contract's C{error}."""

    detail: str | None = None
    error: str | None = None


class _Carrier(Struct):
    job: Raw


def read_members(answer: Answer, shape: type[T]) -> T:
    """
    Read those members of a JSON answer that C{shape} names.

    @raise BadAnswer: if they are not as it says.
    """
    try:
        return json.decode(answer.body, type=shape)
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswer(f"not the expected answer: {error}") from None


def _detail(answer: Answer) -> str:
    """The server's words, or else the usual ones for its code."""
    try:
        problem = read_members(answer, _Problem)
        words = problem.detail or problem.error
    except BadAnswer:
        words = None
    if words:
        return _UNPRINTABLE.sub(" ", words)[:_DETAIL_LIMIT]
    known = answer.code in HTTPStatus._value2member_map_
    return HTTPStatus(answer.code).phrase if known else "unknown status"


def _conflict(answer: Answer, detail: str) -> Refused:
    """A report that came too late is told by the job in the answer."""
    try:
        job = answers.read_job(bytes(read_members(answer, _Carrier).job))
    except (BadAnswer, codec.BadInput):
        return Refused(answer.code, detail)
    cancelled = job.error is not None and job.error.code == CANCELLED
    return (JobCancelled if cancelled else JobFinished)(answer.code, detail, job=job)


def _read_base(base_url: str) -> _Encoded:
    """
    Read a base URL; a slash at its end makes no difference.

    @raise BadBaseURL: if it is no absolute http(s) URL that paths can be put below.
    """
    try:
        url = URL.from_text(base_url)
        # An address in brackets is encoded already, and IDNA would choke on it.
        url = url if ":" in url.host else url.to_uri()
    except (ValueError, TypeError):
        raise BadBaseURL("the base URL is malformed") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise BadBaseURL("the base URL must begin with http:// or https:// and a host")
    if url.userinfo or url.query or url.fragment:
        raise BadBaseURL("the base URL must have no user, query or fragment")
    if not 0 < (url.port or 0) < 65536:
        raise BadBaseURL("the base URL's port is out of range")
    path = list(url.path)
    while path and not path[-1]:
        path.pop()
    return _Encoded(url.scheme, url.host, path, port=url.port)


def _global_reactor() -> Any:
    from twisted.internet import reactor

    return reactor
