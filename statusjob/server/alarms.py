"""
Alarms: work that is done when it is due, by one delayed call for each alarm.

The alarms of jobs (deadlines, heartbeats, simulated steps), rounds of delivery,
the forecast and the deletion of old jobs all wait in this way. The work says when
it is due next, and the feed may say that it is due earlier. No alarm sleeps for
long, so that a step of the machine's clock is noticed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from statusjob.server.feed import Feed
from statusjob.server.store.interface import StoreUnavailable, Update

#: The longest sleep, in seconds.
LONGEST_SLEEP = 30.0
#: Seconds to sleep after the work has failed.
RETRY_SLEEP = 1.0
#: Least seconds between two lines of the log about work that fails again and again.
LOG_SECONDS = 60.0
#: The store rounds times to so many seconds. Who wakes that much later is never too early.
_GRAIN = 0.001


class Alarm:
    """
    Does one piece of work whenever it is due, and never twice at the same time.

    @ivar _wanted: the earliest time given to L{set} while the work was being done, or C{None}.
    @ivar _logged_at: when it was logged last, by the reactor's clock, that the work fails; C{None}
        once the work has succeeded since then.
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
        @param name: the name of the work in the log.
        @param work: does the work, and gives the time at which it is due again, in seconds since
            the epoch. A time in the past means at once, and C{None} that no time is known.
        @param now: gives the present, in seconds since the epoch; the reactor's if not given.
        """
        self._reactor = reactor
        self._now = now or reactor.seconds
        self._name = name
        self._work = work
        self._started = False
        self._working = False
        self._wanted: float | None = None
        self._logged_at: float | None = None
        self._call: IDelayedCall | None = None
        self._done: Deferred[None] | None = None

    def start(self) -> None:
        """Do the work now, and from now on whenever it is due."""
        self._started = True
        self._sleep(0.0)

    def set(self, time: float) -> None:
        """Do the work no later than C{time}, in seconds since the epoch."""
        if not self._started:
            return
        if self._working:
            # The work may have read the store before the change that caused this call.
            self._wanted = time if self._wanted is None else min(time, self._wanted)
            return
        wait = max(0.0, time - self._now())
        if self._call is None or self._reactor.seconds() + wait < self._call.getTime():
            self._sleep(wait)

    async def stop(self, seconds: float = 0.0) -> None:
        """
        Do the work no more. If it is being done, wait for its end.

        @param seconds: not used. The work is transactions, which end by themselves.
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
            if self._may_log():
                self._log.warn("{name} must wait: {error}", name=self._name, error=error)
            wait = RETRY_SLEEP
        except Exception:
            if self._may_log():
                self._log.failure("{name} failed", name=self._name)
            wait = RETRY_SLEEP
        else:
            self._logged_at = None
            wanted = [each for each in (next_time, self._wanted) if each is not None]
            wait = min(wanted) - self._now() if wanted else LONGEST_SLEEP
            # Never at once: the work may have seen a time that was rounded down.
            wait = max(wait, _GRAIN)
        self._working = False
        if self._started:
            self._sleep(wait)

    def _may_log(self) -> bool:
        """Whether to log that the work fails: the first time, and then once in a while."""
        present = self._reactor.seconds()
        if self._logged_at is not None and present < self._logged_at + LOG_SECONDS:
            return False
        self._logged_at = present
        return True


def follow(feed: Feed, alarm: Alarm) -> None:
    """
    Set an alarm whenever the feed tells of a job that has something due.

    @param alarm: its work looks at all jobs that have something due.
    """

    def heard(updates: Sequence[Update]) -> None:
        due = [update.due_at for update in updates if update.due_at is not None]
        if due:
            alarm.set(min(due))

    feed.subscribe(heard)
