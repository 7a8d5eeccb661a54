"""
The outbox in SQL: what is to be brought to webhooks, and who is bringing it.

A delivery is one update for one webhook. Per job and webhook at most one is
pending and one is being sent: a newer update takes over the pending one, so
that versions arrive in rising order and the terminal one always comes. An
origin is served by one node at a time, whose lease on it fences off whoever had
it before; which origins may be served is in L{statusjob.server.store.origins}.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from statusjob.server.store import origins, webhooks
from statusjob.server.store.interface import Row, Tx

#: Seconds for which a claim leases its origin: well above the longest attempt.
LEASE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    A delivery that is ours to attempt.

    @ivar attempt: counts from 1.
    @ivar round: of its origin, see L{origins.failed}.
    """

    id: str
    attempt: int
    webhook_id: str
    origin_id: int
    round: int
    job_id: str | None
    type: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)


def claim(tx: Tx, node: str, room: int, shared: int) -> list[Claim]:
    """
    Take deliveries that are due, each with an attempt begun.

    Origins that were not served for longest come first, none gets more than it has slots, and
    nothing is taken for a webhook that is being told of the same job right now.

    @param node: who claims.
    @param room: how many to take at most.
    @param shared: how many of them may go to origins that have attempts under way already. The
        others are for those that have none, so that no slow origin keeps them waiting.
    """
    for origin_id in origins.lapsed(tx, node):
        # Whoever was sending there is gone, or too late.
        return_to_pending(tx, "origin_id = :origin_id", origin_id=origin_id)
    taken: list[Claim] = []
    for origin in origins.ready(tx, node):
        if len(taken) == room:
            break
        free = min(origin.slots, origins.CONCURRENCY) - origin.busy
        first = 0 if origin.busy else 1
        limit = min(free, room - len(taken), first + shared)
        if limit <= 0 or not origins.lease(tx, origin.id, node, LEASE):
            continue
        claims = _claim_at(tx, origin.id, origin.round, limit)
        shared -= max(0, len(claims) - first)
        taken += claims
    return taken


def _claim_at(tx: Tx, origin_id: int, round_: int, limit: int) -> list[Claim]:
    due = tx.all(
        "SELECT d.id, d.attempts, d.webhook_id, d.job_id, d.type, w.url, w.secret, b.body,"
        " EXISTS (SELECT 1 FROM old_secrets WHERE webhook_id = w.id) AS rotated"
        " FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN bodies b ON b.id = body_id"
        " WHERE d.origin_id = :origin_id AND d.state = 'pending' AND d.due_at <= :now"
        " AND NOT EXISTS (SELECT 1 FROM deliveries s WHERE s.webhook_id = d.webhook_id"
        " AND s.job_id = d.job_id AND s.state = 'sending') ORDER BY d.due_at LIMIT :limit",
        origin_id=origin_id,
        now=tx.now,
        limit=limit,
    )
    return [_begin(tx, origin_id, round_, row) for row in due]


def _begin(tx: Tx, origin_id: int, round_: int, row: Row) -> Claim:
    tx.execute(
        "UPDATE deliveries SET state = 'sending', attempts = attempts + 1, begun_at = :now"
        " WHERE id = :id",
        id=row["id"],
        now=tx.now,
    )
    keys = (row["secret"],)
    return Claim(
        id=row["id"],
        attempt=row["attempts"] + 1,
        webhook_id=row["webhook_id"],
        origin_id=origin_id,
        round=round_,
        job_id=row["job_id"],
        type=row["type"],
        url=row["url"],
        secrets=webhooks.valid_secrets(tx, row["webhook_id"]) if row["rotated"] else keys,
        body=row["body"].encode(),
    )


def next_due(tx: Tx) -> float | None:
    """When there will be something to do that cannot be done now."""
    row = tx.one(
        "SELECT MIN(due_at) AS due_at FROM deliveries WHERE state = 'pending' AND due_at > :now",
        now=tx.now,
    )
    times = [origins.next_unpaused(tx), None if row is None else row["due_at"]]
    return min((time for time in times if time is not None), default=None)


def return_to_pending(tx: Tx, which: str, **values: object) -> None:
    """
    Let what is being sent be due again at once, unless a newer update waits in its place or its
    webhook was disabled meanwhile. The attempt does not count: crashes must not use up the
    schedule.
    """
    tx.execute(
        "UPDATE deliveries SET state = 'dead', finished_at = :now, reason = :was_disabled ||"
        " (SELECT reason FROM webhooks WHERE webhooks.id = webhook_id)"
        f" WHERE {which} AND state = 'sending' AND job_id IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM webhooks WHERE webhooks.id = webhook_id AND enabled = 0)",
        now=tx.now,
        was_disabled=webhooks.WAS_DISABLED,
        **values,
    )
    tx.execute(
        "UPDATE deliveries SET state = 'superseded', finished_at = :now"
        f" WHERE {which} AND state = 'sending' AND EXISTS (SELECT 1 FROM deliveries n"
        " WHERE n.state = 'pending' AND n.webhook_id = deliveries.webhook_id"
        " AND n.job_id = deliveries.job_id)",
        now=tx.now,
        **values,
    )
    tx.execute(
        "UPDATE deliveries SET state = 'pending', attempts = attempts - 1, due_at = :now"
        f" WHERE {which} AND state = 'sending'",
        now=tx.now,
        **values,
    )
