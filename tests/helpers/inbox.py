"""A receiver of webhooks that records what arrives, and answers when the test says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob.contract.signing import Message, Verifier

reactor: IReactorTime = _reactor


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    One attempt of a delivery that has arrived.

    @ivar at: when it arrived, by C{time.monotonic}.
    @ivar id: the id of the delivery.
    @ivar path: the path of the webhook's URL.
    """

    at: float
    id: str
    path: str
    job: str
    version: int
    result: str
    body: bytes = field(repr=False)
    headers: Headers = field(repr=False)

    def verified(self, secret: str) -> Message:
        """
        Verify the signature.

        @raise VerificationFailed: if the webhook with this secret did not sign it.
        """
        return Verifier(secret).verify(self.body, self.headers.getRawHeaders, time.time())


class Inbox(Resource):
    """
    Receives webhooks.

    @ivar delay: the seconds until a request is answered. C{None} means not before L{release}.
    @ivar arrivals: all attempts, in the order in which they arrived.
    @ivar results: the terminal results that arrived, by job.
    @ivar busy: the requests that are not answered yet.
    @ivar most: how many requests were unanswered at the same time, at most.
    """

    isLeaf = True

    def __init__(self, delay: float | None = 0.0) -> None:
        super().__init__()
        self.delay = delay
        self.arrivals: list[Arrival] = []
        self.results: dict[str, str] = {}
        self.busy: set[Request] = set()
        self.most = 0
        self._waiters: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def render_POST(self, request: Request) -> int:
        self._note(request)
        self.busy.add(request)
        self.most = max(self.most, len(self.busy))
        request.notifyFinish().addBoth(lambda _: self.busy.discard(request))
        if self.delay == 0:
            self._answer(request)
        elif self.delay is not None:
            reactor.callLater(self.delay, self._answer, request)
        waiters, self._waiters = self._waiters, []
        for condition, waiter in waiters:
            if condition():
                waiter.callback(None)
            else:
                self._waiters.append((condition, waiter))
        return NOT_DONE_YET

    def release(self, delay: float = 0.0) -> None:
        """Answer all requests that wait, and later ones after C{delay} seconds."""
        self.delay = delay
        for request in tuple(self.busy):
            self._answer(request)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Wait until a condition holds. It is checked now and at every arrival."""
        waiter: Deferred[None] = Deferred()
        if condition():
            waiter.callback(None)
        else:
            self._waiters.append((condition, waiter))
        return waiter

    def received(self, jobs: set[str]) -> Deferred[None]:
        """Wait until the ends of these jobs have arrived."""
        return self.until(lambda: jobs <= self.results.keys())

    def _note(self, request: Request) -> None:
        assert request.content is not None
        body = request.content.read()
        payload = json.loads(body)
        (message_id,) = request.requestHeaders.getRawHeaders("webhook-id", [])
        job = payload["job"]
        path = request.path.decode()
        self.arrivals.append(
            Arrival(
                time.monotonic(),
                message_id,
                path,
                job["id"],
                job["version"],
                payload["result"],
                body,
                request.requestHeaders,
            )
        )
        if payload["result"] != "pending":
            self.results[job["id"]] = payload["result"]

    def _answer(self, request: Request) -> None:
        if request in self.busy:
            request.setHeader(b"content-length", b"0")
            request.finish()


def disordered(arrivals: Iterable[Arrival]) -> list[tuple[Arrival, Arrival]]:
    """
    Find arrivals in the wrong order.

    @return: pairs of successive arrivals of one job at one webhook, of which the second is neither
        newer than the first nor its repetition.
    """
    last: dict[tuple[str, str], Arrival] = {}
    wrong = []
    for arrival in arrivals:
        before = last.get((arrival.path, arrival.job))
        if before is not None and arrival.version <= before.version and arrival.id != before.id:
            wrong.append((before, arrival))
        last[arrival.path, arrival.job] = arrival
    return wrong
