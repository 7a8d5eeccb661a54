"""
When asking again is worth it: what C{Retry-After} says about pending jobs.

Listens to the feed and remembers, kind by kind, how long the last jobs took and
what their workers had expected. From that comes an L{Outlook}, made anew in a
lane of its own when somebody asks and there is something new; meanwhile the old
one serves. What a start finds in the store is recalled in short reads, one kind
after the other. All that is remembered is bounded, and none of it is needed:
what is forgotten is learned again.
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

from statusjob.jobs import DEMO_KIND, Job, Status
from statusjob.pace.durations import LONGEST, REMEMBERED, learnable_duration
from statusjob.server.alarms import Alarm
from statusjob.server.feed import Feed
from statusjob.server.forecast.outlook import Estimate, Estimated, Outlook
from statusjob.server.lanes import Lane
from statusjob.server.store import past_durations
from statusjob.server.store.interface import Store, Update

#: Kinds that are remembered; beyond, the one that was longest unused is forgotten.
KINDS = 1_000
#: Pending jobs whose estimates are remembered, and how many of each: spread over its life.
ESTIMATED_LIMIT = 10_000
ESTIMATES = 8
#: Jobs with estimates that are remembered of a kind when they have ended.
ESTIMATED = 32
#: Seconds from one outlook of a kind to its next, and between any two pieces of such work: it
#: takes the processor from the reactor, though it is not on its thread.
INTERVAL = 1.0
REST = 0.05
#: Jobs that are recalled in one read.
PAGE = 32


class Pending(Protocol):
    """What is asked of a pending job; each as in L{Job}."""

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


class _Kind:
    """
    What is remembered of a kind.

    @ivar stale: whether something was learned since the outlook was made, or began to be,
    @ivar made_at: at this time of the reactor.
    """

    __slots__ = ("durations", "estimated", "made_at", "outlook", "stale")

    def __init__(self, outlook: Outlook) -> None:
        self.durations: deque[float] = deque(maxlen=REMEMBERED)
        self.estimated: deque[Estimated] = deque(maxlen=ESTIMATED)
        self.outlook = outlook
        self.stale = True
        self.made_at = -math.inf


class _Estimates:
    """
    What the worker of one pending job expects, and has expected.

    Of all that it says, however much that is, a few are kept, evenly spread: one who asks may
    be told any of them, and a job that reports more often has no more to teach.

    @ivar eta_at: when it expects to be done, and
    @ivar since: when it said so first.
    """

    __slots__ = ("_count", "_kept", "_stride", "eta_at", "since")

    def __init__(self) -> None:
        self.eta_at = self.since = 0.0
        self._kept: list[tuple[float, float]] = []
        self._count = 0
        self._stride = 1

    def add(self, at: float, eta_at: float) -> None:
        """It says when it expects to be done; the same again counts from the first time."""
        if eta_at == self.eta_at:
            return
        self.since, self.eta_at = at, eta_at
        if self._count % self._stride == 0:
            if len(self._kept) == ESTIMATES:
                del self._kept[1::2]
                self._stride *= 2
            self._kept.append((at, eta_at - at))
        self._count += 1

    def kept(self, created_at: float) -> list[Estimate]:
        """What is kept, by the age of a job that was created then."""
        return [Estimate(at - created_at, left) for at, left in self._kept]


class Forecast:
    """All kinds of one server."""

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        feed: Feed,
        lane: Lane,
        now: Callable[[], float],
    ) -> None:
        """
        @param lane: where outlooks are made; closed at the end.
        @param now: the present, in seconds since the epoch.
        """
        self._reactor = reactor
        self._store = store
        self._feed = feed
        self._lane = lane
        self._now = now
        self._nothing_known = Outlook()
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()
        self._estimates: OrderedDict[str, _Estimates] = OrderedDict()
        # Kinds of which somebody wants a new outlook, in the order in which they asked.
        self._wanted: dict[str, _Kind] = {}
        self._rested_at = -math.inf
        self._alarm = Alarm(reactor, "forecasts", self._work)
        self._unsubscribe: Callable[[], None] = lambda: None
        # Recalled are jobs that had ended before the start; the feed tells of all others.
        self._started_at = 0.0
        self._recalled: str | None = ""
        self._to_recall = KINDS

    def start(self) -> None:
        """Learn from now on, and recall what is in the store."""
        self._started_at = self._now()
        self._unsubscribe = self._feed.subscribe(self.heard)
        self._alarm.start()

    async def stop(self, seconds: float = 0.0) -> None:
        """
        Learn no more, and close the lane. What is being made or read is waited for.

        @param seconds: not used. One outlook or one kind takes a moment only.
        """
        self._unsubscribe()
        await self._alarm.stop()
        self._lane.close()

    def retry_after(self, job: Pending) -> int:
        """
        How long whoever asks about a pending job should wait before asking again.

        @return: whole seconds, from 1 up to an hour.
        """
        outlook = self._nothing_known
        kind = self._kinds.get(job.kind)
        if kind is not None:
            self._kinds.move_to_end(job.kind)
            outlook = kind.outlook
            if kind.stale and job.kind not in self._wanted:
                self._wanted[job.kind] = kind
                self._alarm.set(self._rested_at)
        return outlook.retry_after(self._now() - job.created_at, self._estimate(job))

    def heard(self, updates: Sequence[Update]) -> None:
        """What the feed tells."""
        for update in updates:
            job = update.job
            if job is None or not update.changed or job.kind == DEMO_KIND:
                continue
            if job.result.terminal:
                said = self._estimates.pop(job.id, None)
                duration = _plausible_duration(job)
                if duration is not None:
                    kind = self._kind(job.kind)
                    kind.durations.append(duration)
                    if said is not None:
                        kind.estimated.append(Estimated(duration, said.kept(job.created_at)))
                    kind.stale = True
            elif job.eta_at is not None:
                self._estimates.setdefault(job.id, _Estimates()).add(job.updated_at, job.eta_at)
                if len(self._estimates) > ESTIMATED_LIMIT:
                    self._estimates.popitem(last=False)

    def _kind(self, name: str) -> _Kind:
        """A kind of which something is to be remembered."""
        if name not in self._kinds:
            self._kinds[name] = _Kind(self._nothing_known)
            if len(self._kinds) > KINDS:
                forgotten, _ = self._kinds.popitem(last=False)
                self._wanted.pop(forgotten, None)
        self._kinds.move_to_end(name)
        return self._kinds[name]

    def _estimate(self, job: Pending) -> Estimate | None:
        """The last word of a job's worker on when it will be done."""
        if job.eta_at is None:
            return None
        said = self._estimates.get(job.id)
        # If it is not remembered, say from before a restart, the last report counts as saying it.
        since, eta_at = (job.updated_at, job.eta_at) if said is None else (said.since, said.eta_at)
        return Estimate(since - job.created_at, eta_at - since) if eta_at >= since else None

    async def _work(self) -> float | None:
        """Make one outlook, or recall one kind; when to go on."""
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

    async def _make(self, kind: _Kind) -> None:
        kind.stale = False
        kind.made_at = self._reactor.seconds()
        kind.outlook = await self._lane.run(
            partial(Outlook, tuple(kind.durations), tuple(kind.estimated))
        )

    async def _recall(self, after: str) -> None:
        """Recall how the last jobs of the next kind ended."""
        name = await self._store.read(lambda tx: past_durations.next_kind(tx, after))
        if name is not None:
            past: list[Job] = []
            for result in (Status.COMPLETED, Status.ERROR):
                past += await self._read(name, result)
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
        """Put what is recalled of a kind before what was learned since the start."""
        new = name not in self._kinds
        if not durations or (new and len(self._kinds) >= KINDS):
            return
        kind = self._kind(name)
        kind.durations = deque(chain(durations, kind.durations), maxlen=REMEMBERED)
        kind.stale = True
        if new:
            # Nobody has used it yet.
            self._kinds.move_to_end(name, last=False)


def _plausible_duration(job: Job) -> float | None:
    """
    The duration of a job that has ended, if it teaches anything: if the clock was set meanwhile
    it need not.
    """
    duration = learnable_duration(job)
    if duration is None or job.finished_at is None:
        return None
    return duration if job.created_at <= job.finished_at and duration <= LONGEST else None
