"""
Deliveries in SQL, for people who operate a receiver: lists, redelivery and tests.
"""

from __future__ import annotations

from statusjob.contract.webhooks import Attempt, Delivery, DeliveryState
from statusjob.jobs import TEST_EVENT
from statusjob.server.store.ids import new_id
from statusjob.server.store.interface import Row, Tx
from statusjob.server.store.origins import wake_for

#: Most attempts of one delivery that are shown: the latest.
ATTEMPTS_SHOWN = 20


def page(
    tx: Tx,
    webhook_id: str,
    *,
    limit: int,
    before: tuple[float, str] | None,
    state: DeliveryState | None,
) -> tuple[list[Delivery], bool]:
    """
    A page of the deliveries to a webhook, the newest first.

    @param before: go on after this delivery: its C{created_at} and id.
    @param state: only deliveries in this state.
    @return: at most C{limit} deliveries, and whether there are older ones.
    """
    moment, delivery_id = before or (None, None)
    older = "" if before is None else " AND (d.created_at, d.id) < (:moment, :id)"
    rows: list[Row] = []
    # The index is by state: one without would be written for each delivery, and hardly read.
    for each in DeliveryState if state is None else (state,):
        rows += tx.all(
            "SELECT d.id, d.type, d.job_id, d.version, d.state, d.reason, d.created_at,"
            " d.finished_at, d.due_at, d.probe, o.paused_until, u.until FROM deliveries d"
            " JOIN origins o ON o.id = d.origin_id JOIN webhooks w ON w.id = d.webhook_id"
            " LEFT JOIN url_pauses u ON u.normal_url = w.normal_url"
            f" WHERE d.webhook_id = :webhook_id AND d.state = '{each}'{older}"
            " ORDER BY d.created_at DESC, d.id DESC LIMIT :limit",
            webhook_id=webhook_id,
            moment=moment,
            id=delivery_id,
            limit=limit + 1,
        )
    rows.sort(key=lambda row: (row["created_at"], row["id"]), reverse=True)
    deliveries = [
        Delivery(
            id=row["id"],
            type=row["type"],
            job_id=row["job_id"],
            version=row["version"],
            state=DeliveryState(row["state"]),
            reason=row["reason"],
            created_at=row["created_at"],
            finished_at=row["finished_at"],
            next_attempt_at=_next_attempt(row),
            attempts=attempts(tx, row["id"]),
        )
        for row in rows[:limit]
    ]
    return deliveries, len(rows) > limit


def _next_attempt(row: Row) -> float | None:
    """When a delivery will be attempted, at the earliest; C{None} unless it is pending."""
    if row["state"] != DeliveryState.PENDING:
        return None
    if row["probe"]:
        return float(row["due_at"])
    return max(map(float, (row["due_at"], row["paused_until"], row["until"] or 0)))


def attempts(tx: Tx, delivery_id: str) -> tuple[Attempt, ...]:
    """The latest attempts of a delivery, at most L{ATTEMPTS_SHOWN}, the oldest first."""
    rows = tx.all(
        "SELECT attempt, started_at, ended_at, class, status, detail FROM attempts"
        " WHERE delivery_id = :id ORDER BY id DESC LIMIT :limit",
        id=delivery_id,
        limit=ATTEMPTS_SHOWN,
    )
    return tuple(
        Attempt(
            number=row["attempt"],
            kind=row["class"],
            status=row["status"],
            detail=row["detail"],
            started_at=row["started_at"],
            ended_at=row["ended_at"],
        )
        for row in reversed(rows)
    )


def state_of(tx: Tx, webhook_id: str, delivery_id: str) -> DeliveryState | None:
    """The state of a delivery; C{None} if this webhook has no such delivery."""
    row = tx.one(
        "SELECT state FROM deliveries WHERE id = :id AND webhook_id = :webhook_id",
        id=delivery_id,
        webhook_id=webhook_id,
    )
    return None if row is None else DeliveryState(row["state"])


def redeliver(tx: Tx, webhook_id: str, delivery_id: str) -> bool:
    """
    Let a delivery of a webhook be due now, even if its URL or its origin is paused, with the same
    id and a new schedule.

    @return: whether it is due now. It is not if it is being sent, or if it is finished and
        another delivery for the same webhook and job is pending or being sent.
    """
    wake_for(tx, webhook_id)
    return (
        tx.execute(
            f"{_MAKE_DUE}, probe = 1 WHERE id = :id AND (state = 'pending' OR {_REPEATABLE})",
            id=delivery_id,
            now=tx.now,
        )
        > 0
    )


def redeliver_dead(
    tx: Tx, webhook_id: str, since: float, until: float, limit: int, *, probe: bool
) -> int:
    """
    Let the dead deliveries of a webhook be due now: for each job, only the newest.

    @param since: only those that died at this time or later, in seconds since the epoch.
    @param until: only those that died at this time or earlier, in seconds since the epoch.
    @param limit: how many deliveries are made due at most.
    @param probe: whether the first of them is due even if the URL or the origin is paused.
    @return: how many deliveries are due now.
    """
    wake_for(tx, webhook_id)
    due = tx.all(
        f"{_MAKE_DUE} WHERE id IN (SELECT id FROM deliveries WHERE webhook_id = :webhook_id"
        " AND state = 'dead' AND finished_at BETWEEN :since AND :until AND job_id IS NOT NULL"
        f" AND {_REPEATABLE}"
        " AND NOT EXISTS (SELECT 1 FROM deliveries n WHERE n.webhook_id = deliveries.webhook_id"
        " AND n.job_id = deliveries.job_id AND n.version > deliveries.version)"
        " ORDER BY finished_at LIMIT :limit) RETURNING id",
        webhook_id=webhook_id,
        since=since,
        until=until,
        now=tx.now,
        limit=limit,
    )
    if probe and due:
        tx.execute("UPDATE deliveries SET probe = 1 WHERE id = :id", id=due[0]["id"])
    return len(due)


#: Makes a delivery due now.
_MAKE_DUE = (
    "UPDATE deliveries SET state = 'pending', attempts = 0, due_at = :now, finished_at = NULL,"
    " reason = NULL, first_begun_at = NULL"
)
#: A delivery is finished, and no other one for the same webhook and job is pending or being sent.
_REPEATABLE = (
    "state IN ('delivered', 'superseded', 'dead') AND NOT EXISTS (SELECT 1 FROM deliveries o"
    " WHERE o.webhook_id = deliveries.webhook_id AND o.job_id = deliveries.job_id"
    " AND o.state IN ('pending', 'sending'))"
)


def add_test(tx: Tx, webhook_id: str, body: bytes) -> tuple[str, bool]:
    """
    Write a delivery that only tests a webhook, unless one is pending or being sent already. It is
    due now even if the URL or the origin is paused.

    @return: the id of the test, and whether it is new.
    """
    wake_for(tx, webhook_id)
    found = tx.one(
        "SELECT id FROM deliveries WHERE webhook_id = :id AND job_id IS NULL AND type = :type"
        " AND state IN ('pending', 'sending')",
        id=webhook_id,
        type=TEST_EVENT,
    )
    if found is not None:
        tx.execute(
            "UPDATE deliveries SET probe = 1 WHERE id = :id AND state = 'pending'", id=found["id"]
        )
        return found["id"], False
    row = tx.one(
        "INSERT INTO bodies (job_id, version, body) VALUES (NULL, NULL, :body) RETURNING id",
        body=body.decode(),
    )
    assert row is not None
    delivery_id = new_id("msg", tx.now)
    tx.execute(
        "INSERT INTO deliveries (id, webhook_id, origin_id, type, body_id, state, probe, due_at,"
        " created_at)"
        " SELECT :id, id, origin_id, :type, :body_id, 'pending', 1, :now, :now"
        " FROM webhooks WHERE id = :webhook_id",
        id=delivery_id,
        webhook_id=webhook_id,
        type=TEST_EVENT,
        body_id=row["id"],
        now=tx.now,
    )
    return delivery_id, True
