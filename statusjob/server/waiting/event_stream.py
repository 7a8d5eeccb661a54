"""
Streams: one answer that never ends until there is nothing more to tell (server-sent events).

An event is the full state of a job. So whoever reads too slowly, or has only
just come, is not sent what was missed: the stream notes which jobs it is behind
with and reads their newest state, one at a time, as fast as the client takes
it. See the HTML standard, 9.2 (Server-sent events).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import randint
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.http import Request
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from statusjob.jobs import Job
from statusjob.server.errors import UnknownJob
from statusjob.server.store.interface import StoreUnavailable
from statusjob.server.waiting.events import COMMENT, set_stream_headers
from statusjob.server.waiting.watchers import Topic, Watchers

#: Seconds between two comments that keep a connection from looking idle. A client that has taken
#: nothing for between one and two of them is too slow.
BEAT_SECONDS = 15.0
#: Every so many comments a stream of one job reads that anew: it may be there no more.
BEATS_PER_READ = 4
#: Milliseconds after which clients reconnect: not all at the same moment.
RETRY_MILLISECONDS = (1_000, 3_000)
#: Most jobs that a stream is behind with, that are kept for its next turn, and that it writes in
#: one turn.
TO_READ_LIMIT = 2_000
NEW_STATES_LIMIT = 256
TURN_EVENTS = 8

#: For what a stream has no more use for.
_NO_HEADERS = Headers()


@implementer(IPushProducer)
class EventStream:
    """
    One stream.

    Used by C{with}: inside, what it watches is noted; it goes on afterwards if it was L{open}ed.

    @ivar _known_version: of a stream of one job, the version that its client knows; C{None} of
        many.
    @ivar _new_states: what came since its last turn, by job.
    @ivar _to_read: jobs whose newest state is to be read, in order; C{None} if there are none, and
        what comes may be written as it is.
    """

    __slots__ = (
        "_beat_due",
        "_beats",
        "_encode",
        "_known_version",
        "_missed_beats",
        "_new_states",
        "_opened",
        "_paused",
        "_read_job",
        "_reading",
        "_request",
        "_to_read",
        "_watchers",
        "topics",
    )

    _log = Logger()

    def __init__(
        self,
        request: Request,
        topics: Sequence[Topic],
        *,
        watchers: Watchers,
        read_job: Callable[[str], Deferred[Job]],
        encode: Callable[[Job], bytes],
    ) -> None:
        """
        @param read_job: reads a job, and
        @param encode: makes an event of it.
        """
        self.topics = topics
        self._request: Any = request
        self._watchers = watchers
        self._read_job = read_job
        self._encode = encode
        self._known_version: int | None = None
        self._new_states: dict[str, Job] = {}
        self._to_read: dict[str, None] | None = {}
        self._reading = False
        self._opened = False
        self._paused = False
        self._beat_due = False
        self._beats = 0
        self._missed_beats = 0

    def __enter__(self) -> EventStream:
        """
        @raise statusjob.server.errors.TooManyWatchers: if there is no room.
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

    def open(self, job_ids: Iterable[str], last: int | None = None) -> Resource:
        """
        Go on, and show these jobs first.

        @param last: of a stream of one job, which ends with it: the version that the client knows,
            0 for none.
        @return: what the route returns.
        """
        self._opened = True
        self._known_version = last
        self._to_read = {**dict.fromkeys(job_ids), **(self._to_read or {})}
        return _StreamResource(self)

    def begin(self) -> None:
        """Write the first bytes."""
        request = self._request
        request.notifyFinish().addErrback(lambda _: self._leave())
        request.registerProducer(self, True)
        set_stream_headers(request)
        request.write(b"retry: %d\n\n" % randint(*RETRY_MILLISECONDS))
        # It is held for long, and by thousands.
        request.content.close()
        request.content = None
        request.requestHeaders = request.responseHeaders = _NO_HEADERS
        request.args = {}
        self._watchers.set_timer(self, BEAT_SECONDS)
        if self._watchers.stopping:
            self._finish()
        else:
            self._catch_up()

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
        elif len(self._to_read or ()) > TO_READ_LIMIT or (
            self._beat_due and not self._keep_alive()
        ):
            # It would not even read the end.
            self._request.transport.abortConnection()
        elif self._to_read is not None:
            self._catch_up()
        else:
            self._send_new_states()

    def pauseProducing(self) -> None:
        self._paused = True
        self._fall_behind()

    def resumeProducing(self) -> None:
        self._paused = False
        self._missed_beats = 0
        self._catch_up()

    def stopProducing(self) -> None:
        """The connection is gone; L{_leave} is called for that, too."""

    def _keep_alive(self) -> bool:
        """Write a comment, unless the client takes nothing at present; whether it is kept."""
        self._beat_due = False
        self._beats += 1
        self._watchers.set_timer(self, BEAT_SECONDS)
        if self._paused:
            self._missed_beats += 1
        else:
            self._request.write(COMMENT)
            if self._known_version is not None and self._beats % BEATS_PER_READ == 0:
                self._fall_behind(self.topics[0][1])
        return self._missed_beats < 2

    def _send_new_states(self) -> None:
        for job_id in tuple(self._new_states)[:TURN_EVENTS]:
            job = self._new_states.pop(job_id, None)
            if job is None:
                # What was written made it fall behind, or was the end.
                return
            self._send(job)
        if self._new_states:
            self._watchers.schedule_turn(self)

    def _fall_behind(self, *job_ids: str) -> None:
        """Read again what came instead of writing it, and these jobs."""
        if self._to_read is None:
            self._to_read = dict.fromkeys(self._new_states)
            self._new_states.clear()
        self._to_read.update(dict.fromkeys(job_ids))

    def _catch_up(self) -> None:
        if not self._reading and not self._paused:
            Deferred.fromCoroutine(self._read())

    async def _read(self) -> None:
        self._reading = True
        try:
            while self._to_read and not self._paused:
                await self._read_and_send(next(iter(self._to_read)))
        except StoreUnavailable as error:
            # Its client reconnects, and is then told what is wrong.
            self._log.warn("a stream ends early: {error}", error=error)
            self._finish()
        except Exception:
            self._log.failure("a stream failed")
            self._finish()
        self._reading = False
        if not self._to_read and not self._paused:
            self._to_read = None

    async def _read_and_send(self, job_id: str) -> None:
        assert self._to_read is not None
        del self._to_read[job_id]
        try:
            job = await self._read_job(job_id)
        except UnknownJob:
            # It was deleted. Whoever asks for it again learns that; of many, it is one less.
            if self._known_version is not None:
                self._finish()
            return
        if self._to_read is None:
            # The client has left meanwhile.
            return
        if self._paused:
            self._to_read[job_id] = None
        else:
            self._send(job)

    def _send(self, job: Job) -> None:
        if self._known_version is None:
            self._request.write(self._encode(job))
        elif job.version > self._known_version:
            self._known_version = job.version
            self._request.write(b"id: %d\n%b" % (job.version, self._encode(job)))
            if job.result.terminal:
                self._finish()

    def _finish(self) -> None:
        """End the answer."""
        request = self._request
        if self._leave():
            request.unregisterProducer()
            request.finish()

    def _leave(self) -> bool:
        """Watch no longer; whether it did until now."""
        if self._request is None:
            return False
        self._watchers.leave(self)
        self._request = None
        self._new_states.clear()
        self._to_read = None
        return True


class _StreamResource(Resource):
    """Takes the answer over from Klein: what a route returns to say that it does not end there."""

    isLeaf = True

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    def render(self, request: Request) -> int:
        self._stream.begin()
        return NOT_DONE_YET
