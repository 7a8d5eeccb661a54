"""
Lists of jobs in SQL: pages, ids, and which ids are unknown. The demo job is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from statusjob.jobs import DEMO_KIND, Job, Status
from statusjob.server.store.interface import Row, Tx, UnreadableRow
from statusjob.server.store.jobs import COLUMNS, job_of

#: A page ends after this many bytes of output, metadata and messages.
PAGE_BYTES = 512 * 1024


def _size(row: Row) -> int:
    return sum(len(row[name] or "") for name in ("output", "metadata", "message"))


class JobPage(NamedTuple):
    """
    A page of a list of jobs.

    @ivar after: the id after which the next page begins; C{None} if this is the last.
    @ivar unreadable: the ids of jobs that belong to the page, but cannot be read.
    """

    jobs: list[Job]
    after: str | None
    unreadable: list[str]


class States(NamedTuple):
    """
    The states of jobs.

    @ivar by_id: the jobs, in the order of the ids; C{None} for an id that belongs to no job, or to
        one that cannot be read.
    @ivar unreadable: the ids of jobs that cannot be read.
    """

    by_id: dict[str, Job | None]
    unreadable: list[str]


def page(
    tx: Tx, *, limit: int, before: str | None, result: Status | None, kind: str | None
) -> JobPage:
    """
    A page of jobs, the newest first: at most C{limit}, fewer if they are large (L{PAGE_BYTES}).

    @param before: go on after the job of this id.
    @param result: only jobs with this result.
    @param kind: only jobs of this kind.
    """
    found = ids(tx, limit=limit + 1, before=before, result=result, kind=kind)
    by_id, unreadable = states(tx, found[:limit])
    after = found[len(by_id) - 1] if len(found) > len(by_id) else None
    return JobPage([job for job in by_id.values() if job is not None], after, unreadable)


def ids(
    tx: Tx,
    *,
    limit: int,
    kind: str | None,
    before: str | None = None,
    result: Status | None = None,
) -> list[str]:
    """The ids of jobs, the newest first. The parameters are those of L{page}."""
    conditions = ["kind <> :demo"]
    if kind is not None:
        conditions.append("kind = :kind")
    if result is not None:
        conditions.append("result = :result")
    if before is not None:
        conditions.append("id < :before")
    rows = tx.all(
        f"SELECT id FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit",
        demo=DEMO_KIND,
        kind=kind,
        result=None if result is None else result.value,
        before=before,
        limit=limit,
    )
    return [row["id"] for row in rows]


def states(tx: Tx, job_ids: Iterable[str]) -> States:
    """The jobs with these ids; fewer than were asked for if they are large (L{PAGE_BYTES})."""
    by_id: dict[str, Job | None] = {}
    unreadable = []
    size = 0
    # One at a time: each may be large, and one that cannot be read must not hide the others.
    for job_id in job_ids:
        if size > PAGE_BYTES:
            break
        by_id[job_id] = None
        try:
            row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = :id", id=job_id)
            if row is not None:
                by_id[job_id] = job_of(row)
                size += _size(row)
        except UnreadableRow:
            unreadable.append(job_id)
    return States(by_id, unreadable)


def unknown_ids(tx: Tx, job_ids: Iterable[str]) -> list[str]:
    """Those of the ids that belong to no job."""
    sql = "SELECT 1 AS one FROM jobs WHERE id = :id"
    return [each for each in job_ids if tx.one(sql, id=each) is None]
