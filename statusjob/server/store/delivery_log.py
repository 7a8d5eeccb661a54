"""
Deliveries in SQL, for people: what became of them, and how to send them once more.
"""

from __future__ import annotations

from enum import StrEnum

from statusjob.jobs import TEST_EVENT
from statusjob.server.store.interface import Row, Tx
from statusjob.server.store.outbox_write import new_delivery_id

#: Attempts of one delivery that are shown: the latest.
ATTEMPTS_SHOWN = 20


class DeliveryState(StrEnum):
    """What a delivery is at."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    DEAD = "dead"


def page(
    tx: Tx,
    webhook_id: str,
    *,
    limit: int,
    before: tuple[float, str] | None,
    state: DeliveryState | None,
) -> list[Row]:
    """
    Deliveries to a webhook, the newest first; C{next_at} is when the next attempt of a pending
    one will be made at the earliest.

    @param before: when the last one of the page before was made, and its id.
    """
    moment, delivery_id = before or (None, None)
    made = "d.created_at"
    conditions = ["d.webhook_id = :webhook_id"]
    if state is not None:
        conditions.append(f"d.state = '{state}'")
    if state is DeliveryState.DEAD:
        # Few are, in an index of their own: it is not worth following the whole log for them.
        made = "+d.created_at"
    if before is not None:
        conditions.append(f"({made}, d.id) < (:moment, :id)")
    return tx.all(
        "SELECT d.id, d.type, d.job_id, d.version, d.state, d.reason, d.created_at,"
        " d.finished_at, CASE WHEN d.state = 'pending' THEN CASE WHEN o.paused_until > d.due_at"
        " THEN o.paused_until ELSE d.due_at END END AS next_at"
        " FROM deliveries d JOIN origins o ON o.id = d.origin_id"
        f" WHERE {' AND '.join(conditions)} ORDER BY {made} DESC, d.id DESC LIMIT :limit",
        webhook_id=webhook_id,
        moment=moment,
        id=delivery_id,
        limit=limit,
    )


def attempts(tx: Tx, delivery_id: str) -> list[Row]:
    """The latest attempts of a delivery, in the order in which they were made."""
    rows = tx.all(
        "SELECT attempt, started_at, ended_at, class, status, detail FROM attempts"
        " WHERE delivery_id = :id ORDER BY id DESC LIMIT :limit",
        id=delivery_id,
        limit=ATTEMPTS_SHOWN,
    )
    return rows[::-1]


def state_of(tx: Tx, webhook_id: str, delivery_id: str) -> str | None:
    """The state of a delivery, if there is such a one to this webhook."""
    row = tx.one(
        "SELECT state FROM deliveries WHERE id = :id AND webhook_id = :webhook_id",
        id=delivery_id,
        webhook_id=webhook_id,
    )
    return None if row is None else row["state"]


def redeliver(tx: Tx, delivery_id: str) -> bool:
    """
    Let a delivery that is over, or waits for its next attempt, be due now, with the same id and
    a new schedule.

    @return: whether it is; not while it is being sent, nor, if it is over, while another update
        for the same webhook and job is under way.
    """
    return (
        tx.execute(
            f"{_AGAIN} WHERE id = :id AND (state = 'pending' OR {_FREE})",
            id=delivery_id,
            now=tx.now,
        )
        > 0
    )


def redeliver_dead(tx: Tx, webhook_id: str, since: float, until: float, limit: int) -> int:
    """
    Let deliveries that died in a span of time be due again, of each job the newest; how many.
    """
    return tx.execute(
        f"{_AGAIN} WHERE id IN (SELECT id FROM deliveries WHERE webhook_id = :webhook_id"
        " AND state = 'dead' AND finished_at BETWEEN :since AND :until AND job_id IS NOT NULL"
        f" AND {_FREE}"
        " AND NOT EXISTS (SELECT 1 FROM deliveries n WHERE n.webhook_id = deliveries.webhook_id"
        " AND n.job_id = deliveries.job_id AND n.version > deliveries.version)"
        " ORDER BY finished_at LIMIT :limit)",
        webhook_id=webhook_id,
        since=since,
        until=until,
        now=tx.now,
        limit=limit,
    )


_AGAIN = (
    "UPDATE deliveries SET state = 'pending', attempts = 0, due_at = :now, finished_at = NULL,"
    " reason = NULL"
)
#: Nothing for the same webhook and job is under way.
_FREE = (
    "state IN ('delivered', 'superseded', 'dead') AND NOT EXISTS (SELECT 1 FROM deliveries o"
    " WHERE o.webhook_id = deliveries.webhook_id AND o.job_id = deliveries.job_id"
    " AND o.state IN ('pending', 'sending'))"
)


def add_test(tx: Tx, webhook_id: str, origin_id: int, body: bytes) -> tuple[str, bool]:
    """
    Write a delivery that only tests a webhook, unless one is under way already.

    @return: its id, and whether it is new.
    """
    found = tx.one(
        "SELECT id FROM deliveries WHERE webhook_id = :id AND type = :type"
        " AND state IN ('pending', 'sending')",
        id=webhook_id,
        type=TEST_EVENT,
    )
    if found is not None:
        return found["id"], False
    row = tx.one(
        "INSERT INTO bodies (job_id, version, body) VALUES (NULL, NULL, :body) RETURNING id",
        body=body.decode(),
    )
    assert row is not None
    delivery_id = new_delivery_id()
    tx.execute(
        "INSERT INTO deliveries (id, webhook_id, origin_id, type, body_id, state, due_at,"
        " created_at)"
        " VALUES (:id, :webhook_id, :origin_id, :type, :body_id, 'pending', :now, :now)",
        id=delivery_id,
        webhook_id=webhook_id,
        origin_id=origin_id,
        type=TEST_EVENT,
        body_id=row["id"],
        now=tx.now,
    )
    return delivery_id, True
