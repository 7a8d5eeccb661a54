"""
The answers to those who ask about a job's state, made whole: code, headers and body.

Pure: nothing here has seen a request. A route reads the conditions of a request
(L{statusjob.server.web.reading}), has the answer made here, and sends it
(L{statusjob.server.web.writing.send}). Answers that are kept to be sent again
(L{statusjob.server.web.ready_answers}) are made here, too.
"""

from __future__ import annotations

from collections.abc import Sequence
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


class Entity(NamedTuple):
    """
    What is shown of a state, to whoever asks.

    @ivar tag: the entity tag.
    @ivar changed_at: when the entity was made, in seconds since the epoch.
    @ivar body: JSON.
    @ivar more: headers that only answers with such an entity have.
    """

    tag: bytes
    changed_at: float
    body: bytes
    more: Sequence[tuple[bytes, bytes]] = ()


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


def status_entity(state: State, prefix: str = "") -> Entity:
    """
    What C{GET {base}/status} shows.

    @param prefix: the path of the public URL, for links.
    """
    return Entity(
        status_tag(state),
        state.created_at if state.finished_at is None else state.finished_at,
        status_body(state.result),
        ((b"link", f'<{prefix}/jobs/{state.id}>; rel="monitor"'.encode()),),
    )


def job_entity(job: Job, prefix: str = "") -> Entity:
    """
    What C{GET /jobs/{id}} shows.

    @param prefix: the path of the public URL, for links.
    """
    return Entity(job_tag(job), job.updated_at, codec.encode(job_to_json(job, prefix)))


def operation_entity(job: Job, location: str | None) -> Entity:
    """
    What C{GET /jobs/{id}/operation} shows.

    @param location: the absolute URL of the job, if it is known.
    """
    return Entity(job_tag(job), job.updated_at, codec.encode(operation_to_json(job, location)))


def is_known(tag: bytes, known: frozenset[bytes] | None) -> bool:
    """
    Whether a client has an entity already.

    @param known: as of L{Conditions}.
    """
    return known is not None and (known is ANY or tag in known)


def make_answer(entity: Entity, conditions: Conditions, retry_after: int | None) -> Answer:
    """
    The answer about a state: 304 if the client has this entity, else 200 with it.

    @param retry_after: after how many seconds asking again is worth it; C{None} if the job has
        ended or the answer may have been held.
    """
    tag, changed_at, body, more = entity
    headers = [_VARY]
    if conditions.wait is None:
        headers.append(_REVALIDATE)
        if retry_after is not None:
            headers.append((b"retry-after", b"%d" % retry_after))
    else:
        headers += _NO_STORE, (b"preference-applied", b"wait=%d" % conditions.wait)
    headers += (b"etag", tag), (b"last-modified", write_date(int(changed_at))), *more
    if is_known(tag, conditions.known):
        return Answer(304, headers, b"")
    headers += _JSON, (b"content-length", b"%d" % len(body))
    return Answer(200, headers, body)
