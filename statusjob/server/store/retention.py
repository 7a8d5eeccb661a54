"""
What is deleted in time, in SQL: old jobs, removed webhooks, and what nothing refers to any more.
"""

from __future__ import annotations

from statusjob.server.store.interface import Tx
from statusjob.server.store.jobs import demo_id


def expire(tx: Tx, finished_before: float, limit: int) -> int:
    """
    Delete jobs that ended before a time, with all that belongs to them; not one for which a
    delivery is still to be made, nor the newest demo job.

    @return: how many.
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


def forget_secrets(tx: Tx) -> None:
    """Delete secrets that sign no more."""
    tx.execute("DELETE FROM old_secrets WHERE until <= :now", now=tx.now)


def forget_removed(tx: Tx, limit: int) -> int:
    """
    Delete what removed webhooks were told, and those for which nothing is left.

    @param limit: how many of each, at most.
    @return: how many of one of them: if that is the limit, there may be more.
    """
    told = tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM webhooks w JOIN deliveries d"
        " ON d.webhook_id = w.id WHERE w.removed_at IS NOT NULL"
        " AND d.state IN ('delivered', 'superseded', 'dead') LIMIT :limit) RETURNING body_id",
        limit=limit,
    )
    for body_id in {row["body_id"] for row in told}:
        tx.execute(
            "DELETE FROM bodies WHERE id = :id AND NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE body_id = bodies.id)",
            id=body_id,
        )
    forgotten = tx.execute(
        "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks WHERE removed_at IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id) LIMIT :limit)",
        limit=limit,
    )
    return max(len(told), forgotten)


def forget_origins(tx: Tx, limit: int) -> None:
    """Delete origins that no webhook has any more."""
    tx.execute(
        "DELETE FROM origins WHERE id IN (SELECT id FROM origins WHERE NOT EXISTS"
        " (SELECT 1 FROM webhooks WHERE origin_id = origins.id) LIMIT :limit)",
        limit=limit,
    )
