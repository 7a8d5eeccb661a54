"""
Event streams: one answer that goes on for as long as there is something to tell.

An event is the full state of a job. So a client that reads too slowly, or has
only just connected, need not be sent the states that it missed. The stream
notes for which jobs the client is behind, and reads their newest states, one at
a time, as fast as the client takes them.
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

#: Seconds between two comments. A client that has taken nothing for one to two times as long is
#: too slow.
BEAT_SECONDS = 15.0
#: After so many comments the stream of one job reads it again: it may have been deleted.
BEATS_PER_READ = 4
#: Least and most milliseconds after which clients are to reconnect; each is given its own.
RETRY_MILLISECONDS = (1_000, 3_000)
#: The same for a stream of a job that had ended before.
RETRY_AFTER_END = (60_000, 90_000)
#: Most jobs that a stream has to read. A client for which there are more is too slow.
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
        read_job: Callable[[str], Deferred[Job]],
        encode: Callable[[Job], bytes],
    ) -> None:
        """
        @param topics: what to watch; of a stream of one job, that job alone.
        @param read_job: reads a job.
        @param encode: makes an event of a job.
        """
        self.topics = topics
        self._request: Any = request
        self._watchers = watchers
        self._read_job = read_job
        self._encode = encode
        self.retry = RETRY_MILLISECONDS
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

    def open(self, job_ids: Iterable[str], last: int | None = None) -> Resource:
        """
        Go on after C{with}, and send these jobs first.

        @param last: of a stream of one job, the version that its client knows, 0 for none. The
            stream ends with the job.
        @return: the value that the route must return.
        """
        self._opened = True
        self._known_version = last
        self._to_read = {**dict.fromkeys(job_ids), **(self._to_read or {})}
        return _StreamResource(self)

    def begin(self) -> None:
        """Send the first bytes."""
        request = self._request
        request.notifyFinish().addErrback(lambda _: self._leave())
        request.registerProducer(self, True)
        set_stream_headers(request)
        request.write(b"retry: %d\n\n" % randint(*self.retry))
        # Save memory: there may be thousands of streams, for hours.
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
            # The client does not read. An orderly end would have to wait for it.
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
        """Do nothing: when the connection is lost, L{_leave} is called by C{notifyFinish}."""

    def _keep_alive(self) -> bool:
        """
        Send a comment, unless the client takes nothing at present.

        @return: whether the client is fast enough to be kept.
        """
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
                # The event before made the client fall behind, or was the last one.
                return
            self._send(job)
        if self._new_states:
            self._watchers.schedule_turn(self)

    def _fall_behind(self, *job_ids: str) -> None:
        """Have these jobs read, and those whose new states were to be sent."""
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
            # The client reconnects, and is then told what is wrong.
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
            # The job was deleted. The client of its stream learns that when it reconnects.
            if self._known_version is not None:
                self._finish()
            return
        if self._to_read is None:
            # The client has hung up meanwhile.
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
