"""
Past durations in SQL: how jobs ended, as a server reads it after its start.

Every read is short, however many jobs there are: it uses an index, and its result is limited.
"""

from __future__ import annotations

from statusjob.jobs import DEMO_KIND, Job, JobFailure, Status
from statusjob.server.store.interface import Tx


def next_kind(tx: Tx, after: str) -> str | None:
    """
    The next kind in the order of names that has jobs; C{None} if there is none. The demo job's
    kind is left out.
    """
    row = tx.one(
        "SELECT kind FROM jobs WHERE kind > :after AND kind <> :demo ORDER BY kind LIMIT 1",
        after=after,
        demo=DEMO_KIND,
    )
    return None if row is None else row["kind"]


def ended(tx: Tx, kind: str, result: Status, *, before: str | None, limit: int) -> list[Job]:
    """
    Jobs of a kind that ended with a result, the newest first.

    Only their times, their error code and whether they were simulated are read.

    @param before: go on after the job of this id.
    @param limit: how many jobs are read at most.
    """
    earlier = "" if before is None else " AND id < :before"
    rows = tx.all(
        "SELECT id, error_code, simulated_delay, created_at, updated_at, finished_at FROM jobs"
        f" WHERE kind = :kind AND result = :result{earlier} ORDER BY id DESC LIMIT :limit",
        kind=kind,
        result=result.value,
        before=before,
        limit=limit,
    )
    return [
        Job(
            id=row["id"],
            kind=kind,
            result=result,
            error=None if row["error_code"] is None else JobFailure(row["error_code"]),
            simulated=row["simulated_delay"] is not None,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            finished_at=row["finished_at"],
        )
        for row in rows
    ]
