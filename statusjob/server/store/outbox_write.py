"""
The outbox in SQL: writing the deliveries that an update causes.

A delivery is one update for one webhook. Per job and webhook at most one delivery is pending and
one is being sent: a newer update takes over the pending one, so that versions arrive in rising
order and the terminal one always comes.
"""

from __future__ import annotations

from statusjob.jobs import EventType, Job
from statusjob.server.store import origins, webhooks
from statusjob.server.store.ids import new_id
from statusjob.server.store.interface import Tx

#: One webhook is sent progress of one job at most once per so many seconds.
PROGRESS_INTERVAL = 0.5


def write_deliveries(tx: Tx, job: Job, *, webhook_id: str | None = None) -> int:
    """
    Write a delivery of a job's present state for each webhook that is to be told of it.

    A pending delivery of an earlier state is replaced, and gets a new id. A delivery of progress
    inherits the attempts and the due time, so that reports do not hammer a broken receiver; a
    terminal one starts afresh. For a webhook that the server gave up the delivery is dead.

    @param webhook_id: write a delivery only for this webhook.
    @return: how many deliveries wait for an attempt now.
    """
    subscribers = [each for each in webhooks.subscribers(tx, job) if webhook_id in (None, each.id)]
    if not subscribers:
        return 0
    body = tx.one(
        "INSERT INTO bodies (job_id, version, body) VALUES (:job_id, :version, :body)"
        " ON CONFLICT (job_id, version) DO UPDATE SET version = excluded.version RETURNING id",
        job_id=job.id,
        version=job.version,
        body=tx.render(job).decode(),
    )
    assert body is not None
    pending = {
        row["webhook_id"]: row["id"]
        for row in tx.all(
            "SELECT id, webhook_id FROM deliveries WHERE job_id = :id AND state = 'pending'",
            id=job.id,
        )
    }
    waiting = 0
    woken: dict[int, float] = {}
    for webhook in subscribers:
        due_at = tx.now
        if not job.result.terminal:
            due_at = _next_progress(tx, webhook.id, job.id)
        elif webhook.id in pending:
            # These attempts belong to the delivery that is replaced.
            tx.execute("DELETE FROM attempts WHERE delivery_id = :id", id=pending[webhook.id])
        tx.execute(
            "INSERT INTO deliveries (id, webhook_id, origin_id, job_id, version, type, body_id,"
            " state, reason, due_at, created_at, finished_at)"
            " VALUES (:id, :webhook_id, :origin_id, :job_id, :version, :type, :body_id,"
            " :state, :reason, :due_at, :now, :finished_at)"
            " ON CONFLICT (webhook_id, job_id) WHERE state = 'pending' DO UPDATE SET"
            " id = excluded.id, version = excluded.version, type = excluded.type,"
            " body_id = excluded.body_id, created_at = excluded.created_at,"
            " attempts = CASE WHEN excluded.type = :progress THEN deliveries.attempts ELSE 0 END,"
            " first_begun_at = CASE WHEN excluded.type = :progress"
            " THEN deliveries.first_begun_at END,"
            " due_at = CASE WHEN excluded.type = :progress THEN deliveries.due_at"
            " ELSE excluded.due_at END",
            id=new_id("msg", tx.now),
            webhook_id=webhook.id,
            origin_id=webhook.origin_id,
            job_id=job.id,
            version=job.version,
            type=job.event_type.value,
            body_id=body["id"],
            due_at=due_at,
            now=tx.now,
            state="pending" if webhook.given_up is None else "dead",
            reason=webhook.given_up,
            finished_at=None if webhook.given_up is None else tx.now,
            progress=EventType.PROGRESS.value,
        )
        if webhook.given_up is None:
            waiting += 1
            woken[webhook.origin_id] = min(due_at, woken.get(webhook.origin_id, due_at))
    for origin_id, at in woken.items():
        origins.wake(tx, origin_id, at)
    if pending:
        delete_unused_bodies(tx, job.id)
    return waiting


def _next_progress(tx: Tx, webhook_id: str, job_id: str) -> float:
    """When a webhook may be sent progress of a job again, in seconds since the epoch."""
    row = tx.one(
        "SELECT MAX(begun_at) AS begun_at FROM deliveries WHERE webhook_id = :webhook_id"
        " AND job_id = :job_id AND type = :progress AND state <> 'pending'",
        webhook_id=webhook_id,
        job_id=job_id,
        progress=EventType.PROGRESS.value,
    )
    if row is None or row["begun_at"] is None:
        return tx.now
    # The clock may have been set back since then.
    since = max(0.0, tx.now - float(row["begun_at"]))
    return tx.now + max(0.0, PROGRESS_INTERVAL - since)


def delete_unused_bodies(tx: Tx, job_id: str | None) -> None:
    """Delete bodies that no delivery refers to: those of a job, or of tests for C{None}."""
    tx.execute(
        f"DELETE FROM bodies WHERE job_id {'IS NULL' if job_id is None else '= :job_id'}"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE body_id = bodies.id)",
        job_id=job_id,
    )
