"""
Webhooks and the outbox in SQL: registrations, and what is to be brought to them.

A delivery is one update for one webhook. Per job and webhook at most one is
pending and one is being sent: a newer update takes over the pending one, so
that versions arrive in rising order and the terminal one always comes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from statusjob.jobs import DEMO_KIND, EventType, Job
from statusjob.server.store import Row, Tx
from statusjob.wire import webhook_payload

#: Deliveries of one origin that are under way at the same time, at most.
ORIGIN_CONCURRENCY = 8


#: Webhooks that an update may concern: of its job, of its kind, of all.
_CONCERNED = " UNION ALL ".join(
    "SELECT id, origin_id, events FROM webhooks"
    f" WHERE enabled = 1 AND removed_at IS NULL AND {scope}"
    for scope in (
        "job_id = :job_id",
        "job_id IS NULL AND kind = :kind AND :wide = 1",
        "job_id IS NULL AND kind IS NULL AND :wide = 1",
    )
)


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A delivery that is ours to attempt.

    @ivar attempt: counts from 1; with the id it fences off whoever held it before.
    """

    id: str
    attempt: int
    url: str
    secrets: tuple[str, ...]
    body: bytes


def find_webhook(tx: Tx, url: str, *, job_id: str) -> Row | None:
    """The registration of a URL for one job: C{id}, C{secret}, C{events}."""
    return tx.one(
        "SELECT id, secret, events FROM webhooks"
        " WHERE url = :url AND job_id = :job_id AND removed_at IS NULL",
        url=url,
        job_id=job_id,
    )


def count_webhooks(tx: Tx, *, job_id: str, origin: str) -> tuple[int, int, int]:
    """
    How many webhooks are registered: for the job; and of those that may still be told something,
    at the origin and in all.
    """
    active = "SELECT 1 FROM webhooks WHERE removed_at IS NULL AND finished_at IS NULL"
    row = tx.one(
        "SELECT (SELECT COUNT(*) FROM webhooks WHERE job_id = :job_id AND removed_at IS NULL)"
        f" AS job, (SELECT COUNT(*) FROM ({active} AND origin_id ="
        " (SELECT id FROM origins WHERE origin = :origin)) AS o) AS origin,"
        f" (SELECT COUNT(*) FROM ({active}) AS a) AS total",
        job_id=job_id,
        origin=origin,
    )
    assert row is not None
    return row["job"], row["origin"], row["total"]


def add_webhook(
    tx: Tx,
    *,
    url: str,
    origin: str,
    job_id: str,
    events: Sequence[EventType],
    secret: str,
    name: str | None,
) -> str:
    """Write a registration for one job; its id."""
    tx.execute(
        "INSERT INTO origins (origin) VALUES (:origin) ON CONFLICT (origin) DO NOTHING",
        origin=origin,
    )
    webhook_id = "wh_" + secrets.token_hex(16)
    tx.execute(
        "INSERT INTO webhooks (id, origin_id, job_id, url, events, name, secret, created_at)"
        " SELECT :id, id, :job_id, :url, :events, :name, :secret, :now"
        " FROM origins WHERE origin = :origin",
        id=webhook_id,
        job_id=job_id,
        url=url,
        events=" ".join(events),
        name=name,
        secret=secret,
        now=tx.now,
        origin=origin,
    )
    return webhook_id


def remove_webhook(tx: Tx, url: str, *, job_id: str) -> None:
    """Tell a webhook no more updates; what is written for it already still goes."""
    tx.execute(
        "UPDATE webhooks SET removed_at = :now"
        " WHERE url = :url AND job_id = :job_id AND removed_at IS NULL",
        url=url,
        job_id=job_id,
        now=tx.now,
    )


def forget_removed(tx: Tx, limit: int) -> int:
    """Delete removed webhooks for which nothing is left to deliver; how many."""
    return tx.execute(
        "DELETE FROM webhooks WHERE id IN (SELECT id FROM webhooks WHERE removed_at IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = webhooks.id"
        " AND state IN ('pending', 'sending')) LIMIT :limit)",
        limit=limit,
    )


def forget_origins(tx: Tx, limit: int) -> None:
    """Delete origins that no webhook has any more."""
    tx.execute(
        "DELETE FROM origins WHERE id IN (SELECT id FROM origins WHERE NOT EXISTS"
        " (SELECT 1 FROM webhooks WHERE origin_id = origins.id) LIMIT :limit)",
        limit=limit,
    )


def fan_out(tx: Tx, job: Job, prefix: str, *, webhook_id: str | None = None) -> int:
    """
    Write a delivery of a job's present state for each webhook that it concerns.

    A pending delivery of an earlier state is taken over with a new id. A progress delivery
    inherits its attempts and due time, so that reports do not hammer a broken receiver; a
    terminal one starts afresh.

    @param webhook_id: only for this webhook.
    @return: how many.
    """
    if job.result.terminal:
        tx.execute(
            "UPDATE webhooks SET finished_at = :now WHERE job_id = :id AND finished_at IS NULL",
            now=tx.now,
            id=job.id,
        )
    # Event types are matched here: LIKE on a parameter makes SQLite compile the statement anew.
    concerned = [
        row
        for row in tx.all(
            _CONCERNED, job_id=job.id, kind=job.kind, wide=int(job.kind != DEMO_KIND)
        )
        if job.event_type in row["events"].split() and webhook_id in (None, row["id"])
    ]
    if not concerned:
        return 0
    body = tx.one(
        "INSERT INTO bodies (job_id, version, body) VALUES (:job_id, :version, :body)"
        " ON CONFLICT (job_id, version) DO UPDATE SET version = excluded.version RETURNING id",
        job_id=job.id,
        version=job.version,
        body=webhook_payload(job, prefix).decode(),
    )
    assert body is not None
    for row in concerned:
        if job.result.terminal:
            # What was attempted before was another delivery: this one starts afresh.
            tx.execute(
                "DELETE FROM attempts WHERE delivery_id IN (SELECT id FROM deliveries"
                " WHERE webhook_id = :webhook_id AND job_id = :job_id AND state = 'pending')",
                webhook_id=row["id"],
                job_id=job.id,
            )
        tx.execute(
            "INSERT INTO deliveries (id, webhook_id, origin_id, job_id, version, type, body_id,"
            " state, due_at, created_at)"
            " VALUES (:id, :webhook_id, :origin_id, :job_id, :version, :type, :body_id,"
            " 'pending', :now, :now)"
            " ON CONFLICT (webhook_id, job_id) WHERE state = 'pending' DO UPDATE SET"
            " id = excluded.id, version = excluded.version, type = excluded.type,"
            " body_id = excluded.body_id, created_at = excluded.created_at,"
            " attempts = CASE WHEN excluded.type = :progress THEN deliveries.attempts ELSE 0 END,"
            " due_at = CASE WHEN excluded.type = :progress THEN deliveries.due_at"
            " ELSE excluded.due_at END",
            id="msg_" + secrets.token_hex(16),
            webhook_id=row["id"],
            origin_id=row["origin_id"],
            job_id=job.id,
            version=job.version,
            type=job.event_type.value,
            body_id=body["id"],
            now=tx.now,
            progress=EventType.PROGRESS.value,
        )
    _forget_bodies(tx, job.id)
    return len(concerned)


def claim(tx: Tx, limit: int) -> list[Claim]:
    """
    Take deliveries that are due, each with an attempt begun.

    Origins that were not served for longest come first, none gets more than
    L{ORIGIN_CONCURRENCY} at a time, and nothing is taken for a webhook that is being told of the
    same job right now.
    """
    taken: list[Claim] = []
    for origin in tx.all(
        "SELECT id, (SELECT COUNT(*) FROM deliveries"
        " WHERE origin_id = origins.id AND state = 'sending') AS busy FROM origins"
        " WHERE paused_until <= :now AND id IN (SELECT origin_id FROM deliveries"
        " WHERE state = 'pending' AND due_at <= :now) ORDER BY served_at",
        now=tx.now,
    ):
        room = min(ORIGIN_CONCURRENCY - origin["busy"], limit - len(taken))
        if room <= 0:
            continue
        tx.execute(
            "UPDATE origins SET served_at = :now WHERE id = :id", now=tx.now, id=origin["id"]
        )
        for row in tx.all(
            "WITH due AS MATERIALIZED ("
            " SELECT d.id FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id"
            " WHERE d.origin_id = :origin_id AND d.state = 'pending' AND d.due_at <= :now"
            " AND w.enabled = 1 AND NOT EXISTS (SELECT 1 FROM deliveries s"
            " WHERE s.webhook_id = d.webhook_id AND s.job_id = d.job_id AND s.state = 'sending')"
            " ORDER BY d.due_at LIMIT :room)"
            " UPDATE deliveries SET state = 'sending', attempts = attempts + 1"
            " WHERE id IN (SELECT id FROM due) RETURNING id, webhook_id, body_id, attempts",
            origin_id=origin["id"],
            now=tx.now,
            room=room,
        ):
            taken.append(_begin(tx, row))
    return taken


def _begin(tx: Tx, row: Row) -> Claim:
    tx.execute(
        "INSERT INTO attempts (delivery_id, attempt, started_at) VALUES (:id, :attempt, :now)",
        id=row["id"],
        attempt=row["attempts"],
        now=tx.now,
    )
    what = tx.one(
        "SELECT url, secret, old_secret, old_secret_until, body FROM webhooks, bodies"
        " WHERE webhooks.id = :webhook_id AND bodies.id = :body_id",
        webhook_id=row["webhook_id"],
        body_id=row["body_id"],
    )
    assert what is not None
    keys = [what["secret"]]
    if what["old_secret"] is not None and what["old_secret_until"] > tx.now:
        keys.append(what["old_secret"])
    return Claim(row["id"], row["attempts"], what["url"], tuple(keys), what["body"].encode())


def next_due(tx: Tx) -> float | None:
    """When the next delivery that is not due yet will be."""
    row = tx.one(
        "SELECT MIN(due_at) AS due_at FROM deliveries WHERE state = 'pending' AND due_at > :now",
        now=tx.now,
    )
    return None if row is None else row["due_at"]


def settle(
    tx: Tx,
    delivery_id: str,
    attempt: int,
    *,
    outcome: str,
    status: int | None,
    detail: str | None,
    wait: float,
    exhausted: bool,
) -> str | None:
    """
    Write down what became of an attempt.

    @param outcome: the attempt's class; C{ok} is success.
    @param wait: seconds until the next attempt of this delivery, or of one in its place.
    @param exhausted: whether this one has no attempts left.
    @return: the delivery's state now; C{None} if it was not ours any more.
    """
    row = tx.one(
        "SELECT webhook_id, job_id, type FROM deliveries"
        " WHERE id = :id AND state = 'sending' AND attempts = :attempt",
        id=delivery_id,
        attempt=attempt,
    )
    if row is None:
        return None
    tx.execute(
        "UPDATE attempts SET ended_at = :now, class = :class, status = :status, detail = :detail"
        " WHERE delivery_id = :id AND attempt = :attempt AND ended_at IS NULL",
        now=tx.now,
        status=status,
        detail=detail,
        id=delivery_id,
        attempt=attempt,
        **{"class": outcome},
    )
    state = "delivered" if outcome == "ok" else "dead" if exhausted else "pending"
    due_at = tx.now + wait
    if outcome != "ok" and row["type"] == EventType.PROGRESS:
        # A newer update waits in the pending slot: it replaces this one, and a progress report
        # also carries on with this one's schedule, at the last step if that is exhausted.
        newer = tx.one(
            "SELECT id, type FROM deliveries"
            " WHERE webhook_id = :webhook_id AND job_id = :job_id AND state = 'pending'",
            webhook_id=row["webhook_id"],
            job_id=row["job_id"],
        )
        if newer is not None:
            state = "superseded"
            if newer["type"] == EventType.PROGRESS:
                tx.execute(
                    "UPDATE deliveries SET attempts = :attempts, due_at = :due_at WHERE id = :id",
                    attempts=attempt - 1 if exhausted else attempt,
                    due_at=due_at,
                    id=newer["id"],
                )
    if state == "pending":
        tx.execute(
            "UPDATE deliveries SET state = 'pending', due_at = :due_at WHERE id = :id",
            due_at=due_at,
            id=delivery_id,
        )
        return state
    # Of progress that is over only the newest is kept: a job may report for ever.
    tx.execute(
        "DELETE FROM deliveries WHERE webhook_id = :webhook_id AND job_id = :job_id"
        " AND type = :progress AND state IN ('delivered', 'superseded', 'dead')",
        webhook_id=row["webhook_id"],
        job_id=row["job_id"],
        progress=EventType.PROGRESS.value,
    )
    tx.execute(
        "UPDATE deliveries SET state = :state, finished_at = :now WHERE id = :id",
        state=state,
        now=tx.now,
        id=delivery_id,
    )
    _forget_bodies(tx, row["job_id"])
    return state


def release(tx: Tx) -> None:
    """
    Take back what an earlier process was sending when it ended: due again at once, unless a
    newer update waits in its place.
    """
    # The attempt does not count: crashes must not use up the schedule.
    tx.execute(
        "DELETE FROM attempts WHERE ended_at IS NULL AND delivery_id IN"
        " (SELECT id FROM deliveries WHERE state = 'sending')"
    )
    tx.execute(
        "UPDATE deliveries SET state = 'superseded', finished_at = :now"
        " WHERE state = 'sending' AND EXISTS (SELECT 1 FROM deliveries n WHERE n.state = 'pending'"
        " AND n.webhook_id = deliveries.webhook_id AND n.job_id = deliveries.job_id)",
        now=tx.now,
    )
    tx.execute(
        "UPDATE deliveries SET state = 'pending', attempts = attempts - 1, due_at = :now"
        " WHERE state = 'sending'",
        now=tx.now,
    )


def _forget_bodies(tx: Tx, job_id: str | None) -> None:
    """Delete the bodies of a job that no delivery refers to."""
    tx.execute(
        "DELETE FROM bodies WHERE job_id = :job_id AND NOT EXISTS"
        " (SELECT 1 FROM deliveries WHERE body_id = bodies.id)",
        job_id=job_id,
    )
