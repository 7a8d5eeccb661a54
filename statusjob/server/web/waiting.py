"""
Routes that wait: how long polls are held, and the event streams.
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
from statusjob.jobs import Job
from statusjob.server.errors import TooManyWatchers
from statusjob.server.waiting.event_stream import (
    RETRY_AFTER_END,
    RETRY_MILLISECONDS,
    RETRY_WITHOUT_ROOM,
    EventStream,
)
from statusjob.server.waiting.events import retry_field, set_stream_headers
from statusjob.server.waiting.held_request import LongPoll
from statusjob.server.waiting.watchers import ALL, Topic, job_topic, kind_topic
from statusjob.server.web.access import Authority
from statusjob.server.web.answers import ANY, Conditions, State
from statusjob.server.web.preferences import preferred_wait
from statusjob.server.web.problems import Problem
from statusjob.server.web.reading import checked_job_id, known_tags
from statusjob.server.web.routing import WATCH, WRITE, Routes, route

S = TypeVar("S", bound=State)

#: Most jobs that the query of a stream may name.
JOBS_LIMIT = 100
#: Most jobs whose present state is sent at the beginning of a stream that names none.
SNAPSHOT_LIMIT = 1_000

_EVENT_ID = re.compile(rb"\A[0-9]{1,15}\Z")


class _EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of C{GET /events}."""

    job: Annotated[Sequence[str], Meta(max_length=JOBS_LIMIT)] = ()
    kind: Annotated[Sequence[codec.Kind], Meta(max_length=1)] = ()


def _read_events_query(request: Request) -> tuple[Sequence[str], str | None]:
    """
    Read the query of C{GET /events}.

    @return: the ids of jobs, and a kind. Without either, all jobs are meant.
    @raise statusjob.contract.codec.BadInput: if the query is not valid.
    @raise UnknownJob: if no job can have one of the ids.
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
        raise codec.BadInput("the query must not name both jobs and a kind")
    job_ids = [*dict.fromkeys(checked_job_id(each) for each in query.job)]
    return job_ids, query.kind[0] if query.kind else None


def _authority_for_events(request: Request) -> Authority:
    """Jobs that the query names are watched. Those of a kind, and all jobs, are listed."""
    job_ids, _ = _read_events_query(request)
    return WATCH if job_ids else WRITE


class WatchRoutes(Routes):
    """Long polls and streams."""

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
        """Stream the states of one job, until it ends."""
        job_id = checked_job_id(job_id)
        try:
            with self._stream(request, [job_topic(job_id)]) as stream:
                return self._follow(request, await self.lifecycle.get(job_id), stream)
        except TooManyWatchers:
            return self._follow(request, await self.lifecycle.get(job_id), None)

    def _follow(self, request: Request, job: Job, stream: EventStream | None) -> bytes | Resource:
        """
        Open the stream of one job.

        @param stream: C{None} if there is no room for one. Then the job's state is all that is
            sent, so that the client polls: a browser would never come back after a 503.
        @return: the value that the route must return.
        """
        last = _last_event_id(request)
        if last == job.version and job.result.terminal:
            # This is the only answer after which a browser does not connect again.
            request.setResponseCode(204)
            request.setHeader(b"cache-control", b"no-store")
            return b""
        last = last if last <= job.version else 0
        # Whoever never tells what it knows would come back for the same event for ever.
        ended = job.result.terminal and not last
        if stream is None:
            event = b"" if last == job.version else self.event_encoder.encode(job, with_id=True)
            return self._end_stream(request, event, RETRY_AFTER_END if ended else None)
        if request.method == b"HEAD":
            return _head(request)
        if ended:
            stream.retry = RETRY_AFTER_END
        return stream.open_one(job, last)

    @route("/events", "GET", needs=_authority_for_events)
    async def follow_many(self, request: Request) -> bytes | Resource:
        """Stream the states of many jobs: of those named, those of a kind, or all."""
        job_ids, kind = _read_events_query(request)
        if job_ids:
            topics = [job_topic(each) for each in job_ids]
        else:
            topics = [ALL if kind is None else kind_topic(kind)]
        try:
            with self._stream(request, topics) as stream:
                if not job_ids:
                    job_ids = await self.lifecycle.ids(limit=SNAPSHOT_LIMIT, kind=kind)
                elif missing := await self.lifecycle.unknown_ids(job_ids):
                    raise Problem("unknown-job", f"there is no job {missing[0]}")
                return _head(request) if request.method == b"HEAD" else stream.open_many(job_ids)
        except TooManyWatchers:
            return self._end_stream(request)

    def _stream(self, request: Request, topics: Sequence[Topic]) -> EventStream:
        """
        Make a stream that is not open yet.

        @raise TooManyWatchers: if the server is stopping.
        """
        if self.draining:
            raise TooManyWatchers
        return EventStream(
            request,
            topics,
            watchers=self.watchers,
            reader=self.job_reader,
            encoder=self.event_encoder,
        )

    def _end_stream(
        self, request: Request, event: bytes = b"", retry: tuple[int, int] | None = None
    ) -> bytes:
        """
        Answer with a stream that ends at once.

        @param event: its only event, if there is one.
        @param retry: milliseconds after which the client is to come back; soon if the server is
            stopping, because another one is to be expected, and later if there is no room.
        @return: the value that the route must return.
        """
        set_stream_headers(request)
        usual = RETRY_MILLISECONDS if self.draining else RETRY_WITHOUT_ROOM
        return b"" if request.method == b"HEAD" else retry_field(retry or usual) + event


def _head(request: Request) -> bytes:
    """Answer HEAD with the headers of a stream."""
    set_stream_headers(request)
    return b""


def _last_event_id(request: Request) -> int:
    """
    Read the version that the client of a stream knows: from C{Last-Event-ID}, or else from
    C{lastEventId} in the query, where helpers for old browsers put it, which cannot send headers.

    @return: 0 if it tells none.
    """
    given = request.getHeader(b"last-event-id") or request.args.get(b"lastEventId", [b""])[-1]
    return int(given) if _EVENT_ID.match(given) else 0
