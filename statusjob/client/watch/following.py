"""
One run of following a job with all its updates, to its end.

By a stream where the server has one; else by answers that it holds until there
is news; else at the pace. Each of these takes over when the one before it does
not work, and gives way when that may work again. It is a coroutine: whoever
cancels it leaves nothing on the reactor.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from statusjob.client.errors import BadAnswer, MonitoringTimeout, Transient, Unreachable
from statusjob.client.http import answers
from statusjob.client.http.event_reader import Event, EventReader, TooLong
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import JOB_LIMIT, Session
from statusjob.client.watch.job_age import Lifetime
from statusjob.client.watch.long_poll import Asking, Question, Rules
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date
from statusjob.jobs import EventType, Job
from statusjob.pace.durations import learnable_duration

#: After so many streams in a row that brought nothing no more are opened.
STREAMS = 2

_TYPES = frozenset(EventType)


class _Over(Exception):
    """The stream has brought what there was to come."""


class Following:
    """One run."""

    _log = Logger()

    def __init__(
        self, session: Session, rules: Rules, job_id: str, tell: Callable[[Job], object]
    ) -> None:
        """
        @param tell: is told every state of the job that is newer than the last.
        """
        self._session = session
        self._rules = rules
        self._job_id = job_id
        self._tell = tell
        self._asking = Asking(session, rules, able=False)
        self._life = Lifetime(None)
        self._streams = STREAMS
        self._job: Job | None = None

    async def run(self) -> None:
        """
        Follow the job until it has ended.

        @raise StatusjobError: whatever ended it otherwise.
        """
        following = Deferred.fromCoroutine(self._follow())
        if self._rules.timeout is not None:
            following.addTimeout(self._rules.timeout, self._session.reactor, _too_late)
        await following

    async def _follow(self) -> None:
        async with self._session.in_use():
            while True:
                wait = 0.0
                # Whoever is to ask again at once keeps its place among the held connections.
                while not wait:
                    wait = await self._round()
                    if self._over:
                        return
                await deferLater(self._session.reactor, wait)

    @property
    def _over(self) -> bool:
        return self._job is not None and self._job.result.terminal

    async def _round(self) -> float:
        """Ask once; how many seconds to wait before the next time."""
        self._life.ask(self._session.reactor.seconds())
        with self._asking.question() as question:
            try:
                if question.wait and self._streams:
                    return await self._stream(question)
                return await self._ask(question)
            except Transient as problem:
                return self._asking.failed(question, problem)

    async def _stream(self, question: Question) -> float:
        """Follow a stream, for as long as it lasts."""
        reader = EventReader(JOB_LIMIT)
        begun = False

        def take(piece: bytes) -> None:
            nonlocal begun
            begun = True
            for event in reader.feed(piece):
                self._hear(event)
            if self._over:
                raise _Over

        last = {} if self._job is None else {"Last-Event-ID": str(self._job.version)}
        self._streams -= 1
        try:
            answer = await self._session.follow("events", headers=last, take=take)
        except _Over:
            return 0.0
        except TooLong:
            raise BadAnswer(f"an event of more than {JOB_LIMIT} bytes") from None
        except Unreachable as problem:
            if not begun:
                raise
            self._log.info("a stream broke off: {problem}", problem=str(problem))
            answer = None
        if answer is not None:
            refusal = self._session.refusal(answer)
            if isinstance(refusal, Transient):
                self._streams += 1
                raise refusal
            # There are no streams here, or no such job: asking tells.
            self._streams = 0
            return 0.0
        if begun:
            self._streams = STREAMS
        age = self._life.age(self._session.reactor.seconds())
        return self._asking.broke_off(question, reader.retry, age=age)

    def _hear(self, event: Event) -> None:
        """
        Take an event; of what types there will be one day, nothing is made.

        @raise BadAnswer: if it is none of the contract's.
        """
        if event.type in _TYPES:
            self._see(event.data.encode())

    async def _ask(self, question: Question) -> float:
        """Ask for the job."""
        version = 0 if self._job is None else self._job.version
        headers = question.headers
        if version or question.wait:
            # No job has version 0: who knows that is answered at once.
            headers["If-None-Match"] = f'"{version}"'
        answer = await self._session.ask(
            "GET", headers=headers, limit=JOB_LIMIT, wait=question.held
        )
        news = self._read(answer)
        now = self._session.reactor.seconds()
        served = read_date(answer.header("Date") or "")
        if served is not None and self._job is not None:
            self._life.told(now, served - self._job.created_at)
        return self._asking.answered(
            question, answer, age=self._life.age(now), first=not version, news=news
        )

    def _read(self, answer: Answer) -> bool:
        """
        Read an answer; whether it told anything new.

        @raise BadAnswer: if it is not one.
        @raise Refused: if the server will not say.
        """
        if answer.code == 304 and self._job is not None:
            return False
        if answer.code == 304:
            raise BadAnswer("not modified, but nothing was known yet")
        if answer.code != 200:
            raise self._session.refusal(answer)
        return self._see(answer.body)

    def _see(self, body: bytes) -> bool:
        """Take note of a job, answered or streamed; whether it is newer than what is known."""
        try:
            job = answers.read_job(body)
        except codec.BadInput as error:
            raise BadAnswer(str(error)) from error
        if job.id != self._job_id:
            raise BadAnswer("the state of another job")
        if self._job is not None and job.version <= self._job.version:
            return False
        self._job = job
        if job.result.terminal:
            duration = learnable_duration(job)
            if duration is not None:
                self._rules.learn(duration, duration)
        self._tell(job)
        return True


def _too_late(_: object, limit: float) -> None:
    raise MonitoringTimeout(f"no terminal result within {limit:g} s")
