"""
The outbox in SQL: claiming deliveries that are due, to make an attempt of each.

An origin is served by one node at a time. A node that claims deliveries leases their origin, and
only the node with the lease may settle them (L{statusjob.server.store.outbox_settle}). Which
origins may be served is decided in L{statusjob.server.store.origins}.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from statusjob.server.store import origins, webhook_secrets, webhooks
from statusjob.server.store.interface import Row, Tx, UnreadableRow
from statusjob.server.store.origins import ReadyOrigin

#: Seconds for which a claim leases its origin: much longer than an attempt can take.
LEASE = 60.0
#: Deliveries of one origin that are read at once to be put off, and how often in one claim.
PUT_OFF_ROWS = 64
PUT_OFF_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    A delivery that the claiming node may attempt once.

    @ivar attempt: the number of the attempt, from 1.
    @ivar origin_id: the store's id of the origin of C{url}.
    @ivar round: the origin's present round, see L{origins.note_failure}.
    @ivar job_id: the job that it tells of; C{None} for a test.
    @ivar type: an event type, or C{webhook.test}.
    @ivar normal_url: C{url} in the form by which URLs are compared.
    @ivar was_paused: whether the URL is paused, or was before and has not answered properly since.
    @ivar probe: whether the attempt is made although the URL or the origin is paused.
    @ivar secrets: all secrets that are to sign it, the present one first.
    """

    id: str
    attempt: int
    webhook_id: str
    origin_id: int
    round: int
    job_id: str | None
    type: str
    url: str = field(repr=False)
    normal_url: str = field(repr=False)
    was_paused: bool
    probe: bool
    secrets: tuple[str, ...] = field(repr=False)
    body: bytes = field(repr=False)


class Claimed(NamedTuple):
    """
    What a claim has found.

    @ivar more: whether there may be more that is due now.
    @ivar unreadable: the ids of deliveries that are dead because they cannot be read.
    """

    claims: list[Claim]
    more: bool
    unreadable: list[str]


def claim(tx: Tx, node: str, room: int, shared: int) -> Claimed:
    """
    Claim deliveries that are due, and mark each as being sent.

    The origin that has been ready for longest comes first, and none gets more deliveries than it
    has slots. A delivery waits while its webhook is being sent another update of the same job. If
    its URL is paused, it is put off until the end of the pause, unless it probes the URL. One that
    cannot be read is dead.

    @param node: who claims.
    @param room: how many deliveries are claimed at most.
    @param shared: how many of them may go to origins that have attempts under way already. The
        others are for origins that have none, so that no slow origin keeps them waiting.
    """
    for origin_id in origins.with_expired_leases(tx, node):
        # The node that was sending there is gone, or too late. If a third one was faster than this
        # one, what is being sent there is that one's.
        if origins.lease(tx, origin_id, node, LEASE):
            return_to_pending(tx, "origin_id = :origin_id", origin_id=origin_id)
    taken: list[Claim] = []
    unreadable: list[str] = []
    # Only origins that have attempts under way may be passed over.
    looked_at = room + attempts_under_way(tx)
    ready = origins.ready(tx, node, looked_at)
    more = len(ready) == looked_at
    for origin in ready:
        if len(taken) == room:
            break
        free = min(origin.slots, origins.MAX_SLOTS) - origin.busy
        first = 0 if origin.busy else 1
        limit = min(free, room - len(taken), first + shared)
        if limit <= 0 or not origins.lease(tx, origin.id, node, LEASE):
            continue
        claimed = _claim_at(tx, origin, 1 if origin.paused else limit)
        shared -= max(0, len(claimed.claims) - first)
        taken += claimed.claims
        unreadable += claimed.unreadable
        more |= claimed.more
        origins.note_served(tx, origin.id)
    return Claimed(taken, more or len(taken) == room > 0, unreadable)


def attempts_under_way(tx: Tx) -> int:
    """How many deliveries are being sent."""
    row = tx.one("SELECT COUNT(*) AS count FROM deliveries WHERE state = 'sending'")
    assert row is not None
    return int(row["count"])


def _claim_at(tx: Tx, origin: ReadyOrigin, limit: int) -> Claimed:
    """Claim deliveries at one origin, at most C{limit}."""
    claims: list[Claim] = []
    unreadable: list[str] = []
    rows = limit
    for _ in range(PUT_OFF_STEPS):
        put_off = False
        try:
            due = tx.all(_due(origin, _DELIVERY), origin_id=origin.id, now=tx.now, limit=rows)
        except UnreadableRow:
            unreadable += _end_unreadable(tx, origin, rows)
            continue
        for row in due:
            if row["body"] is None:
                put_off = True
                tx.execute(
                    "UPDATE deliveries SET due_at = :until WHERE id = :id",
                    id=row["id"],
                    until=row["url_paused_until"],
                )
            elif len(claims) < limit:
                claims.append(_mark_sending(tx, origin, row))
        if not put_off or len(claims) == limit:
            return Claimed(claims, more=False, unreadable=unreadable)
        rows = PUT_OFF_ROWS
    return Claimed(claims, more=True, unreadable=unreadable)


#: What is read of a delivery; no body if its URL is paused and it does not probe it.
_DELIVERY = (
    "d.id, d.attempts, d.webhook_id, d.job_id, d.type, d.probe, w.url, w.normal_url, w.secret,"
    " EXISTS (SELECT 1 FROM old_secrets WHERE webhook_id = w.id) AS rotated,"
    " u.until AS url_paused_until,"
    " CASE WHEN u.until > :now AND d.probe = 0 THEN NULL ELSE b.body END AS body"
)
_DELIVERIES = (
    " FROM deliveries d JOIN webhooks w ON w.id = d.webhook_id JOIN bodies b ON b.id = body_id"
    " LEFT JOIN url_pauses u ON u.normal_url = w.normal_url"
)


def _due(origin: ReadyOrigin, columns: str) -> str:
    """
    The statement that reads so much of the deliveries that are due at an origin; if it is paused,
    only of those that probe it.
    """
    which = "d.due_at <= :now" + (" AND d.probe = 1" if origin.paused else "")
    return (
        f"SELECT {columns}{_DELIVERIES}"
        f" WHERE d.origin_id = :origin_id AND d.state = 'pending' AND {which}"
        " AND NOT EXISTS (SELECT 1 FROM deliveries s WHERE s.webhook_id = d.webhook_id"
        " AND s.job_id = d.job_id AND s.state = 'sending') ORDER BY d.due_at LIMIT :limit"
    )


def _end_unreadable(tx: Tx, origin: ReadyOrigin, limit: int) -> list[str]:
    """
    Let the deliveries be dead that are due at an origin and cannot be read: their body is broken,
    or the URL or the secret of their webhook. They would hold up all others.

    @return: their ids.
    """
    unreadable = []
    for row in tx.all(_due(origin, "d.id"), origin_id=origin.id, now=tx.now, limit=limit):
        try:
            tx.one(f"SELECT {_DELIVERY}{_DELIVERIES} WHERE d.id = :id", id=row["id"], now=tx.now)
        except UnreadableRow:
            unreadable.append(row["id"])
            tx.execute(
                "UPDATE deliveries SET state = 'dead', finished_at = :now, reason = :reason"
                " WHERE id = :id",
                id=row["id"],
                now=tx.now,
                reason="it cannot be read from the database",
            )
    return unreadable


def _mark_sending(tx: Tx, origin: ReadyOrigin, row: Row) -> Claim:
    """Mark a delivery as being sent."""
    tx.execute(
        "UPDATE deliveries SET state = 'sending', attempts = attempts + 1, begun_at = :now,"
        " first_begun_at = COALESCE(first_begun_at, :now), probe = 0 WHERE id = :id",
        id=row["id"],
        now=tx.now,
    )
    secrets: tuple[str, ...] = (row["secret"],)
    if row["rotated"]:
        secrets = webhook_secrets.valid(tx, row["webhook_id"])
    return Claim(
        id=row["id"],
        attempt=row["attempts"] + 1,
        webhook_id=row["webhook_id"],
        origin_id=origin.id,
        round=origin.round,
        job_id=row["job_id"],
        type=row["type"],
        url=row["url"],
        normal_url=row["normal_url"],
        was_paused=row["url_paused_until"] is not None,
        probe=bool(row["probe"]),
        secrets=secrets,
        body=row["body"].encode(),
    )


def return_to_pending(tx: Tx, which: str, **values: object) -> None:
    """
    Let deliveries that are being sent be due at once, unless a newer update is pending in their
    place or their webhook was disabled meanwhile. Their attempt does not count: crashes must not
    use up the schedule.

    @param which: an SQL condition on deliveries, with C{values} for its parameters.
    """
    tx.execute(
        "UPDATE origins SET ready_at = :now WHERE id IN"
        f" (SELECT origin_id FROM deliveries WHERE {which} AND state = 'sending')",
        now=tx.now,
        **values,
    )
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
