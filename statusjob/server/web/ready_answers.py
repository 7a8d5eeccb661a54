"""
Ready answers: whole answers about the jobs that are polled now, as bytes that only need sending.

A route keeps what it has read. From then on, the feed keeps that up to date: of two states, the
later one wins. A read is not kept if the feed has told of the job since the read began, because
the read may be the older of the two. So an answer that is ready is never older than what the feed
has told. Nothing is kept for long: a database that was restored from a copy tells nobody.

The bytes are those that the route would send. They are made by the same functions, once for each
second in which somebody asks, because C{Date} and C{Retry-After} move on.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from twisted.internet.interfaces import IReactorTime

from statusjob.jobs import DEMO_KIND, Job
from statusjob.server.feed import Feed
from statusjob.server.forecast.learner import PendingJob
from statusjob.server.store.interface import Update
from statusjob.server.store.jobs import Poll
from statusjob.server.web.answers import (
    ANY,
    NO_CONDITIONS,
    Conditions,
    Entity,
    is_known,
    job_entity,
    make_answer,
    status_entity,
)
from statusjob.server.web.writing import answer_bytes

#: Seconds for which an answer is kept after its state was read, or told by the feed.
KEPT_SECONDS = 30.0
#: Most bytes that all of them may take.
KEPT_BYTES = 32 * 1024 * 1024
#: Most bytes of a body that is kept. With its head, such an answer has at most 16 KiB.
BODY_LIMIT = 15 * 1024
#: About as many bytes does an answer take without its body, which it has twice.
_OVERHEAD = 2_048


class View(NamedTuple):
    """
    What is shown of jobs at one path below theirs.

    @ivar path: that path.
    @ivar entity: makes what is shown of a state, given the prefix of links, too.
    """

    path: str
    entity: Callable[[Any, str], Entity]


STATUS = View("/status", status_entity)
JOB = View("", job_entity)


class _Kept:
    """
    An answer that is kept.

    @ivar route: the name of its route.
    @ivar until: when it is forgotten, by the reactor's clock.
    @ivar second: the second for which C{made} is right, since the epoch.
    @ivar made: the bytes that were made so far: of 200 at 0, of 304 at 1.
    """

    __slots__ = ("entity", "made", "retry_after", "route", "second", "size", "state", "until")

    def __init__(self, route: str, state: Poll, entity: Entity, until: float) -> None:
        self.route = route
        self.state = state
        self.entity = entity
        self.until = until
        self.size = 2 * len(entity.body) + _OVERHEAD
        self.second = -1
        self.retry_after: int | None = None
        self.made = [b"", b""]


class ReadyAnswers:
    """
    The ready answers of one server.

    @ivar size: how many bytes they take, about.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        feed: Feed,
        retry_after: Callable[[PendingJob], int],
        now: Callable[[], float],
        *,
        prefix: str = "",
        headers: Sequence[tuple[bytes, bytes]] = (),
        limit: int = KEPT_BYTES,
    ) -> None:
        """
        @param feed: tells of updates.
        @param retry_after: says of a pending job after how many seconds asking again is worth it.
        @param now: gives the present, in seconds since the epoch.
        @param prefix: the path of the public URL, for links.
        @param headers: headers that every answer has, besides its own.
        @param limit: most bytes that all answers may take.
        """
        self._reactor = reactor
        self._feed = feed
        self._retry_after = retry_after
        self._now = now
        self._prefix = prefix
        self._headers = headers
        self._limit = limit
        self._unsubscribe: Callable[[], None] = lambda: None
        # By their targets, the one first that is forgotten first.
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        # Of several reads at the same time, only the one is here that began last.
        self._readings: dict[bytes, Reading] = {}
        self.size = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, target: bytes) -> bool:
        return target in self._kept

    def start(self) -> None:
        """Begin to listen to the feed. Nothing may be kept before."""
        self._unsubscribe = self._feed.subscribe(self.handle_updates)

    async def stop(self, seconds: float = 0.0) -> None:
        """
        Forget everything, and stop listening to the feed. No request may follow.

        @param seconds: not used.
        """
        self._unsubscribe()
        self._kept.clear()
        self._readings.clear()
        self.size = 0

    def answer(self, target: bytes, conditions: Conditions) -> tuple[str, int, bytes] | None:
        """
        Find the answer to a GET without C{Prefer}.

        @param target: of the request, as it was sent.
        @return: the name of the route, the status code, and the bytes of the answer to an HTTP/1.1
            client; C{None} if the answer is not ready.
        """
        kept = self._kept.get(target)
        if kept is None:
            return None
        second = int(self._now())
        if second != kept.second:
            if self._reactor.seconds() >= kept.until:
                self._forget(target)
                return None
            self._begin_second(kept, second)
        known = is_known(kept.entity.tag, conditions.known)
        if not kept.made[known]:
            answer = make_answer(
                kept.entity, Conditions(ANY) if known else NO_CONDITIONS, kept.retry_after
            )
            kept.made[known] = answer_bytes(answer, second, self._headers)
        return kept.route, 304 if known else 200, kept.made[known]

    def _begin_second(self, kept: _Kept, second: int) -> None:
        kept.second = second
        kept.made = [b"", b""]
        state = kept.state
        kept.retry_after = None if state.result.terminal else self._retry_after(state)

    def reading(self, view: View, job_id: str | None) -> Reading:
        """
        Note that a state is going to be read.

        @param job_id: C{None} for the demo job.
        """
        if job_id is None:
            return Reading(self, view.path.encode(), f"GET {view.path}")
        return Reading(self, _target(view, job_id), f"GET /jobs/<job_id>{view.path}")

    def handle_updates(self, updates: Sequence[Update]) -> None:
        """Keep up with updates. This is the listener of the feed."""
        for update in updates:
            job = update.job
            if job is not None:
                for view, target in _targets(job.id, demo=job.kind == DEMO_KIND):
                    self._readings.pop(target, None)
                    kept = self._kept.get(target)
                    # Of two demo jobs, the newer has the greater id.
                    if kept is not None and (job.id, job.version) > kept.state[:2]:
                        self.keep(target, kept.route, job, view.entity(job, self._prefix))
            elif update.deleted is not None:
                for _, target in _targets(update.deleted, demo=True):
                    self._readings.pop(target, None)
                    kept = self._kept.get(target)
                    if kept is not None and kept.state.id == update.deleted:
                        self._forget(target)

    def keep(self, target: bytes, route: str, state: Poll | Job, entity: Entity) -> None:
        """Keep the answer of a route, instead of one that was kept before."""
        self._forget(target)
        if len(entity.body) > BODY_LIMIT:
            return
        now = self._reactor.seconds()
        slim = state if isinstance(state, Poll) else Poll.of(state)
        self._kept[target] = kept = _Kept(route, slim, entity, now + KEPT_SECONDS)
        self.size += kept.size
        while self._kept:
            oldest = next(iter(self._kept))
            if self.size <= self._limit and self._kept[oldest].until > now:
                break
            self._forget(oldest)

    def _forget(self, target: bytes) -> None:
        kept = self._kept.pop(target, None)
        if kept is not None:
            self.size -= kept.size


class Reading:
    """A state that is being read, inside C{with}."""

    __slots__ = ("_ready", "_route", "_target")

    def __init__(self, ready: ReadyAnswers, target: bytes, route: str) -> None:
        self._ready = ready
        self._target = target
        self._route = route

    def __enter__(self) -> Reading:
        self._ready._readings[self._target] = self
        return self

    def keep(self, state: Poll | Job, entity: Entity) -> None:
        """
        Keep the answer that shows a state, unless the feed has told of the job since C{with}.

        @param state: as it was read.
        """
        if self._ready._readings.get(self._target) is self:
            self._ready.keep(self._target, self._route, state, entity)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._ready._readings.get(self._target) is self:
            del self._ready._readings[self._target]


def _target(view: View, job_id: str) -> bytes:
    return f"/jobs/{job_id}{view.path}".encode()


def _targets(job_id: str, *, demo: bool) -> Iterable[tuple[View, bytes]]:
    """
    All targets of requests that ask about a job.

    @param demo: whether it may be the demo job.
    """
    targets = [(STATUS, _target(STATUS, job_id)), (JOB, _target(JOB, job_id))]
    return [*targets, (STATUS, STATUS.path.encode())] if demo else targets
