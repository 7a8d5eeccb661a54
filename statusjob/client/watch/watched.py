"""
What a run of watching asks for: the status of a job, or the whole job.

Each of the two knows the newest state, reads answers into it, and learns from
them how old the job is and how long it took. How and when requests are made is
decided in L{statusjob.client.watch.requests}.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TypeVar

from statusjob.client.errors import BadAnswer
from statusjob.client.http import answers
from statusjob.client.http.event_reader import Event
from statusjob.client.http.exchange import Answer
from statusjob.client.http.session import JOB_LIMIT, STATUS_LIMIT, Session
from statusjob.client.models import LocatedJob, WebhookEvent
from statusjob.client.watch.job_age import JobAge
from statusjob.contract import codec
from statusjob.contract.http_dates import read_date
from statusjob.jobs import DEMO_KIND, EventType, Job, Status
from statusjob.pace.durations import learnable_duration

T = TypeVar("T")

#: Called with an age in seconds at which a job was pending, and one at which it had ended.
Learn = Callable[[float, float], object]

#: A proxy that compresses weakens it, or appends its coding: C{"...pending-gzip"}.
_STATUS_ETAG = re.compile(r'\A(?:W/)?"([0-9a-f-]+)\.[a-z-]+"\Z')
#: An ETag longer than this, or not printable ASCII, is not sent back.
_ETAG_LIMIT = 256
_EVENT_TYPES = frozenset(EventType)


class Watched(ABC):
    """
    What a run asks for.

    @cvar segments: the path of what is asked for, below the base URL.
    @cvar limit: the most bytes that an answer may have.
    @ivar result: the newest result of the job; C{None} before the first.
    @ivar etag: the entity tag of the newest state, if there is one that can be sent back.
    @ivar job_age: how old the job is.
    """

    segments: ClassVar[tuple[str, ...]]
    limit: ClassVar[int]

    def __init__(self, session: Session, job_age: JobAge, learn: Learn) -> None:
        """
        @param learn: called when the job has ended, if it is known how long it took.
        """
        self.result: Status | None = None
        self.etag: str | None = None
        self.job_age = job_age
        self._session = session
        self._learn = learn

    @property
    def known(self) -> bool:
        """Whether any state of the job is known."""
        return self.result is not None

    @property
    def terminal(self) -> bool:
        """Whether the job is known to have ended."""
        return self.result is not None and self.result.terminal

    @abstractmethod
    def read(self, answer: Answer) -> bool:
        """
        Read an answer.

        @return: whether it told a new state.
        @raise BadAnswer: if it is not what the HTTP contract says.
        @raise Refused: if the server refused to answer.
        """

    @abstractmethod
    def tell(self) -> object:
        """
        Tell the newest state to the caller's callback, whose errors come through.

        @return: what the callback returned, which may be awaitable.
        """

    def _is_unchanged(self, answer: Answer) -> bool:
        """Return whether an answer says that the newest state has not changed."""
        if answer.code == 304 and not self.known:
            raise BadAnswer("not modified, but nothing was known yet")
        return answer.code == 304


class WatchedStatus(Watched):
    """
    The status of a job, from C{{base}/status}.

    @ivar job_id: the id of the job; C{None} if it is not known.
    @ivar ended_job: the job as it ended, if a webhook has brought it.
    """

    segments = ("status",)
    limit = STATUS_LIMIT

    def __init__(
        self,
        session: Session,
        *,
        job_id: str | None,
        age: float | None,
        result: Status | None,
        learn: Learn,
        on_update: Callable[[Status], object] | None,
    ) -> None:
        """
        @param job_id: the job's id if the base URL has it; otherwise the server's ETags tell it.
        @param age: the job's age in seconds, if it is known.
        @param result: the job's result, if it is known.
        @param learn: called when the job has ended, if it is known how long it took.
        @param on_update: called with each new result. What it returns may be awaitable.
        """
        job_age = JobAge(None if age is None else session.reactor.seconds() - age)
        super().__init__(session, job_age, learn)
        self.result = result
        self.job_id = job_id
        self.ended_job: Job | None = None
        self._base_has_id = job_id is not None
        self._on_update = on_update

    def tell(self) -> object:
        """Call C{on_update}."""
        if self._on_update is None or self.result is None:
            return None
        return self._on_update(self.result)

    def read(self, answer: Answer) -> bool:
        """Read an answer to C{GET {base}/status}, as in L{Watched.read}."""
        result = self.result
        if not self._is_unchanged(answer) or result is None:
            result = self._session.read(answer, answers.read_status)
            self._read_etag(answer.header("ETag") or "")
        return self._update(result, self._read_dates(result, answer))

    def read_event(self, event: WebhookEvent) -> bool:
        """
        Read what a webhook brought. It only counts if it is the end of this job.

        @return: whether it told a new result.
        """
        if self.terminal or not event.result.terminal or not self._is_about_this(event.job):
            return False
        if event.job is None:
            ages = self.job_age.found_ended(self._session.reactor.seconds())
        else:
            duration = learnable_duration(event.job)
            ages = None if duration is None else (duration, duration)
        self.ended_job = event.job
        return self._update(event.result, ages)

    def _update(self, result: Status, ages: tuple[float, float] | None) -> bool:
        if ages is not None:
            self._learn(*ages)
        is_new = result is not self.result
        self.result = result
        return is_new

    def _is_about_this(self, job: Job | None) -> bool:
        """
        Tell whether a webhook's job is the one that is watched.

        A server of the original contract names no job, and has only one.
        """
        if job is None:
            return True
        if self.job_id is None:
            # Before the first answer: a base URL without an id stands for the demo job.
            return job.kind == DEMO_KIND
        return job.id == self.job_id

    def _read_etag(self, etag: str) -> None:
        usable = 0 < len(etag) <= _ETAG_LIMIT and etag.isascii() and etag.isprintable()
        self.etag = etag if usable else None
        found = _STATUS_ETAG.match(etag)
        if self._base_has_id or found is None or not codec.is_job_id(found[1]):
            return
        if self.job_id not in (None, found[1]):
            # A new demo job has taken the place of the old one.
            self.job_age = JobAge(None)
            self.job_age.request_sent(self._session.reactor.seconds())
        self.job_id = found[1]

    def _read_dates(self, result: Status, answer: Answer) -> tuple[float, float] | None:
        """
        Learn from an answer how old the job is.

        @return: ages in seconds between which the job ended, if it did and if they are known.
        """
        now = self._session.reactor.seconds()
        answered = read_date(answer.header("Date") or "")
        created = None if self.job_id is None else _creation_time(self.job_id)
        # Dates are whole seconds: our own clock measures a lower age better.
        if answered is not None and created is not None and answered - created >= 1:
            self.job_age.server_told(now, answered - created)
        if not result.terminal:
            self.job_age.found_pending()
            return None
        changed = read_date(answer.header("Last-Modified") or "")
        since = None if answered is None or changed is None else answered - changed
        return self.job_age.found_ended(now, since)


class WatchedJob(Watched):
    """
    A whole job with its progress, from C{{base}} or from its stream of events.

    @ivar job: the newest state; C{None} before the first.
    @ivar shown_version: the version that the server showed last. It may be lower than that of
        the newest state, if the server's database was restored.
    """

    segments = ()
    limit = JOB_LIMIT

    def __init__(
        self,
        session: Session,
        *,
        job_id: str,
        learn: Learn,
        on_update: Callable[[LocatedJob], object],
    ) -> None:
        """
        @param learn: called when the job has ended, if its duration says something about others.
        @param on_update: called with each new state.
        """
        super().__init__(session, JobAge(None), learn)
        self.job: LocatedJob | None = None
        self.shown_version: int | None = None
        self._job_id = job_id
        self._on_update = on_update

    def tell(self) -> object:
        """Call C{on_update}."""
        return None if self.job is None else self._on_update(self.job)

    def read(self, answer: Answer) -> bool:
        """Read an answer to C{GET {base}}, as in L{Watched.read}."""
        is_new = not self._is_unchanged(answer) and self._update(self._session.read_job(answer))
        answered = read_date(answer.header("Date") or "")
        if answered is not None and self.job is not None:
            now = self._session.reactor.seconds()
            self.job_age.server_told(now, answered - self.job.created_at)
        return is_new

    def read_event(self, event: Event) -> bool:
        """
        Read an event of the job's stream. Types that are not known yet are ignored.

        @return: whether it told a new state.
        @raise BadAnswer: if it is not what the HTTP contract says.
        """
        return event.type in _EVENT_TYPES and self._update(
            self._session.read_body(event.data.encode(), self._session.decode_job)
        )

    def _update(self, job: LocatedJob) -> bool:
        if job.id != self._job_id:
            raise BadAnswer("the state of another job")
        self.shown_version, self.etag = job.version, f'"{job.version}"'
        if self.terminal or not _is_news(job, self.job):
            return False
        self.job, self.result = job, job.result
        if job.result.terminal:
            duration = learnable_duration(job)
            if duration is not None:
                self._learn(duration, duration)
        return True


def _is_news(job: Job, known: Job | None) -> bool:
    """
    Tell whether a state of a job is worth telling to someone who knows another state.

    Versions begin anew where a server's database was restored from a backup.
    """
    return (
        known is None
        or job.result.terminal
        or job.version > known.version
        or job.updated_at > known.updated_at
    )


def _creation_time(job_id: str) -> float | None:
    """Return the seconds since the epoch that a UUIDv7 tells (RFC 9562 5.7); else C{None}."""
    return int(job_id[:8] + job_id[9:13], 16) / 1000 if job_id[14] == "7" else None
