"""
Writing answers: JSON bodies, validators and cursors.
"""

from __future__ import annotations

from email.utils import formatdate
from functools import lru_cache

from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.jobs import Job


def json_answer(request: Request, value: object) -> bytes:
    """C{value} as the JSON body of an answer."""
    return body_answer(request, codec.encode(value))


def body_answer(request: Request, body: bytes) -> bytes:
    """Bytes of JSON as the body of an answer."""
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def not_modified(request: Request) -> bytes:
    """304; the validators are set already."""
    request.setResponseCode(304)
    return b""


def job_tag(job: Job) -> bytes:
    """The entity tag of a job: its version."""
    return b'"%d"' % job.version


def validators(request: Request, job: Job) -> None:
    """Say at which version a job is, and since when."""
    request.setHeader(b"etag", job_tag(job))
    request.setHeader(b"last-modified", http_date(job.updated_at))


def http_date(seconds: float) -> bytes:
    """A time as HTTP writes it (RFC 9110 5.6.7)."""
    return _http_date(int(seconds))


@lru_cache(maxsize=1024)
def _http_date(seconds: int) -> bytes:
    return formatdate(seconds, usegmt=True).encode()


def cursor(created_at: float, item_id: str) -> str:
    """Where the page after an item begins."""
    return f"{round(created_at * 1000)}.{item_id}"
