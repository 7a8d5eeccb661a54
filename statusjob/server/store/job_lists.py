"""
Lists of jobs in SQL: pages, ids, and which ids are unknown. The demo job is in none of them.
"""

from __future__ import annotations

from collections.abc import Iterable

from statusjob.jobs import DEMO_KIND, Job, Status
from statusjob.server.store.interface import Row, Tx
from statusjob.server.store.jobs import COLUMNS, job_of

#: A page ends after this many bytes of output, metadata and messages.
PAGE_BYTES = 512 * 1024
#: Jobs that are read at a time for a page.
_PAGE_STEP = 8


def _size(row: Row) -> int:
    return sum(len(row[name] or "") for name in ("output", "metadata", "message"))


def page(
    tx: Tx, *, limit: int, before: str | None, result: Status | None, kind: str | None
) -> tuple[list[Job], bool]:
    """
    A page of jobs, the newest first.

    @param before: go on after the job of this id.
    @param result: only jobs with this result.
    @param kind: only jobs of this kind.
    @return: at most C{limit} jobs, fewer if they are large (L{PAGE_BYTES}), and whether there are
        older ones.
    """
    conditions = ["kind <> :demo"]
    if kind is not None:
        conditions.append("kind = :kind")
    if result is not None:
        conditions.append("result = :result")
    jobs: list[Job] = []
    size = 0
    while True:
        # A few at a time: each may be large, and most pages are not.
        older = [*conditions, *(["id < :before"] if before is not None else [])]
        rows = tx.all(
            f"SELECT {COLUMNS} FROM jobs WHERE {' AND '.join(older)}"
            " ORDER BY id DESC LIMIT :limit",
            kind=kind,
            demo=DEMO_KIND,
            result=None if result is None else result.value,
            before=before,
            limit=_PAGE_STEP,
        )
        for row in rows:
            if len(jobs) == limit or size > PAGE_BYTES:
                return jobs, True
            size += _size(row)
            jobs.append(job_of(row))
        if len(rows) < _PAGE_STEP:
            return jobs, False
        before = jobs[-1].id


def ids(tx: Tx, *, limit: int, kind: str | None) -> list[str]:
    """
    The ids of jobs, the newest first.

    @param kind: only of jobs of this kind.
    """
    of_kind = "" if kind is None else " AND kind = :kind"
    rows = tx.all(
        f"SELECT id FROM jobs WHERE kind <> :demo{of_kind} ORDER BY id DESC LIMIT :limit",
        demo=DEMO_KIND,
        kind=kind,
        limit=limit,
    )
    return [row["id"] for row in rows]


def by_id(tx: Tx, job_ids: Iterable[str]) -> dict[str, Job | None]:
    """
    The jobs with these ids; C{None} for an id that belongs to no job.

    @return: fewer than were asked for if they are large (L{PAGE_BYTES}).
    """
    jobs: dict[str, Job | None] = {}
    size = 0
    for job_id in job_ids:
        if size > PAGE_BYTES:
            break
        row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = :id", id=job_id)
        jobs[job_id] = None if row is None else job_of(row)
        if row is not None:
            size += _size(row)
    return jobs


def unknown_ids(tx: Tx, job_ids: Iterable[str]) -> list[str]:
    """Those of the ids that belong to no job."""
    sql = "SELECT 1 AS one FROM jobs WHERE id = :id"
    return [each for each in job_ids if tx.one(sql, id=each) is None]
