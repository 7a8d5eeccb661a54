"""Who webhooks are brought to: notes all that comes, and answers when it is told to."""

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
    One attempt of a delivery, as it came.

    @ivar at: when, by C{time.monotonic}.
    @ivar id: of the delivery.
    @ivar path: of the webhook.
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
        """What it says of itself; C{VerificationFailed} if it is not genuine."""
        return Verifier(secret).verify(self.body, self.headers.getRawHeaders, time.time())


class Inbox(Resource):
    """
    Receives webhooks.

    @ivar delay: seconds until it answers; C{None} for not before L{release}.
    @ivar arrivals: all that came, in order.
    @ivar results: by job, the terminal result that came.
    @ivar busy: requests that are not answered yet, and
    @ivar most: how many there were at most.
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
        """Answer what waits; what comes from now on, after so many seconds."""
        self.delay = delay
        for request in tuple(self.busy):
            self._answer(request)

    def until(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Fires when something came and the condition holds, or at once if it holds already."""
        waiter: Deferred[None] = Deferred()
        if condition():
            waiter.callback(None)
        else:
            self._waiters.append((condition, waiter))
        return waiter

    def received(self, jobs: set[str]) -> Deferred[None]:
        """Fires when the end of each of these jobs has come."""
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
    What came too late: pairs of arrivals of which the second is neither newer than the first nor
    its repetition, though no other of the same job came to the same webhook in between.
    """
    last: dict[tuple[str, str], Arrival] = {}
    wrong = []
    for arrival in arrivals:
        before = last.get((arrival.path, arrival.job))
        if before is not None and arrival.version <= before.version and arrival.id != before.id:
            wrong.append((before, arrival))
        last[arrival.path, arrival.job] = arrival
    return wrong
