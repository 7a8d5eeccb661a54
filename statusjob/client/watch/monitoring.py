"""
One run of watching a job, from the first request to the last.

It ends once, for whichever reason comes first: a terminal result, answered or
pushed; a stop; an error; the timeout; a cancellation. Ending cancels what is
under way, so that nothing stays on the reactor. A terminal result also teaches
how long the job took, if it was seen closely enough. How the server is asked,
and when again, is in L{statusjob.client.watch.long_poll}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall

from statusjob.client.errors import (
    BadAnswer,
    MonitoringTimeout,
    Refused,
    RetriesExhausted,
    Transient,
)
from statusjob.client.http import answers
from statusjob.client.http.answers import WebhookEvent
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import Session
from statusjob.client.watch.job_age import Lifetime
from statusjob.client.watch.long_poll import Asking, Question, Rules
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date
from statusjob.jobs import DEMO_KIND, Job, Status
from statusjob.pace.durations import learnable_duration

T = TypeVar("T")

_ETAG = re.compile(r'\A(?:W/)?"([0-9a-f-]+)\.[a-z]+"\Z')
#: An ETag longer than this, or not printable ASCII, is not sent back.
_ETAG_LIMIT = 256
#: The ETag of nothing: whoever says that he knows this is answered at once.
_NOTHING = '"0"'


class Monitoring:
    """
    One run.

    @ivar status: the last one seen, C{None} before the first.
    """

    def __init__(
        self,
        session: Session,
        rules: Rules,
        job_id: str | None,
        age: float | None,
        known: Status | None = None,
    ) -> None:
        """
        @param job_id: the job's, if the base URL names it; else the server's ETags tell.
        @param age: the job's in seconds, if it is known.
        @param known: what the answer to its creation told; such a server holds answers.
        """
        self._session = session
        self._rules = rules
        self._job_id = job_id
        self._named_by_base = job_id is not None
        self._etag: str | None = None
        self._known = known
        self._asking = Asking(session, rules, able=known is not None)
        self._known_age = age is not None
        self._life = Lifetime(None if age is None else session.reactor.seconds() - age)
        self._outcome: Status | BaseException | None = None
        self._doing: Deferred[Any] | None = None
        self._loop = LoopingCall(self._tick)
        self._loop.clock = session.reactor
        self.status: Status | None = None

    async def run(self, prepare: Callable[[], Coroutine[Any, Any, None]] | None) -> Status:
        """
        Watch until the end.

        @param prepare: what to do before the first request.
        @return: the terminal status, or after L{end} the one given there.
        @raise StatusjobError: whatever ended it otherwise.
        """
        limit, timer = self._rules.timeout, None
        if limit is not None:
            late = MonitoringTimeout(f"no terminal result within {limit:g} s")
            timer = self._session.reactor.callLater(limit, self.end, late)
        try:
            if self._known is not None:
                self._see(self._known, None)
            if prepare is not None and self._outcome is None:
                await self._unless_over(prepare())
            if self._outcome is None:
                await self._polling()
        finally:
            if timer is not None and timer.active():
                timer.cancel()
        assert self._outcome is not None
        if isinstance(self._outcome, BaseException):
            raise self._outcome
        return self._outcome

    def end(self, outcome: Status | BaseException) -> None:
        """End now, with this outcome; what is under way is cancelled. Only the first counts."""
        if self._outcome is not None:
            return
        self._outcome = outcome
        if self._loop.running:
            self._loop.stop()
        if self._doing is not None:
            self._doing.cancel()

    def push(self, event: WebhookEvent) -> None:
        """Take note of what a webhook brought, if it is the end of the job that is watched."""
        if not event.result.terminal or not self._concerns(event.job):
            return
        if event.job is None:
            span = self._life.ended(self._session.reactor.seconds())
        else:
            duration = learnable_duration(event.job)
            span = None if duration is None else (duration, duration)
        self._see(event.result, span)

    def _concerns(self, job: Job | None) -> bool:
        """
        Whether a pushed update about C{job} is about the job that is watched.

        A server of the original contract names no job, and has only one.
        """
        if job is None:
            return True
        if self._job_id is None:
            # Nothing was answered yet: under a base without an id lives the demo job.
            return job.kind == DEMO_KIND
        return job.id == self._job_id

    def _see(self, status: Status, span: tuple[float, float] | None) -> None:
        """
        Take note of a status, answered or pushed; nothing follows a terminal one.

        @param span: between which ages the job ended, if it did and that is known.
        """
        if self._outcome is not None or (self.status is not None and self.status.terminal):
            return
        if span is not None:
            self._rules.learn(*span)
        if status is not self.status:
            self.status = status
            if self._rules.on_update is not None:
                try:
                    self._rules.on_update(status)
                except Exception as error:
                    # It is the caller's own, and goes to the caller.
                    self.end(error)
        if status.terminal:
            self.end(status)

    def _polling(self) -> Deferred[None]:
        over: Deferred[None] = Deferred(lambda _: self.end(CancelledError()))

        def stopped(_: object) -> None:
            if not over.called:
                over.callback(None)

        wait = self._first_wait()
        self._loop.start(wait, now=not wait).addCallbacks(stopped, over.errback)
        return over

    def _first_wait(self) -> float:
        """
        When to ask for the first time, in seconds from now.

        A job is pending when it is created: that is as good as an answer at age 0. Only one that
        is held tells more.
        """
        if not self._known_age or self._asking.ready:
            return 0.0
        wait = self._rules.pace.next_wait(0.0, draw=self._rules.random())
        return max(0.0, wait - self._life.age(self._session.reactor.seconds()))

    async def _tick(self) -> None:
        wait = 0.0
        # Whoever is to ask again at once keeps its place among the held connections.
        try:
            while self._outcome is None and not wait:
                wait = await self._round()
        except (Refused, RetriesExhausted) as error:
            self.end(error)
        if self._outcome is None:
            # The wait is measured from the answer; a changed interval alone would snap to a grid.
            self._loop.interval = wait
            self._loop.starttime = self._session.reactor.seconds()

    async def _round(self) -> float:
        """
        Ask once; how many seconds to wait before the next time.

        @raise Refused: if the server will not say.
        @raise RetriesExhausted: if it could not once too often.
        """
        self._life.ask(self._session.reactor.seconds())
        first = self.status is None
        with self._asking.question() as question:
            try:
                answer = await self._unless_over(self._ask(question))
                if answer is None:
                    return 0.0
                status = self._read(answer)
            except Transient as problem:
                return self._asking.failed(question, problem)
        now = self._session.reactor.seconds()
        self._see(status, self._span(status, answer, now))
        if self._outcome is not None:
            return 0.0
        return self._asking.answered(question, answer, age=self._life.age(now), first=first)

    def _ask(self, question: Question) -> Coroutine[Any, Any, Answer]:
        headers = question.headers
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        elif question.wait and self.status is None:
            headers["If-None-Match"] = _NOTHING
        return self._session.ask("GET", "status", headers=headers, wait=question.held)

    def _read(self, answer: Answer) -> Status:
        """
        Read an answer to C{GET .../status}.

        @raise BadAnswer: if it is not one.
        @raise Refused: if the server will not say.
        """
        if answer.code == 304 and self.status is not None:
            return self.status
        if answer.code == 304:
            raise BadAnswer("not modified, but nothing was known yet")
        if answer.code != 200:
            raise self._session.refusal(answer)
        try:
            status = answers.read_status(answer.body)
        except codec.BadInput as error:
            raise BadAnswer(str(error)) from error
        self._remember(answer.header("ETag") or "")
        return status

    def _remember(self, etag: str) -> None:
        usable = 0 < len(etag) <= _ETAG_LIMIT and etag.isascii() and etag.isprintable()
        self._etag = etag if usable else None
        named = _ETAG.match(etag)
        if named is not None and codec.is_job_id(named[1]) and not self._named_by_base:
            if self._job_id not in (None, named[1]):
                # Another demo job has taken its place.
                self._life = Lifetime(None)
                self._life.ask(self._session.reactor.seconds())
            self._job_id = named[1]

    def _span(self, status: Status, answer: Answer, now: float) -> tuple[float, float] | None:
        """Note what an answer tells of the job's life; between which ages it ended, if it did."""
        served = read_date(answer.header("Date") or "")
        if served is not None and self._job_id is not None:
            created = _creation(self._job_id)
            # Dates are whole seconds: a lesser age than that is better told by our own clock.
            if created is not None and served - created >= 1:
                self._life.told(now, served - created)
        if not status.terminal:
            self._life.pending()
            return None
        changed = read_date(answer.header("Last-Modified") or "")
        since = None if served is None or changed is None else served - changed
        return self._life.ended(now, since)

    async def _unless_over(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do something that L{end} interrupts; C{None} if it did."""
        self._doing = doing = Deferred.fromCoroutine(work)
        try:
            return await doing
        except CancelledError:
            if self._outcome is None:
                raise
            return None
        finally:
            self._doing = None


def _creation(job_id: str) -> float | None:
    """When a job was created (seconds since the epoch), if its id is a UUIDv7 (RFC 9562 5.7)."""
    return int(job_id[:8] + job_id[9:13], 16) / 1000 if job_id[14] == "7" else None
