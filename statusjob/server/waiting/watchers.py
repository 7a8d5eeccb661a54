"""
Watchers: requests that wait for jobs, and how they learn of updates.

A watcher enters first, then reads the job, then waits, so that no update is
lost in between. When the feed brings an update, each watcher only notes it.
What is to be done then is done in turns (L{statusjob.server.turns}). The timers
of all watchers share one delayed call. This module knows nothing of HTTP: what a watcher sends
in its turn is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from statusjob.jobs import DEMO_KIND, Job
from statusjob.server.errors import TooManyWatchers
from statusjob.server.feed import Feed
from statusjob.server.limits import Limits
from statusjob.server.store.interface import Update
from statusjob.server.turns import Turns

#: Most watchers at the same time.
WATCHERS_LIMIT = 20_000
#: Most watchers of one topic at the same time.
TOPIC_LIMIT = 1_000
#: Most watchers that take a turn in one iteration of the reactor.
TURNS_PER_ITERATION = 32
#: Seconds to a multiple of which timers are rounded up. Those that are then equal fire together.
TIMER_RESOLUTION = 0.1

#: The name of something that can be watched: one job, the demo job, the jobs of a kind, all jobs.
Topic = tuple[str, str]
DEMO: Topic = ("demo", "")
ALL: Topic = ("all", "")


def job_topic(job_id: str | None) -> Topic:
    """
    The topic of one job.

    @param job_id: C{None} for the demo job.
    """
    return DEMO if job_id is None else ("job", job_id)


def kind_topic(kind: str) -> Topic:
    """The topic of all jobs of a kind."""
    return ("kind", kind)


def _topics(job: Job) -> Iterable[Topic]:
    if job.kind == DEMO_KIND:
        return (job_topic(job.id), DEMO)
    return (job_topic(job.id), kind_topic(job.kind), ALL)


class Watcher(Protocol):
    """
    Something that waits for updates of jobs.

    All methods but L{take_turn} must only take note: thousands of watchers are called in a row.
    """

    @property
    def topics(self) -> Sequence[Topic]:
        """The topics that it watches."""

    def note_update(self, job: Job) -> bool:
        """
        Note that a job has a new state.

        @return: whether the watcher needs a turn because of it.
        """

    def note_timer(self) -> None:
        """Note that the timer of L{Watchers.set_timer} has fired. A turn follows."""

    def take_turn(self) -> None:
        """Act upon what was noted, or upon L{Watchers.stopping}."""


class Watchers:
    """
    All watchers of one server.

    @ivar stopping: whether the server is stopping, so that no watcher may wait any longer.
    @ivar limits: counts how often a limit of watchers is reached.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        feed: Feed,
        *,
        limit: int = WATCHERS_LIMIT,
        topic_limit: int = TOPIC_LIMIT,
        limits: Limits | None = None,
    ) -> None:
        """
        @param feed: where updates come from.
        @param limit: most watchers at the same time.
        @param topic_limit: most watchers of one topic at the same time.
        @param limits: counts how often these limits are reached.
        """
        self.limits = limits or Limits(reactor)
        self._feed = feed
        self._unsubscribe: Callable[[], None] = lambda: None
        self._limit = limit
        self._topic_limit = topic_limit
        self._topics: dict[Topic, dict[Watcher, None]] = {}
        self._count = 0
        self._timers = _Timers(reactor, self._timers_fired)
        self._turns: Turns[Watcher] = Turns(
            reactor, lambda watcher: watcher.take_turn(), TURNS_PER_ITERATION
        )
        self.stopping = False

    def __len__(self) -> int:
        return self._count

    def enter(self, watcher: Watcher) -> None:
        """
        Tell C{watcher} of updates from now on, until it leaves.

        @raise TooManyWatchers: if one of the limits is reached.
        """
        crowded = any(
            len(self._topics.get(topic, ())) >= self._topic_limit for topic in watcher.topics
        )
        if crowded or self._count >= self._limit:
            self.limits.note("job-watchers" if crowded else "watchers")
            raise TooManyWatchers
        self._count += 1
        for topic in watcher.topics:
            self._topics.setdefault(topic, {})[watcher] = None

    def leave_room(self, connections: int) -> None:
        """
        Let watchers take three of four connections at most, so that others can still report.

        @param connections: how many there may be.
        """
        self._limit = min(self._limit, connections * 3 // 4)

    def leave(self, watcher: Watcher) -> None:
        """Tell C{watcher} nothing any more. Call this once for each that has entered."""
        self._count -= 1
        for topic in watcher.topics:
            watchers = self._topics[topic]
            del watchers[watcher]
            if not watchers:
                del self._topics[topic]
        self._timers.forget(watcher)
        self._turns.discard(watcher)

    def set_timer(self, watcher: Watcher, seconds: float) -> None:
        """
        Set the one timer of C{watcher}. A timer that was set before is forgotten.

        @param seconds: after which it fires; rounded up to L{TIMER_RESOLUTION}.
        """
        self._timers.set(watcher, seconds)

    def schedule_turn(self, watcher: Watcher) -> None:
        """Let C{watcher} take a turn soon."""
        self._turns.add(watcher)

    def start(self) -> None:
        """Begin to listen to the feed."""
        self._unsubscribe = self._feed.subscribe(self.handle_updates)

    def handle_updates(self, updates: Sequence[Update]) -> None:
        """Tell updates to the watchers that they concern. This is the listener of the feed."""
        for update in updates:
            job = update.job
            if job is None or not update.changed:
                continue
            for topic in _topics(job):
                for watcher in self._topics.get(topic, ()):
                    if watcher.note_update(job):
                        self.schedule_turn(watcher)

    def end_waits(self) -> None:
        """Let all watchers end soon, each in a turn of its own."""
        self.stopping = True
        for watchers in self._topics.values():
            for watcher in watchers:
                self.schedule_turn(watcher)

    def stop(self, seconds: float = 0.0) -> Deferred[None]:
        """
        Stop listening to the feed, and leave nothing on the reactor. A watcher that has not left
        by now is never told anything again.

        @param seconds: not used. L{end_waits} was called before, so that requests could end.
        @return: a Deferred that has fired already.
        """
        self._unsubscribe()
        self._timers.clear()
        self._turns.clear()
        return succeed(None)

    def _timers_fired(self, watchers: Collection[Watcher]) -> None:
        for watcher in watchers:
            watcher.note_timer()
            self.schedule_turn(watcher)


class _Timers:
    """The timers of all watchers, on one delayed call."""

    def __init__(
        self, reactor: IReactorTime, fired: Callable[[Collection[Watcher]], None]
    ) -> None:
        """
        @param fired: called with the watchers whose timers fire at the same time.
        """
        self._reactor = reactor
        self._fired = fired
        # Times are counted in ticks of TIMER_RESOLUTION seconds.
        self._by_time: dict[int, set[Watcher]] = {}
        self._time_of: dict[Watcher, int] = {}
        self._call: IDelayedCall | None = None

    def set(self, watcher: Watcher, seconds: float) -> None:
        self.forget(watcher)
        tick = math.ceil((self._reactor.seconds() + seconds) / TIMER_RESOLUTION)
        self._time_of[watcher] = tick
        self._by_time.setdefault(tick, set()).add(watcher)
        if self._call is None or tick * TIMER_RESOLUTION < self._call.getTime():
            self._sleep(tick)

    def forget(self, watcher: Watcher) -> None:
        tick = self._time_of.pop(watcher, None)
        if tick is None:
            return
        self._by_time[tick].discard(watcher)
        if not self._by_time[tick]:
            del self._by_time[tick]
        if not self._by_time:
            self.clear()

    def clear(self) -> None:
        self._by_time.clear()
        self._time_of.clear()
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _sleep(self, tick: int) -> None:
        if self._call is not None:
            self._call.cancel()
        wait = max(0.0, tick * TIMER_RESOLUTION - self._reactor.seconds())
        self._call = self._reactor.callLater(wait, self._wake)

    def _wake(self) -> None:
        self._call = None
        # A hundredth of a tick more, so that a rounding error does not make it wake in vain.
        now = self._reactor.seconds() / TIMER_RESOLUTION + 0.01
        for tick in sorted(tick for tick in self._by_time if tick <= now):
            watchers = self._by_time.pop(tick)
            for watcher in watchers:
                del self._time_of[watcher]
            self._fired(watchers)
        if self._by_time:
            self._sleep(min(self._by_time))
