"""
Retention in SQL: deletes old jobs, removed webhooks, expired secrets and unused origins.
"""

from __future__ import annotations

from statusjob.server.store.interface import Tx
from statusjob.server.store.jobs import demo_id


def delete_batch(tx: Tx, finished_before: float, limit: int) -> bool:
    """
    Delete some of everything that nobody needs any more.

    @param finished_before: jobs that ended before this time are deleted, in seconds since the
        epoch.
    @param limit: how many rows of each sort are deleted at most.
    @return: whether there may be more.
    """
    deleted_jobs = delete_old_jobs(tx, finished_before, limit)
    deleted_webhooks = delete_removed_webhooks(tx, limit)
    delete_unused_origins(tx, limit)
    delete_expired_secrets(tx)
    return max(deleted_jobs, deleted_webhooks) == limit


def delete_old_jobs(tx: Tx, finished_before: float, limit: int) -> int:
    """
    Delete jobs that ended before a time, with everything that belongs to them. A job with a
    delivery that is still to be made stays, and so does the newest demo job.

    @return: how many jobs were deleted.
    """
    return tx.execute(
        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < :before"
        " AND id IS DISTINCT FROM :demo"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.job_id = jobs.id"
        " AND state IN ('pending', 'sending')) ORDER BY finished_at LIMIT :limit)",
        before=finished_before,
        demo=demo_id(tx),
        limit=limit,
    )


def delete_expired_secrets(tx: Tx) -> None:
    """Delete the secrets of rotations whose overlap is over."""
    tx.execute("DELETE FROM old_secrets WHERE until <= :now", now=tx.now)


def delete_removed_webhooks(tx: Tx, limit: int) -> int:
    """
    Delete finished deliveries of webhooks that were removed, and those of these webhooks that have
    no deliveries left.

    @param limit: how many deliveries, and how many webhooks, are deleted at most.
    @return: the greater of the two numbers: if it is C{limit}, there may be more.
    """
    finished = tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM webhooks w JOIN deliveries d"
        " ON d.webhook_id = w.id WHERE w.removed_at IS NOT NULL"
        " AND d.state IN ('delivered', 'superseded', 'dead') LIMIT :limit) RETURNING body_id",
        limit=limit,
    )
    for body_id in {row["body_id"] for row in finished}:
        tx.execute(
            "DELETE FROM bodies WHERE id = :id AND NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE body_id = bodies.id)",
            id=body_id,
        )
    webhooks = tx.execute(
        "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks WHERE removed_at IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id) LIMIT :limit)",
        limit=limit,
    )
    return max(len(finished), webhooks)


def delete_unused_origins(tx: Tx, limit: int) -> None:
    """Delete origins that have no webhook."""
    tx.execute(
        "DELETE FROM origins WHERE id IN (SELECT id FROM origins WHERE NOT EXISTS"
        " (SELECT 1 FROM webhooks WHERE origin_id = origins.id) LIMIT :limit)",
        limit=limit,
    )
