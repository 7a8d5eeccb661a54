"""
The answers to those who ask about a job's state, made whole: code, headers and body.

Pure: nothing here has seen a request. A route reads the conditions of a request
(L{statusjob.server.web.reading}), has the answer made here, and sends it
(L{statusjob.server.web.writing.send}).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from statusjob.contract import codec
from statusjob.contract.http_dates import write_date
from statusjob.contract.jobs import job_to_json, operation_to_json, status_body
from statusjob.jobs import Job, Status
from statusjob.server.forecast.learner import PendingJob

#: The value of L{Conditions.known} for C{If-None-Match: *}: the client has any entity.
ANY = frozenset({b"*"})

_VARY = (b"vary", b"Prefer")
_REVALIDATE = (b"cache-control", b"private, no-cache")
_NO_STORE = (b"cache-control", b"no-store")
_JSON = (b"content-type", b"application/json")


class State(PendingJob, Protocol):
    """What an answer shows of a job, whether all of it was read or only what a poll needs."""

    @property
    def result(self) -> Status: ...

    @property
    def finished_at(self) -> float | None: ...


class Conditions(NamedTuple):
    """
    What a request says about the answer that it wants.

    @ivar known: the entity tags of C{If-None-Match}, weak ones as if they were strong; L{ANY} for
        C{*}, C{None} if the header is missing.
    @ivar wait: for how many seconds the answer may have been held (C{Prefer: wait}); C{None} if
        the preference was not given or not applied.
    """

    known: frozenset[bytes] | None = None
    wait: int | None = None


NO_CONDITIONS = Conditions()


class Answer(NamedTuple):
    """
    A whole answer.

    @ivar code: the status code.
    @ivar headers: names in lower case and values, in the order in which they are sent.
    @ivar body: the body; empty for a 304.
    """

    code: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


def status_tag(state: State) -> bytes:
    """The entity tag of a status. It has the result, not the version: progress wakes nobody."""
    return f'"{state.id}.{state.result}"'.encode()


def job_tag(job: Job) -> bytes:
    """The entity tag of a job: its version."""
    return b'"%d"' % job.version


def status_answer(
    state: State, conditions: Conditions, retry_after: int | None, *, prefix: str = ""
) -> Answer:
    """
    The answer to C{GET {base}/status}.

    @param retry_after: after how many seconds asking again is worth it; C{None} if the job has
        ended or the answer may have been held.
    @param prefix: the path of the public URL, for links.
    """
    changed_at = state.created_at if state.finished_at is None else state.finished_at
    link = (b"link", f'<{prefix}/jobs/{state.id}>; rel="monitor"'.encode())
    return _answer(
        status_tag(state),
        changed_at,
        conditions,
        retry_after,
        lambda: status_body(state.result),
        link,
    )


def job_answer(
    job: Job, conditions: Conditions, retry_after: int | None, *, prefix: str = ""
) -> Answer:
    """
    The answer to C{GET /jobs/{id}}; parameters as of L{status_answer}.
    """
    return _answer(
        job_tag(job),
        job.updated_at,
        conditions,
        retry_after,
        lambda: codec.encode(job_to_json(job, prefix)),
    )


def operation_answer(
    job: Job, conditions: Conditions, retry_after: int | None, *, location: str | None
) -> Answer:
    """
    The answer to C{GET /jobs/{id}/operation}; parameters as of L{status_answer}.

    @param location: the absolute URL of the job, if it is known.
    """
    return _answer(
        job_tag(job),
        job.updated_at,
        conditions,
        retry_after,
        lambda: codec.encode(operation_to_json(job, location)),
    )


def _answer(
    tag: bytes,
    changed_at: float,
    conditions: Conditions,
    retry_after: int | None,
    render: Callable[[], bytes],
    *more: tuple[bytes, bytes],
) -> Answer:
    """
    The answer about a state: 304 if the client has this entity, else 200 with it.

    @param changed_at: when the entity was made, in seconds since the epoch.
    @param render: makes the body.
    @param more: more headers.
    """
    known, wait = conditions
    headers = [_VARY]
    if wait is None:
        headers.append(_REVALIDATE)
        if retry_after is not None:
            headers.append((b"retry-after", b"%d" % retry_after))
    else:
        headers += _NO_STORE, (b"preference-applied", b"wait=%d" % wait)
    headers += (b"etag", tag), (b"last-modified", write_date(int(changed_at))), *more
    if known is not None and (known is ANY or tag in known):
        return Answer(304, headers, b"")
    body = render()
    headers += _JSON, (b"content-length", b"%d" % len(body))
    return Answer(200, headers, body)
