"""
The real C{StatusClient} on a virtual clock: how many requests it takes, how late it sees an end.

The server behind it answers at once and in memory; it has nothing but the original contract,
unless it is asked to tell when jobs ended.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers

from statusjob import DurationMemory, StatusClient
from statusjob.pace.durations import Durations
from statusjob.pace.schedule import PollingSchedule

#: Its virtual clock begins here.
EPOCH = 1_700_000_000.0
_DONE = Failure(ResponseDone())


@dataclass(frozen=True)
class Outcome:
    """
    What watching was like.

    @ivar requests: a job, on average.
    @ivar delay: seconds until an end was noticed, on average over those that were.
    @ivar missed: the part of the jobs, 0 to 1, whose end was never noticed.
    """

    requests: float
    delay: float
    missed: float = 0.0

    def cost(self, r: float) -> float:
        """What that costs a job, if a request is worth C{r} seconds."""
        return r * self.requests + self.delay


class _Response:
    """What is used of an C{IResponse}."""

    code = 200

    def __init__(self, body: bytes, headers: dict[str, list[str]]) -> None:
        self.headers = Headers(headers)
        self.length = len(body)
        self._body = body

    def deliverBody(self, protocol: Any) -> None:
        protocol.dataReceived(self._body)
        protocol.connectionLost(_DONE)


class Server:
    """
    A server with one job.

    @ivar requests: how many came.
    """

    def __init__(self, clock: Clock, duration: float, *, tells_times: bool) -> None:
        """
        @param duration: how many seconds from now the job ends.
        @param tells_times: whether answers have C{Date} and C{Last-Modified}.
        """
        self._clock = clock
        self._end = clock.seconds() + duration
        self._tells_times = tells_times
        self.requests = 0

    def request(self, method: str, url: Any, **_: Any) -> Deferred[Any]:
        """Answer, whatever is asked."""
        self.requests += 1
        now = self._clock.seconds()
        ended = now >= self._end
        headers = {}
        if self._tells_times:
            headers["Date"] = [formatdate(now, usegmt=True)]
            if ended:
                headers["Last-Modified"] = [formatdate(self._end, usegmt=True)]
        body = b'{"result": "completed"}' if ended else b'{"result": "pending"}'
        return succeed(_Response(body, headers))


class Known(DurationMemory):
    """A memory that knows what it was given, and learns no more."""

    def __init__(self, durations: Durations) -> None:
        super().__init__()
        self._durations = durations
        self._made: dict[float, PollingSchedule] = {}

    def plan(self, key: str, r: float) -> PollingSchedule:
        """One plan for all."""
        if r not in self._made:
            self._made[r] = self._durations.plan(r)
        return self._made[r]

    def learn(self, key: str, low: float, high: float) -> None:
        """Nothing."""


def after(jobs: Iterable[float]) -> Known:
    """What is known after these jobs."""
    durations = Durations()
    for each in jobs:
        durations = durations.learn(each)
    return Known(durations)


def watch(
    durations: Iterable[float],
    memory: DurationMemory,
    *,
    r: float = 2.0,
    longest: float = 30.0,
    submitted: bool = True,
    tells_times: bool = False,
    seed: int = 0,
) -> list[tuple[int, float]]:
    """
    Watch jobs that take so long, one after the other.

    @param r: the client's C{polling_interval}, and
    @param longest: its C{max_interval}.
    @param submitted: whether the client has just submitted the job; else it asks at age 0, too.
    @return: for each the number of requests and the seconds by which its end was noticed late.
    """
    clock: Any = Clock()
    clock.rightNow = EPOCH
    draw = random.Random(seed)
    seen = []
    for duration in durations:
        server = Server(clock, duration, tells_times=tells_times)
        client = StatusClient(
            "http://benchmark.test",
            polling_interval=r,
            max_interval=max(longest, r),
            durations=memory,
            reactor=clock,
            treq=server,
            random=draw.random,
        )
        began = clock.seconds()
        monitored = client.start_monitoring(age=0.0 if submitted else None)
        while not monitored.called:
            (call,) = clock.getDelayedCalls()
            clock.advance(max(0.0, call.getTime() - clock.seconds()))
        monitored.addErrback(lambda failure: failure.raiseException())
        seen.append((server.requests, clock.seconds() - began - duration))
    return seen


def average(seen: Iterable[tuple[int, float | None]]) -> Outcome:
    """Sum up."""
    requests, delays = zip(*seen, strict=True)
    noticed = [each for each in delays if each is not None]
    return Outcome(
        sum(requests) / len(requests),
        sum(noticed) / len(noticed) if noticed else float("nan"),
        1 - len(noticed) / len(delays),
    )
