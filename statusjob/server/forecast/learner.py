"""
The forecast of one server: when it is worth asking again about a pending job.

It listens to the feed and remembers, for each kind, how long the last jobs took
and what their workers had expected. From that it makes an L{Outlook} for each kind
that somebody asks about, in a lane of its own. While a new outlook is made, the
old one serves. After a start it recalls past jobs from the store in short reads,
one kind after the other. All that is remembered is bounded, and all of it can be
learned again.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from statusjob.jobs import DEMO_KIND, Job, Status
from statusjob.pace.durations import LONGEST, REMEMBERED, learnable_duration
from statusjob.server.alarms import Alarm
from statusjob.server.feed import Feed
from statusjob.server.forecast.job_estimates import JobEstimates
from statusjob.server.forecast.outlook import Estimate, EstimatedJob, Outlook
from statusjob.server.lanes import Lane
from statusjob.server.store import past_durations
from statusjob.server.store.interface import Store, UnreadableRow, Update

#: Most kinds that are remembered. If there are more, the one that was longest unused is forgotten.
KINDS = 1_000
#: Most pending jobs whose estimates are remembered.
ESTIMATED_PENDING = 10_000
#: Most past jobs with estimates that are remembered of one kind.
ESTIMATED_PAST = 32
#: Fewest seconds from one outlook of a kind to its next.
INTERVAL = 1.0
#: Fewest seconds between any two pieces of work: another thread, too, keeps the reactor from the
#: processor.
REST = 0.05
#: Most jobs that are recalled in one read.
PAGE = 32


class PendingJob(Protocol):
    """What the forecast reads of a pending job. Each attribute is as in L{Job}."""

    @property
    def id(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def eta_at(self) -> float | None: ...

    @property
    def created_at(self) -> float: ...

    @property
    def updated_at(self) -> float: ...


class KindMemory:
    """
    The memory of one kind.

    @ivar durations: the durations of past jobs in seconds, the newest last.
    @ivar estimated: the past jobs whose workers had reported estimates, the newest last.
    @ivar outlook: the outlook that is used.
    @ivar stale: whether something was learned since the making of the outlook began.
    @ivar made_at: when the making of the outlook began, by the reactor's clock.
    """

    __slots__ = ("durations", "estimated", "made_at", "outlook", "stale")

    def __init__(self, outlook: Outlook) -> None:
        self.durations: deque[float] = deque(maxlen=REMEMBERED)
        self.estimated: deque[EstimatedJob] = deque(maxlen=ESTIMATED_PAST)
        self.outlook = outlook
        self.stale = True
        self.made_at = -math.inf


class Forecast:
    """
    Says when to ask again, about jobs of all kinds.

    @ivar kinds: the memories of kinds, by kind; the one that was used last comes last.
    @ivar estimates: the estimates of pending jobs, by the job's id.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        feed: Feed,
        lane: Lane,
        now: Callable[[], float],
    ) -> None:
        """
        @param lane: makes the outlooks. The forecast closes it.
        @param now: gives the present, in seconds since the epoch.
        """
        self._reactor = reactor
        self._store = store
        self._feed = feed
        self._lane = lane
        self._now = now
        self._nothing_known = Outlook()
        self.kinds: OrderedDict[str, KindMemory] = OrderedDict()
        self.estimates: OrderedDict[str, JobEstimates] = OrderedDict()
        # The kinds that need a new outlook, in the order in which somebody asked about them.
        self._wanted: dict[str, KindMemory] = {}
        self._rested_at = -math.inf
        self._alarm = Alarm(reactor, "forecasts", self._work)
        self._unsubscribe: Callable[[], None] = lambda: None
        # Only jobs that ended before the start are recalled: the feed tells of all others.
        self._started_at = 0.0
        self._recalled: str | None = ""
        self._to_recall = KINDS

    def start(self) -> None:
        """Learn from the feed from now on, and recall past jobs from the store."""
        self._started_at = self._now()
        self._unsubscribe = self._feed.subscribe(self.handle_updates)
        self._alarm.start()

    async def stop(self, seconds: float = 0.0) -> None:
        """
        Learn no more, and close the lane. A piece of work in progress is waited for.

        @param seconds: not used. One outlook or one kind takes a moment only.
        """
        self._unsubscribe()
        await self._alarm.stop()
        self._lane.close()

    def retry_after(self, job: PendingJob) -> int:
        """
        Compute the C{Retry-After} of an answer that a job is pending.

        @return: whole seconds, from 1 to 3600.
        """
        outlook = self._nothing_known
        kind = self.kinds.get(job.kind)
        if kind is not None:
            self.kinds.move_to_end(job.kind)
            outlook = kind.outlook
            if kind.stale and job.kind not in self._wanted:
                self._wanted[job.kind] = kind
                self._alarm.set(self._rested_at)
        return outlook.retry_after(self._now() - job.created_at, self._estimate(job))

    def handle_updates(self, updates: Sequence[Update]) -> None:
        """Learn from updates: the estimates of pending jobs, and the durations of ended ones."""
        for update in updates:
            job = update.job
            if job is None or not update.changed or job.kind == DEMO_KIND:
                continue
            if job.result.terminal:
                estimates = self.estimates.pop(job.id, None)
                duration = _plausible_duration(job)
                if duration is not None:
                    kind = self._kind(job.kind)
                    kind.durations.append(duration)
                    if estimates is not None:
                        kept = estimates.kept(job.created_at)
                        kind.estimated.append(EstimatedJob(duration, kept))
                    kind.stale = True
            elif job.eta_at is not None:
                self.estimates.setdefault(job.id, JobEstimates()).add(job.updated_at, job.eta_at)
                if len(self.estimates) > ESTIMATED_PENDING:
                    self.estimates.popitem(last=False)

    def _kind(self, name: str) -> KindMemory:
        """Find the memory of a kind, or begin one."""
        if name not in self.kinds:
            self.kinds[name] = KindMemory(self._nothing_known)
            if len(self.kinds) > KINDS:
                forgotten, _ = self.kinds.popitem(last=False)
                self._wanted.pop(forgotten, None)
        self.kinds.move_to_end(name)
        return self.kinds[name]

    def _estimate(self, job: PendingJob) -> Estimate | None:
        """Find the last estimate of a job's worker."""
        if job.eta_at is None:
            return None
        known = self.estimates.get(job.id)
        # If none is remembered, as after a restart, the last report counts as its first time.
        since, eta_at = (
            (job.updated_at, job.eta_at) if known is None else (known.since, known.eta_at)
        )
        return Estimate(since - job.created_at, eta_at - since) if eta_at >= since else None

    async def _work(self) -> float | None:
        """
        Make one outlook, or recall one kind.

        @return: when to go on, by the reactor's clock, or C{None} if there is nothing to do.
        """
        latest = self._reactor.seconds() - INTERVAL
        name = next((name for name, kind in self._wanted.items() if kind.made_at <= latest), None)
        if name is not None:
            await self._make(self._wanted.pop(name))
        elif self._recalled is not None:
            await self._recall(self._recalled)
        self._rested_at = self._reactor.seconds() + REST
        times = [kind.made_at + INTERVAL for kind in self._wanted.values()]
        if self._recalled is not None:
            times.append(self._rested_at)
        return max(self._rested_at, min(times)) if times else None

    async def _make(self, kind: KindMemory) -> None:
        kind.stale = False
        kind.made_at = self._reactor.seconds()
        kind.outlook = await self._lane.run(
            partial(Outlook, tuple(kind.durations), tuple(kind.estimated))
        )

    async def _recall(self, after: str) -> None:
        """
        Recall the past jobs of one kind.

        @param after: the kind that was recalled before it, in alphabetical order.
        """
        name = await self._store.read(lambda tx: past_durations.next_kind(tx, after))
        if name is not None:
            past: list[Job] = []
            for result in (Status.COMPLETED, Status.ERROR):
                try:
                    past += await self._read(name, result)
                except UnreadableRow:
                    self._log.warn("past jobs of the kind {kind} cannot be read", kind=name)
            past.sort(key=attrgetter("finished_at"))
            self._remember(
                name, [each for each in map(_plausible_duration, past) if each is not None]
            )
            self._to_recall -= 1
        self._recalled = name if self._to_recall else None

    async def _read(self, kind: str, result: Status) -> list[Job]:
        jobs: list[Job] = []
        before: str | None = None
        while len(jobs) < REMEMBERED:
            page = await self._store.read(
                partial(past_durations.ended, kind=kind, result=result, before=before, limit=PAGE)
            )
            jobs += page
            if len(page) < PAGE:
                break
            before = page[-1].id
        return [
            job
            for job in jobs
            if job.finished_at is not None and job.finished_at < self._started_at
        ]

    def _remember(self, name: str, durations: list[float]) -> None:
        """Put the durations that were recalled before those that were learned since the start."""
        new = name not in self.kinds
        if not durations or (new and len(self.kinds) >= KINDS):
            return
        kind = self._kind(name)
        kind.durations = deque(chain(durations, kind.durations), maxlen=REMEMBERED)
        kind.stale = True
        if new:
            # Nobody has asked about it yet.
            self.kinds.move_to_end(name, last=False)


def _plausible_duration(job: Job) -> float | None:
    """
    Give the duration of an ended job in seconds, if it is one to learn from.

    If the clock was set meanwhile, the duration may be negative or absurdly long.

    @return: the duration, or C{None}.
    """
    duration = learnable_duration(job)
    if duration is None or job.finished_at is None:
        return None
    return duration if job.created_at <= job.finished_at and duration <= LONGEST else None
