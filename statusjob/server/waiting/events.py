"""
Server-sent events: how a job's state is written to a stream (HTML standard, 9.2).
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job

#: A comment, which keeps a connection from looking idle.
COMMENT = b":\n\n"

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


class EventEncoder:
    """
    Encodes jobs as events. It keeps the last event, because the watchers of one job take their
    turns in a row.
    """

    def __init__(self, prefix: str) -> None:
        """
        @param prefix: path of the public URL, for links.
        """
        self._prefix = prefix
        self._last: tuple[Job, bytes] | None = None

    def encode(self, job: Job) -> bytes:
        """Encode a job's state as an event without an id."""
        if self._last is None or self._last[0] is not job:
            data = codec.encode(job_to_json(job, self._prefix))
            event = b"event: %b\ndata: %b\n\n" % (job.event_type.encode(), data)
            self._last = (job, event)
        return self._last[1]
