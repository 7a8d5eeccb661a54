"""
Routes of those who wait: how a request is held until there is news, and the streams.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any, TypeVar, cast

from msgspec import Meta, Struct, ValidationError, convert
from twisted.internet.defer import Deferred
from twisted.web.http import Request
from twisted.web.resource import Resource

from statusjob.contract import codec
from statusjob.server.errors import TooManyWatchers
from statusjob.server.waiting.event_stream import EventStream
from statusjob.server.waiting.events import set_stream_headers
from statusjob.server.waiting.held_request import LongPoll
from statusjob.server.waiting.watchers import ALL, Topic, job_topic, kind_topic
from statusjob.server.web.access import Authority
from statusjob.server.web.answers import ANY, Conditions, State
from statusjob.server.web.preferences import preferred_wait
from statusjob.server.web.problems import Problem
from statusjob.server.web.reading import known_tags, path_job
from statusjob.server.web.routing import WATCH, WRITE, Routes, route

S = TypeVar("S", bound=State)

#: Most jobs that one stream names, and most that one that names none begins with.
JOBS_LIMIT = 100
SNAPSHOT_LIMIT = 1_000

_EVENT_ID = re.compile(rb"\A[0-9]{1,15}\Z")


class _EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What C{GET /events} can be asked."""

    job: Annotated[Sequence[str], Meta(max_length=JOBS_LIMIT)] = ()
    kind: Annotated[Sequence[codec.Kind], Meta(max_length=1)] = ()


def _read_events_query(request: Request) -> tuple[Sequence[str], str | None]:
    """
    What C{GET /events} is asked for: the ids of jobs, or else a kind, or else all.

    @raise wire.BadInput: if it cannot be understood.
    @raise UnknownJob: if no job can have such an id.
    """
    given = {
        name.decode("latin-1"): [value.decode("latin-1") for value in dict.fromkeys(values)]
        for name, values in request.args.items()
    }
    try:
        query = convert(given, _EventsQuery)
    except ValidationError as error:
        raise codec.BadInput(f"in the query: {error}") from None
    if query.job and query.kind:
        raise codec.BadInput("the query takes jobs or a kind")
    return [path_job(each) for each in query.job], query.kind[0] if query.kind else None


def _authority_for_events(request: Request) -> Authority:
    """Named jobs may be watched like any one job; a kind and all jobs are a list."""
    job_ids, _ = _read_events_query(request)
    return WATCH if job_ids else WRITE


class WatchRoutes(Routes):
    """Waiting over HTTP."""

    async def current_or_awaited(
        self,
        request: Request,
        job_id: str | None,
        *,
        read: Callable[[str | None], Deferred[S]],
        tag: Callable[[Any], bytes],
        newer: Callable[[Any, Collection[bytes]], bool],
    ) -> tuple[S, Conditions]:
        """
        Read a job's state. If the request prefers to wait, hold it until the state is newer than
        what the client knows or, without C{If-None-Match}, until the job has ended.

        @param job_id: C{None} for the demo job.
        @param read: reads the state.
        @param tag: makes a state's entity tag.
        @param newer: tells whether a state is newer than those with these tags.
        @return: the state, and the conditions that its answer must meet.
        """
        known = known_tags(request)
        seconds = preferred_wait(request) if request.method == b"GET" else None
        if seconds is not None:
            try:
                with LongPoll(self.watchers, job_id, seconds) as long_poll:
                    state = await read(job_id)
                    if known is ANY:
                        # The client knows whatever there is now.
                        known = frozenset({tag(state)})

                    def is_wanted(state: State) -> bool:
                        return state.result.terminal or (known is not None and newer(state, known))

                    if not is_wanted(state):
                        # A job has everything that C{read} brings. When time is up the state is
                        # read again: the job may have been deleted meanwhile.
                        changed = cast(S | None, await long_poll.next_state(is_wanted))
                        state = changed or await read(job_id)
                    return state, Conditions(known, seconds)
            except TooManyWatchers:
                # The client is answered as if it did not prefer to wait.
                pass
        return await read(job_id), Conditions(known)

    @route("/jobs/<job_id>/events", "GET", needs=WATCH)
    async def follow(self, request: Request, job_id: str) -> bytes | Resource:
        """A stream of one job, which ends with it."""
        job_id = path_job(job_id)
        with self._stream(request, [job_topic(job_id)]) as stream:
            job = await self.lifecycle.get(job_id)
            last = _last_event_id(request)
            if last == job.version and job.result.terminal:
                # After anything else a browser would connect again.
                request.setResponseCode(204)
                request.setHeader(b"cache-control", b"no-store")
                return b""
            return _opened(request, stream, [job_id], last if last <= job.version else 0)

    @route("/events", "GET", needs=_authority_for_events)
    async def follow_many(self, request: Request) -> bytes | Resource:
        """A stream of many jobs: those named, those of a kind, or all."""
        job_ids, kind = _read_events_query(request)
        if job_ids:
            topics = [job_topic(each) for each in job_ids]
        else:
            topics = [ALL if kind is None else kind_topic(kind)]
        with self._stream(request, topics) as stream:
            if not job_ids:
                job_ids = await self.lifecycle.ids(limit=SNAPSHOT_LIMIT, kind=kind)
            elif missing := await self.lifecycle.unknown_ids(job_ids):
                raise Problem("unknown-job", f"there is no job {missing[0]}")
            return _opened(request, stream, job_ids)

    def _stream(self, request: Request, topics: Sequence[Topic]) -> EventStream:
        """
        A stream that is not open yet.

        @raise Problem: 503 if the server is stopping.
        """
        if self.draining:
            raise Problem("unavailable", "the server is stopping", headers={"retry-after": "1"})
        return EventStream(
            request,
            topics,
            watchers=self.watchers,
            read_job=self.lifecycle.get,
            encode=self.events.encode,
        )


def _opened(
    request: Request, stream: EventStream, job_ids: Sequence[str], last: int | None = None
) -> bytes | Resource:
    """What a route of streams returns; HEAD is answered with what a stream would begin with."""
    if request.method == b"HEAD":
        set_stream_headers(request)
        return b""
    return stream.open(job_ids, last)


def _last_event_id(request: Request) -> int:
    """The version that the client of a stream knows; 0 for none."""
    given = request.getHeader(b"last-event-id") or b""
    return int(given) if _EVENT_ID.match(given) else 0
