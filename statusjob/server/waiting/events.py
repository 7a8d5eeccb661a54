"""
Server-sent events: how a job's state is written to a stream (HTML standard, 9.2).
"""

from __future__ import annotations

from random import randint

from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job

#: A comment, which keeps a connection from looking idle. No empty line follows: several readers
#: would take that for an event.
COMMENT = b":\n"
#: Most bytes of events that are kept for those who are sent the same.
KEPT_BYTES = 1 << 20

#: What some readers take for the end of a line, and how it is written in JSON instead.
_LINE_ENDS = (
    ("\u0085".encode(), b"\\u0085"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)

_HEADERS = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    # nginx buffers answers unless it is told not to.
    (b"x-accel-buffering", b"no"),
)


def set_stream_headers(request: Request) -> None:
    """Give an answer the headers of a stream."""
    for name, value in _HEADERS:
        request.setHeader(name, value)


def retry_field(milliseconds: tuple[int, int]) -> bytes:
    """
    Tell a client when to connect again. No empty line follows, as after L{COMMENT}.

    @param milliseconds: the least and the most; each client is given its own.
    """
    return b"retry: %d\n" % randint(*milliseconds)


class EventEncoder:
    """
    Encodes jobs as events. It keeps some events, because many streams are sent the same ones, a
    few in each turn.
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: path of the public URL, for links.
        """
        self._prefix = prefix
        # By the identity of the job, which is kept so that no other can get it.
        self._kept: dict[int, tuple[Job, bytes]] = {}
        self._size = 0

    def encode(self, job: Job, *, with_id: bool = False) -> bytes:
        """
        Encode a job's state as an event.

        @param with_id: whether the event has an id, which is the version.
        """
        kept = self._kept.get(id(job))
        event = self._encode(job) if kept is None else kept[1]
        return b"id: %d\n%b" % (job.version, event) if with_id else event

    def _encode(self, job: Job) -> bytes:
        data = codec.encode(job_to_json(job, self._prefix))
        for character, escaped in _LINE_ENDS:
            data = data.replace(character, escaped)
        event = b"event: %b\ndata: %b\n\n" % (job.event_type.encode(), data)
        self._size += len(event)
        if self._size > KEPT_BYTES:
            self._kept.clear()
            self._size = len(event)
        self._kept[id(job)] = (job, event)
        return event
