"""
The requests of one run: which is made next, and how long to wait before it.

There are three kinds:

 - stream: follow the job's events, where that is wanted and the server can. The
   job itself is asked for first, so that it is known even if no stream comes
   through. Where one brings nothing, or ends early, the job is long-polled.
 - long poll: ask the server to hold its answer until there is news; then ask
   again at once.
 - polling: ask, and ask again when the polling schedule says so.

The first two keep a request open, so they need a connection slot. A server
whose support for long polls is not known is asked for one with each poll, which
costs nothing. After a failure the next request is always a poll, because a
server may answer that although it does not keep requests open.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, LogLevel

from statusjob.client.errors import BadAnswer, Transient, Unreachable
from statusjob.client.http.event_reader import EventReader, TooLong
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import JOB_LIMIT, Session
from statusjob.client.watch.long_poll import (
    LEAST_WAIT,
    ROUNDING,
    SHORT_WAIT,
    LongPollSupport,
    applied_wait,
)
from statusjob.client.watch.patience import Patience
from statusjob.client.watch.watched import Watched, WatchedJob
from statusjob.pace.bounds import Pace

T = TypeVar("T")

#: After this many streams in a row that brought nothing, no more are opened.
MAX_EMPTY_STREAMS = 2
#: The fewest seconds until the next stream after one that was refused, brought nothing or ended
#: early. The job is long-polled meanwhile.
STREAM_PAUSE = 10.0
#: An entity tag that no state has: a server answers a request with it at once.
_NO_STATE = '"0"'


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """
    How a run asks.

    @ivar pace: when to ask again.
    @ivar max_retries: how many failures in a row are tolerated.
    @ivar timeout: seconds for the whole run; C{None} for no limit.
    @ivar draw: returns random numbers from 0 to 1, for jitter.
    """

    pace: Pace
    max_retries: int
    timeout: float | None
    draw: Callable[[], float]


class Interrupted(Exception):
    """What was under way was cancelled by L{WatchRequests.interrupt}, and by nobody else."""


class _JobEnded(Exception):
    """A stream has brought the last state of its job."""


class WatchRequests:
    """Makes the requests of one run, one at a time."""

    _log = Logger()

    def __init__(
        self,
        session: Session,
        options: WatchOptions,
        watched: Watched,
        update: Callable[[bool], object],
        *,
        long_polls: bool,
    ) -> None:
        """
        @param update: called after each answer; is told whether it brought a new state.
        @param long_polls: whether the server is known to support long polls.
        """
        self._session = session
        self._options = options
        self._watched = watched
        self._update = update
        self._pace = options.pace
        self._clock = session.reactor
        self._support = LongPollSupport(self._clock, session.timeout, confirmed=long_polls)
        # Only a whole job has a stream.
        self._streamed = watched if isinstance(watched, WatchedJob) else None
        self._streams_left = 0 if self._streamed is None else MAX_EMPTY_STREAMS
        self._no_stream_before = 0.0
        self._patience = Patience(self._clock, options.max_retries)
        # After a long poll that was lost: ask by a poll whether the server is there, and if it
        # is, long-poll it again at once, because it was merely restarted.
        self._poll_next = False
        self._resume_long_polls = False
        self._under_way: Deferred[Any] | None = None
        self._interrupted = False

    async def interruptible(self, work: Coroutine[Any, Any, T]) -> T:
        """
        Do something that L{interrupt} cancels.

        @raise Interrupted: if it did.
        """
        under_way: Deferred[T] = Deferred.fromCoroutine(work)
        self._under_way = under_way
        try:
            return await under_way
        except CancelledError:
            if self._interrupted:
                raise Interrupted from None
            raise
        finally:
            self._under_way = None
            self._interrupted = False

    def interrupt(self) -> None:
        """Cancel what is under way, if there is anything."""
        if self._under_way is not None and not self._interrupted:
            self._interrupted = True
            self._under_way.cancel()

    def first_wait(self) -> float:
        """
        Return the seconds until the first request.

        That a job is pending when it is created is as good as an answer at age 0, so a poll would
        tell nothing yet.
        """
        long_poll = self._support.confirmed and self._session.connections.has_free_slot
        if long_poll or not self._watched.job_age.known:
            return 0.0
        wait = self._pace.next_wait(0.0, draw=self._options.draw())
        return max(0.0, wait - self._watched.job_age.age(self._clock.seconds()))

    async def make_one(self) -> float:
        """
        Make one request, and return the seconds to wait before the next one.

        @raise Refused: if the server refused to answer.
        @raise RetriesExhausted: if too many requests failed in a row.
        """
        begun = self._clock.seconds()
        self._watched.job_age.request_sent(begun)
        only_poll = self._poll_next or self._support.paused
        slot = nullcontext(False) if only_poll else self._session.connections.take_slot()
        with slot as has_slot:
            long_poll = has_slot and self._support.confirmed
            try:
                wait = await self._next(has_slot)()
            except Transient as problem:
                return self._failed(problem, self._clock.seconds() - begun, long_poll=long_poll)
        self._patience.succeeded()
        self._poll_next = False
        return wait

    def _next(self, has_slot: bool) -> Callable[[], Coroutine[Any, Any, float]]:
        """Return what makes the next request, and returns the seconds to wait after it."""
        if not has_slot:
            return self._poll
        return self._follow_stream if self._stream_is_due else self._long_poll

    @property
    def _stream_is_due(self) -> bool:
        """Whether to open a stream now. The job must be known, in case nothing comes through."""
        may_open = self._streams_left > 0 and self._watched.known
        return may_open and self._clock.seconds() >= self._no_stream_before

    async def _poll(self) -> float:
        answer, _ = await self._get()
        if self._resume_long_polls:
            self._resume_long_polls = False
            return 0.0
        return self._scheduled(self._session.retry_after(answer))

    async def _long_poll(self) -> float:
        begun, first = self._clock.seconds(), not self._watched.known
        wait = self._support.wait
        answer, is_new = await self._get(wait, expected=wait if self._support.confirmed else 0)
        applied = applied_wait(answer)
        self._support.confirmed = applied >= min(wait, LEAST_WAIT)
        if first and self._stream_is_due:
            return 0.0
        if not self._support.confirmed:
            return self._scheduled(self._session.retry_after(answer))
        if first:
            return 0.0
        took = self._clock.seconds() - begun
        if is_new or took >= min(wait, applied) - ROUNDING:
            self._support.ended_in_time()
            return min(max(0.0, self._pace.request_cost - took), self._pace.request_cost)
        return self._ended_early(self._session.retry_after(answer))

    async def _follow_stream(self) -> float:
        watched, reader = self._streamed, EventReader(JOB_LIMIT)
        assert watched is not None
        begun, has_begun = self._clock.seconds(), False

        def take(piece: bytes) -> None:
            nonlocal has_begun
            has_begun = True
            for event in reader.feed(piece):
                if watched.read_event(event):
                    watched.tell()
            if watched.terminal:
                raise _JobEnded

        assert watched.shown_version is not None
        headers = {"Last-Event-ID": str(watched.shown_version)}
        self._streams_left -= 1
        try:
            answer = await self.interruptible(
                self._session.follow("events", headers=headers, take=take)
            )
        except _JobEnded:
            self._update(False)
            return 0.0
        except TooLong:
            raise BadAnswer(f"an event of more than {JOB_LIMIT} bytes") from None
        except Unreachable as problem:
            if not has_begun and problem.kind != "timeout":
                raise
            self._log.info("a stream broke off: {problem}", problem=str(problem))
            answer = None
        if answer is not None:
            refusal = self._session.refusal(answer)
            if isinstance(refusal, Transient):
                self._pause_streams(refusal.retry_after)
                return 0.0
            # There are no streams here, or no such job: the next request will tell.
            self._streams_left = 0
            return 0.0
        if not has_begun:
            self._pause_streams(None)
            return 0.0
        self._streams_left = MAX_EMPTY_STREAMS
        self._support.confirmed = True
        if self._clock.seconds() - begun >= SHORT_WAIT:
            self._support.ended_in_time()
            return self._backoff(1, reader.retry)
        self._pause_streams(reader.retry)
        # Many streams may have ended together, and all long polls must not begin together.
        return self._backoff(1)

    def _pause_streams(self, retry_after: float | None) -> None:
        """Open no stream for a while; the job is long-polled meanwhile."""
        pause = max(STREAM_PAUSE, self._backoff(1, retry_after))
        self._no_stream_before = self._clock.seconds() + pause

    async def _get(self, wait: int = 0, *, expected: int = 0) -> tuple[Answer, bool]:
        """
        Ask for what is watched.

        @param wait: the seconds for which the server is asked to hold the answer; 0 for a poll.
        @param expected: the seconds for which it is expected to hold it.
        @return: the answer, and whether it told a new state.
        """
        headers = {"Prefer": f"wait={wait}"} if wait else {}
        etag = self._watched.etag
        if etag is None and wait and not self._watched.known:
            etag = _NO_STATE
        if etag is not None:
            headers["If-None-Match"] = etag
        answer = await self.interruptible(
            self._session.ask(
                "GET",
                *self._watched.segments,
                headers=headers,
                limit=self._watched.limit,
                wait=expected,
            )
        )
        is_new = self._watched.read(answer)
        self._update(is_new)
        return answer, is_new

    def _scheduled(self, retry_after: float | None) -> float:
        """Return the seconds to wait by the polling schedule."""
        age = self._watched.job_age.age(self._clock.seconds())
        return self._pace.next_wait(age, draw=self._options.draw(), retry_after=retry_after)

    def _backoff(self, failures: int, retry_after: float | None = None) -> float:
        return self._pace.backoff(failures, draw=self._options.draw(), retry_after=retry_after)

    def _ended_early(self, retry_after: float | None) -> float:
        """Return the seconds to wait after a long poll that ended early."""
        early_ends = self._support.ended_early()
        return self._scheduled(retry_after) if self._support.paused else self._backoff(early_ends)

    def _failed(self, problem: Transient, seconds: float, *, long_poll: bool) -> float:
        """
        Return the seconds to wait after a request that failed.

        @param seconds: how long it took.
        @param long_poll: whether it was a long poll, or a stream, that should have been kept open.
            If it was for a while, this does not count as a failure: between two polls the server
            may be unreachable, too.
        @raise RetriesExhausted: if too many requests failed in a row, or trying again is hopeless.
        """
        self._poll_next = True
        if long_poll:
            self._support.lost(seconds)
            self._resume_long_polls = not self._support.paused
        level = LogLevel.info
        if not long_poll or seconds < self._pace.request_cost:
            self._patience.failed(problem, answered=self._session.answered)
            if self._patience.failures == 1:
                level = LogLevel.warn
        wait = self._backoff(max(1, self._patience.failures), problem.retry_after)
        self._log.emit(
            level, "asking again in {wait:.1f} s: {problem}", wait=wait, problem=str(problem)
        )
        return wait
