"""
Alarms: asynchronous work that is done when it is due, with one delayed call.

Deadlines, heartbeats and simulated steps, retries of deliveries, and forgetting
old jobs all wait like this: the work says when it is wanted next, the feed may
say that it is wanted earlier, and no sleep is long, which is how a clock that
was set is noticed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from statusjob.server.feed import Feed
from statusjob.server.store.interface import StoreUnavailable, Update

#: Longest sleep, in seconds, and the wait after the work failed.
LONGEST_SLEEP = 30.0
RETRY_SLEEP = 1.0
#: The store's grain in seconds: waking that much later is never just before what is due.
_GRAIN = 0.001


class Alarm:
    """
    Does one piece of work whenever it is due, never twice at once.

    @ivar _work: does it; gives the time at which it is wanted next, in seconds since the epoch
        (in the past for at once, C{None} for no time known).
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        name: str,
        work: Callable[[], Awaitable[float | None]],
        *,
        now: Callable[[], float] | None = None,
    ) -> None:
        """
        @param name: of the work, for the log.
        @param now: the present, in seconds since the epoch; by the reactor if not given.
        """
        self._reactor = reactor
        self._now = now or reactor.seconds
        self._name = name
        self._work = work
        self._started = False
        self._working = False
        self._wanted: float | None = None
        self._call: IDelayedCall | None = None
        self._done: Deferred[None] | None = None

    def start(self) -> None:
        """Do the work now, and from now on when it is due."""
        self._started = True
        self._sleep(0.0)

    def set(self, time: float) -> None:
        """Do the work no later than C{time}, in seconds since the epoch."""
        if not self._started:
            return
        if self._working:
            # What is being done may have looked too early to know of this.
            self._wanted = time if self._wanted is None else min(time, self._wanted)
            return
        wait = max(0.0, time - self._now())
        if self._call is None or self._reactor.seconds() + wait < self._call.getTime():
            self._sleep(wait)

    async def stop(self, seconds: float = 0.0) -> None:
        """
        Do the work no more. If it is being done, wait for its end.

        @param seconds: not used. The work is a transaction, which ends by itself.
        """
        self._started = False
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._done is not None:
            await self._done

    def _sleep(self, wait: float) -> None:
        if self._call is not None:
            self._call.cancel()
        wait = 0.0 if wait <= 0 else min(wait + _GRAIN, LONGEST_SLEEP)
        self._call = self._reactor.callLater(wait, self._ring)

    def _ring(self) -> None:
        self._call = None
        self._working = True
        self._done = Deferred.fromCoroutine(self._do())

    async def _do(self) -> None:
        self._wanted = None
        try:
            next_time = await self._work()
        except StoreUnavailable as error:
            self._log.warn("{name} must wait: {error}", name=self._name, error=error)
            wait = RETRY_SLEEP
        except Exception:
            self._log.failure("{name} failed", name=self._name)
            wait = RETRY_SLEEP
        else:
            wanted = [each for each in (next_time, self._wanted) if each is not None]
            wait = min(wanted) - self._now() if wanted else LONGEST_SLEEP
            # Never at once: the work may have seen a time rounded to just before what is due.
            wait = max(wait, _GRAIN)
        self._working = False
        if self._started:
            self._sleep(wait)


def follow(feed: Feed, alarm: Alarm) -> None:
    """Let C{alarm} do its work when a job's alarm is due, as the feed says."""

    def heard(updates: Sequence[Update]) -> None:
        due = [update.due_at for update in updates if update.due_at is not None]
        if due:
            alarm.set(min(due))

    feed.subscribe(heard)
