"""
Watchers: who waits for which job, and how all of them come to know.

Whoever watches enters first, then reads, then waits, so that no change is lost
in between. What the feed brings is noted at once and dealt with in turns: a few
watchers in each turn of the reactor, however many there are, and each with the
newest state only. All that they wait for by time shares one delayed call. Knows
nothing of HTTP: what a turn sends is the watcher's own business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from statusjob.jobs import DEMO_KIND, Job
from statusjob.server.errors import TooManyWatchers
from statusjob.server.feed import Feed
from statusjob.server.store.interface import Update

#: Most watchers at the same time, and most of one topic.
WATCHERS_LIMIT = 20_000
TOPIC_LIMIT = 1_000
#: How many watchers have their turn in one turn of the reactor.
TURNS_PER_ITERATION = 32
#: Seconds to which times are rounded up: those that then fall together share a call.
TIMER_RESOLUTION = 0.1

#: What can be watched: a job by its id, the demo job, the jobs of a kind, all jobs.
Topic = tuple[str, str]
DEMO: Topic = ("demo", "")
ALL: Topic = ("all", "")


def job_topic(job_id: str | None) -> Topic:
    """A job's topic; of the demo job for C{None}."""
    return DEMO if job_id is None else ("job", job_id)


def kind_topic(kind: str) -> Topic:
    """The topic of all jobs of a kind."""
    return ("kind", kind)


def _topics(job: Job) -> Iterable[Topic]:
    if job.kind == DEMO_KIND:
        return (job_topic(job.id), DEMO)
    return (job_topic(job.id), kind_topic(job.kind), ALL)


class Watcher(Protocol):
    """Somebody who waits. All but L{take_turn} only takes note: thousands are told in a row."""

    @property
    def topics(self) -> Sequence[Topic]:
        """What it watches."""

    def note_update(self, job: Job) -> bool:
        """A job has a new state; say whether that calls for a turn."""

    def note_timer(self) -> None:
        """The time that L{Watchers.set_timer} was told has come; a turn follows."""

    def take_turn(self) -> None:
        """Do what is to be done; it may also be that the server is stopping."""


class Watchers:
    """
    All watchers of one server.

    @ivar stopping: whether nobody is to wait any longer.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        feed: Feed,
        *,
        limit: int = WATCHERS_LIMIT,
        topic_limit: int = TOPIC_LIMIT,
    ) -> None:
        """
        @param limit: most watchers at the same time, and
        @param topic_limit: most of one topic.
        """
        self._reactor = reactor
        self._feed = feed
        self._unsubscribe: Callable[[], None] = lambda: None
        self._limit = limit
        self._topic_limit = topic_limit
        self._topics: dict[Topic, dict[Watcher, None]] = {}
        self._count = 0
        self._timers = _Timers(reactor, self._timers_fired)
        # In the order in which they asked, each once.
        self._turns: dict[Watcher, None] = {}
        self._turning: IDelayedCall | None = None
        self.stopping = False

    def __len__(self) -> int:
        return self._count

    def enter(self, watcher: Watcher) -> None:
        """
        Tell C{watcher} from now on, until it leaves.

        @raise TooManyWatchers: if there is no room.
        """
        crowded = any(
            len(self._topics.get(topic, ())) >= self._topic_limit for topic in watcher.topics
        )
        if crowded or self._count >= self._limit:
            raise TooManyWatchers
        self._count += 1
        for topic in watcher.topics:
            self._topics.setdefault(topic, {})[watcher] = None

    def leave(self, watcher: Watcher) -> None:
        """Tell it no more; one that has entered leaves once."""
        self._count -= 1
        for topic in watcher.topics:
            there = self._topics[topic]
            del there[watcher]
            if not there:
                del self._topics[topic]
        self._timers.forget(watcher)
        self._turns.pop(watcher, None)

    def set_timer(self, watcher: Watcher, seconds: float) -> None:
        """Let it ring after so many seconds, instead of whenever it was to ring before."""
        self._timers.set(watcher, seconds)

    def schedule_turn(self, watcher: Watcher) -> None:
        """Give it a turn, soon."""
        self._turns[watcher] = None
        if self._turning is None:
            self._turning = self._reactor.callLater(0, self._take_turns)

    def start(self) -> None:
        """Hear of updates from now on."""
        self._unsubscribe = self._feed.subscribe(self.handle_updates)

    def handle_updates(self, updates: Sequence[Update]) -> None:
        """What the feed tells."""
        for update in updates:
            job = update.job
            if job is None or not update.changed:
                continue
            for topic in _topics(job):
                for watcher in self._topics.get(topic, ()):
                    if watcher.note_update(job):
                        self.schedule_turn(watcher)

    def end_waits(self) -> None:
        """Let nobody wait any longer; each ends in a turn of its own, soon."""
        self.stopping = True
        for there in self._topics.values():
            for watcher in there:
                self.schedule_turn(watcher)

    def stop(self, seconds: float = 0.0) -> Deferred[None]:
        """
        Hear of no more updates, and leave nothing on the reactor. A watcher that has not left by
        now is never told anything again.

        @param seconds: not used. L{end_waits} was called before, so that requests could end.
        @return: a Deferred that has fired already.
        """
        self._unsubscribe()
        self._timers.clear()
        self._turns.clear()
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None
        return succeed(None)

    def _timers_fired(self, watchers: Collection[Watcher]) -> None:
        for watcher in watchers:
            watcher.note_timer()
            self.schedule_turn(watcher)

    def _take_turns(self) -> None:
        self._turning = None
        for watcher in tuple(islice(self._turns, TURNS_PER_ITERATION)):
            # One turn may have made another watcher leave.
            if watcher in self._turns:
                del self._turns[watcher]
                try:
                    watcher.take_turn()
                except Exception:
                    self._log.failure("a watcher failed")
        if self._turns and self._turning is None:
            self._turning = self._reactor.callLater(0, self._take_turns)


class _Timers:
    """When watchers are to ring: many times, one delayed call."""

    def __init__(
        self, reactor: IReactorTime, fired: Callable[[Collection[Watcher]], None]
    ) -> None:
        """
        @param fired: told all those whose time has come.
        """
        self._reactor = reactor
        self._fired = fired
        # Times are counted in grains; each watcher is in the one that is its own.
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
        # A hundredth more: rounding must not make it wake for nothing, over and over.
        now = self._reactor.seconds() / TIMER_RESOLUTION + 0.01
        for tick in sorted(tick for tick in self._by_time if tick <= now):
            watchers = self._by_time.pop(tick)
            for watcher in watchers:
                del self._time_of[watcher]
            self._fired(watchers)
        if self._by_time:
            self._sleep(min(self._by_time))
