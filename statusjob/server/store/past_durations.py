"""
How jobs ended, in SQL: what is read of the past when a server starts.

Every read is short, however many jobs there are: it finds its way by an index,
and what it gives is limited.
"""

from __future__ import annotations

from statusjob.jobs import DEMO_KIND, Job, JobError, Status
from statusjob.server.store.interface import Tx


def next_kind(tx: Tx, after: str) -> str | None:
    """The kind that comes after another by name, if there are jobs of any; never the demo's."""
    row = tx.one(
        "SELECT kind FROM jobs WHERE kind > :after AND kind <> :demo ORDER BY kind LIMIT 1",
        after=after,
        demo=DEMO_KIND,
    )
    return None if row is None else row["kind"]


def ended(tx: Tx, kind: str, result: Status, *, before: str | None, limit: int) -> list[Job]:
    """
    Jobs of a kind that ended with a result, the newest first, with only what tells how they
    ended: their times, their error code, and whether they were simulated.

    @param before: an id to go on from.
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
            error=None if row["error_code"] is None else JobError(row["error_code"]),
            simulated=row["simulated_delay"] is not None,
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            finished_at=row["finished_at"],
        )
        for row in rows
    ]
