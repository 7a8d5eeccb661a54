"""
How requests of a worker are repeated: for how long, and after which waits.

Most requests are repeated for a minute or so. The report that ends a job is repeated for much
longer, because the output would be lost with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorCore
from twisted.logger import Logger, LogLevel

from statusjob.client.errors import RetriesExhausted, Transient, Unreachable
from statusjob.client.http.hopeless import is_hopeless
from statusjob.client.http.session import Session
from statusjob.pace.bounds import RETRY_AFTER_LIMIT, Pace

T = TypeVar("T")

#: Seconds for which a request is repeated by default.
RETRY_FOR = 60.0
#: Seconds for which the final report of a job is repeated, unless its deadline is sooner.
FINAL_RETRY_FOR = 86_400.0
#: Longest wait in seconds between two tries of a request, and of a final report.
LONGEST_WAIT = 30.0
LONGEST_FINAL_WAIT = 60.0
#: Seconds that a final report has left when the process is being stopped.
STOP_GRACE = 5.0
#: How many heartbeats are sent in the time in which the server expects one.
HEARTBEATS_PER_LIMIT = 3
#: Shortest time in seconds between two heartbeats.
SHORTEST_HEARTBEAT = 0.1
#: The part of that time after which a report without an answer is given up, so that there is time
#: to send it again on another connection; but not before so many seconds.
REPORT_TIMEOUT_SHARE = 0.2
SHORTEST_REPORT_TIMEOUT = 0.5


def report_timeout(heartbeat: float | None) -> float:
    """
    Return the seconds after which a report is given up that is not answered.

    A connection may be dead without any sign of it.

    @param heartbeat: the job's heartbeat in seconds, if it has one.
    """
    if heartbeat is None:
        return math.inf
    return max(SHORTEST_REPORT_TIMEOUT, heartbeat * REPORT_TIMEOUT_SHARE)


def heartbeat_interval(limit: float) -> float:
    """
    Return the seconds between two heartbeats.

    @param limit: the longest time in seconds between two reports that the server tolerates.
    """
    return max(SHORTEST_HEARTBEAT, limit / HEARTBEATS_PER_LIMIT)


def failure_level(failures: int) -> Any:
    """
    Return the C{LogLevel} of a failure: the first of several in a row is a warning.

    @param failures: the number of failures in a row.
    """
    return LogLevel.warn if failures == 1 else LogLevel.info


class RetryWaits:
    """How long to wait after a request that failed."""

    def __init__(
        self, longest: float, *, random: Callable[[], float], heartbeat: float | None = None
    ) -> None:
        """
        @param longest: the longest wait in seconds. Only a server may ask for a longer one.
        @param random: returns random numbers from 0 to 1, for jitter.
        @param heartbeat: the job's heartbeat in seconds, if it has one and the request is a
            report on it. No wait is then longer than the time between two heartbeats, whatever
            the server asks for: a server that is back again must hear of the job in time.
        """
        self._cap = None if heartbeat is None else heartbeat_interval(heartbeat)
        longest = longest if self._cap is None else min(longest, self._cap)
        self._pace = Pace(min(1.0, longest), longest)
        self._random = random

    def after(self, failures: int, retry_after: float | None) -> float:
        """
        Return how many seconds to wait.

        @param failures: the number of failures in a row, at least 1.
        @param retry_after: the seconds that the server asks the client to wait, or C{None}.
        """
        least = None if retry_after is None else self.least(retry_after)
        return self._pace.backoff(failures, draw=self._random(), retry_after=least)

    def least(self, retry_after: float) -> float:
        """Return how many of the seconds that the server asks for are waited at least."""
        return min(retry_after, RETRY_AFTER_LIMIT if self._cap is None else self._cap)


class Repetition:
    """
    Repeats one request until it is answered, is refused, or its time is over.

    Time is counted as what was waited for, so that a step of the clock ends nothing.
    """

    _log = Logger()

    def __init__(self, session: Session, waits: RetryWaits, *, seconds: float) -> None:
        """
        @param session: sends the request.
        @param waits: how long to wait between two tries.
        @param seconds: for how long to repeat the request.
        """
        self._reactor: Any = session.reactor
        self._session = session
        self._waits = waits
        self._seconds = seconds
        self._spent = 0.0
        self._asking: Deferred[Any] | None = None
        self._waiting: Deferred[None] | None = None
        self._stopping = False
        self._stopped: Deferred[None] = Deferred()
        self._late: IDelayedCall | None = None

    async def run(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Repeat a request.

        @param ask: makes the request once.
        @raise RetriesExhausted: if it failed with L{Transient} errors until the time was over, if
            the server asks to wait for longer than that, or if it is hopeless.
        """
        failures = 0
        while True:
            begun = self._reactor.seconds()
            try:
                return await self._ask(ask)
            except Transient as problem:
                failures += 1
                took = self._reactor.seconds() - begun
                self._spent += min(max(took, 0.0), self._session.timeout)
                if self._is_over(failures, problem):
                    raise RetriesExhausted(failures, problem) from problem
                left = self._seconds - self._spent
                wait = min(self._waits.after(failures, problem.retry_after), left)
                self._log.emit(
                    failure_level(failures),
                    "asking again in {wait:.1f} s: {problem}",
                    wait=wait,
                    problem=str(problem),
                )
            await self._wait(wait)
            self._spent += wait

    async def run_until_stop(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """
        Repeat a request as L{run} does, but if the process is being stopped, only once more.

        Stopping waits for that, at most L{STOP_GRACE}.
        """
        if not IReactorCore.providedBy(self._reactor):
            # A clock of a test, which nobody stops.
            return await self.run(ask)
        trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        try:
            return await self.run(ask)
        finally:
            if self._stopping:
                self._stopped.callback(None)
            else:
                self._reactor.removeSystemEventTrigger(trigger)
            if self._late is not None and self._late.active():
                self._late.cancel()

    def _is_over(self, failures: int, problem: Transient) -> bool:
        asked = problem.retry_after
        least = 0.0 if asked is None else self._waits.least(asked)
        return (
            self._stopping
            or self._spent + least >= self._seconds
            or is_hopeless(
                problem,
                failures=failures,
                seconds=self._spent,
                answered=self._session.answered,
            )
        )

    async def _ask(self, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        asking: Deferred[T] = Deferred.fromCoroutine(ask())
        self._asking = asking
        try:
            return await asking
        except CancelledError:
            if self._late is None or self._late.active():
                raise
            raise Unreachable("timeout", "the process is being stopped") from None
        finally:
            self._asking = None

    async def _wait(self, seconds: float) -> None:
        self._waiting = waiting = Deferred[None]()
        timer = self._reactor.callLater(seconds, waiting.callback, None)
        try:
            await waiting
        finally:
            self._waiting = None
            if timer.active():
                timer.cancel()

    def _stop(self) -> Deferred[None]:
        """Make the last try now, if none is under way."""
        self._stopping = True
        self._late = self._reactor.callLater(STOP_GRACE, self._give_up)
        if self._waiting is not None:
            self._waiting.callback(None)
        return self._stopped

    def _give_up(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
