"""
Event streams: one answer that goes on for as long as there is something to tell.

An event is the full state of a job. So a client that reads too slowly, or has
only just connected, need not be sent the states that it missed. The stream
notes for which jobs the client is behind, and reads their newest states, a page
at a time (L{statusjob.server.waiting.job_reader}), as fast as the client takes
them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from statusjob.jobs import Job
from statusjob.server.store.interface import StoreUnavailable
from statusjob.server.waiting.events import (
    COMMENT,
    EventEncoder,
    retry_field,
    set_stream_headers,
)
from statusjob.server.waiting.job_reader import PAGE, JobReader, States
from statusjob.server.waiting.watchers import Topic, Watchers

#: Seconds between two comments. A client that has taken nothing for one to two times as long is
#: too slow.
BEAT_SECONDS = 15.0
#: After so many comments the stream of one job reads it again: it may have been deleted.
BEATS_PER_READ = 4
#: Least and most milliseconds after which clients are to reconnect; each is given its own.
RETRY_MILLISECONDS = (1_000, 3_000)
#: The same for a stream of a job that had ended before.
RETRY_AFTER_END = (60_000, 90_000)
#: The same for a client for whom there is no room: it polls, so to speak.
RETRY_WITHOUT_ROOM = (10_000, 15_000)
#: A client that has more jobs to read is too slow as soon as it has taken nothing for a comment.
TO_READ_LIMIT = 2_000
#: Most new states that are kept for the next turn. Beyond, they are read again.
NEW_STATES_LIMIT = 256
#: Most events that are sent in one turn.
TURN_EVENTS = 8

#: Replaces the headers of a request and its answer once they are not needed any more.
_NO_HEADERS = Headers()


@implementer(IPushProducer)
class EventStream:
    """
    One stream.

    It is used by C{with}: inside, its topics are watched. It goes on afterwards if it was opened.

    @ivar retry: the least and the most milliseconds after which its client is to reconnect; to be
        set before the first bytes are sent.
    @ivar _known_version: of a stream of one job, the version that its client knows; C{None} for a
        stream of many jobs.
    @ivar _new_states: the newest states that have come since the last turn, by job.
    @ivar _to_read: the jobs whose newest state must be read and sent, in order; C{None} if there
        are none, so that new states may be sent as they are.
    @ivar _page: states that were read and are sent next.
    """

    __slots__ = (
        "_beat_due",
        "_beats",
        "_encoder",
        "_known_version",
        "_missed_beats",
        "_new_states",
        "_opened",
        "_page",
        "_paused",
        "_reader",
        "_reading",
        "_request",
        "_to_read",
        "_watchers",
        "retry",
        "topics",
    )

    _log = Logger()

    def __init__(
        self,
        request: Request,
        topics: Sequence[Topic],
        *,
        watchers: Watchers,
        reader: JobReader,
        encoder: EventEncoder,
    ) -> None:
        """
        @param topics: what to watch; of a stream of one job, that job alone.
        @param reader: reads jobs.
        @param encoder: makes events of them.
        """
        self.topics = topics
        self._request: Any = request
        self._watchers = watchers
        self._reader = reader
        self._encoder = encoder
        self.retry = RETRY_MILLISECONDS
        self._known_version: int | None = None
        self._new_states: dict[str, Job] = {}
        self._to_read: dict[str, None] | None = {}
        self._page: deque[Job] = deque()
        self._reading = False
        self._opened = False
        self._paused = False
        self._beat_due = False
        self._beats = 0
        self._missed_beats = 0

    def __enter__(self) -> EventStream:
        """
        @raise statusjob.server.errors.TooManyWatchers: if one of the limits is reached.
        """
        self._watchers.enter(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._opened:
            self._leave()

    def open_one(self, job: Job, last: int) -> Resource:
        """
        Go on after C{with}, and end with the job.

        @param job: as it was read inside C{with}; it is sent first.
        @param last: the version that the client knows, 0 for none.
        @return: the value that the route must return.
        """
        self._known_version = last
        self._page.append(job)
        return self.open_many(())

    def open_many(self, job_ids: Iterable[str]) -> Resource:
        """
        Go on after C{with}, and send the states of these jobs first.

        @return: the value that the route must return.
        """
        self._opened = True
        self._to_read = {**dict.fromkeys(job_ids), **(self._to_read or {})}
        return _StreamResource(self)

    def begin(self) -> None:
        """Send the first bytes."""
        request = self._request
        request.notifyFinish().addErrback(lambda _: self._leave())
        request.registerProducer(self, True)
        set_stream_headers(request)
        request.write(retry_field(self.retry))
        # Save memory: there may be thousands of streams, for hours.
        request.content.close()
        request.content = None
        request.requestHeaders = request.responseHeaders = _NO_HEADERS
        request.args = {}
        self._watchers.set_timer(self, BEAT_SECONDS)
        self._go_on()
        if self._watchers.stopping:
            self._finish()

    def note_update(self, job: Job) -> bool:
        if self._to_read is not None or len(self._new_states) >= NEW_STATES_LIMIT:
            self._fall_behind(job.id)
            return True
        known = self._new_states.get(job.id)
        if known is None or known.version < job.version:
            self._new_states[job.id] = job
        return True

    def note_timer(self) -> None:
        self._beat_due = True

    def take_turn(self) -> None:
        if not self._opened:
            return
        if self._watchers.stopping:
            self._finish()
        elif self._beat_due and not self._keep_alive():
            # The client does not read. An orderly end would have to wait for it.
            self._watchers.limits.note("slow-streams")
            self._request.transport.abortConnection()
        else:
            self._go_on()

    def pauseProducing(self) -> None:
        self._paused = True
        self._fall_behind()

    def resumeProducing(self) -> None:
        self._paused = False
        self._missed_beats = 0
        self._go_on()

    def stopProducing(self) -> None:
        """Do nothing: when the connection is lost, L{_leave} is called by C{notifyFinish}."""

    def _keep_alive(self) -> bool:
        """
        Send a comment, unless the client takes nothing at present.

        @return: whether the client is fast enough to be kept.
        """
        self._beat_due = False
        self._beats += 1
        self._watchers.set_timer(self, BEAT_SECONDS)
        if not self._paused:
            self._request.write(COMMENT)
            if self._known_version is not None and self._beats % BEATS_PER_READ == 0:
                self._fall_behind(self.topics[0][1])
            return True
        self._missed_beats += 1
        return self._missed_beats < 2 and len(self._to_read or ()) <= TO_READ_LIMIT

    def _go_on(self) -> None:
        """Send a few events, as long as there are any and the client takes them."""
        for _ in range(TURN_EVENTS):
            job = None if self._paused or self._request is None else self._next_state()
            if job is None:
                return
            self._send(job)
        if self._request is not None:
            self._watchers.schedule_turn(self)

    def _next_state(self) -> Job | None:
        """
        Take the state that is to be sent next.

        @return: C{None} if there is none, or if one has to be read first.
        """
        if self._page:
            return self._page.popleft()
        if self._to_read:
            self._read_page()
            return None
        if self._reading:
            return None
        self._to_read = None
        return self._new_states.pop(next(iter(self._new_states))) if self._new_states else None

    def _fall_behind(self, *job_ids: str) -> None:
        """Have these jobs read, and those whose states were to be sent."""
        to_read = self._to_read or {}
        to_read.update(dict.fromkeys(self._new_states))
        self._new_states.clear()
        if self._paused:
            to_read.update(dict.fromkeys(job.id for job in self._page))
            self._page.clear()
        to_read.update(dict.fromkeys(job_ids))
        self._to_read = to_read

    def _read_page(self) -> None:
        if self._reading or self._to_read is None:
            return
        job_ids = tuple(islice(self._to_read, PAGE))
        for job_id in job_ids:
            del self._to_read[job_id]
        self._reading = True
        reading = self._reader.read(job_ids)
        reading.addCallback(self._page_read, job_ids).addErrback(self._read_failed)

    def _page_read(self, states: States, job_ids: Sequence[str]) -> None:
        self._reading = False
        if self._request is None:
            # The client has hung up meanwhile.
            return
        for job_id in job_ids:
            if job_id not in states:
                self._fall_behind(job_id)
            elif (job := states[job_id]) is not None:
                self._page.append(job)
            elif self._known_version is not None:
                # The job was deleted. The client of its stream learns that when it reconnects.
                self._finish()
                return
        if self._paused:
            self._fall_behind()
        else:
            self._watchers.schedule_turn(self)

    def _read_failed(self, failure: Failure) -> None:
        # The client reconnects, and is then told what is wrong.
        if failure.check(StoreUnavailable):
            self._watchers.limits.note("store")
        else:
            self._log.failure("a stream failed", failure)
        self._reading = False
        self._finish()

    def _send(self, job: Job) -> None:
        if self._known_version is None:
            self._request.write(self._encoder.encode(job))
        elif job.version > self._known_version:
            self._known_version = job.version
            self._request.write(self._encoder.encode(job, with_id=True))
            if job.result.terminal:
                self._finish()

    def _finish(self) -> None:
        """End the answer, unless it has ended."""
        request = self._request
        if self._leave():
            request.unregisterProducer()
            request.finish()

    def _leave(self) -> bool:
        """
        Stop watching.

        @return: whether the stream was watching until now.
        """
        if self._request is None:
            return False
        self._watchers.leave(self)
        self._request = None
        self._new_states.clear()
        self._page.clear()
        self._to_read = None
        return True


class _StreamResource(Resource):
    """Takes the answer over from Klein, which would end it as soon as the route returns."""

    isLeaf = True

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    def render(self, request: Request) -> int:
        self._stream.begin()
        return NOT_DONE_YET
