"""
Webhooks in SQL: which are registered for which jobs, and whether they are enabled.

What they are to be sent is in L{statusjob.server.store.outbox_write}, their secrets are in
L{statusjob.server.store.webhook_secrets}.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from statusjob.contract.urls import BadURL, normal_form
from statusjob.contract.webhooks import Webhook
from statusjob.jobs import DEMO_KIND, EventType, Job
from statusjob.server.errors import UnknownWebhook
from statusjob.server.store.ids import new_id
from statusjob.server.store.interface import Row, Tx

DAY = 86_400.0
#: A webhook is given up when deliveries to it have failed for so many seconds, on so many days
#: (UTC), without any success.
FAILING_LIMIT = 5 * DAY
FAILING_DAYS = 3
#: The reason of a webhook whose receiver wants no more deliveries, and of one that was given up.
GONE = "it answered 410 Gone"
GIVEN_UP = "its deliveries failed for 5 days"
#: The reason of a delivery that is dead because its webhook was disabled; the reason for that
#: follows.
WAS_DISABLED = "the webhook was disabled: "

_WEBHOOKS = (
    "SELECT webhooks.id, name, origin, job_id, kind, events, enabled, reason, failing_since,"
    " created_at FROM webhooks JOIN origins ON origins.id = origin_id"
)

#: Webhooks whose scope includes a job: those for it alone, for its kind, for all jobs.
_SUBSCRIBERS = " UNION ALL ".join(
    "SELECT id, origin_id, events, CASE WHEN enabled = 0 THEN reason END AS reason FROM webhooks"
    " WHERE (enabled = 1 OR (given_up = 1 AND :ended = 1)) AND removed_at IS NULL"
    f" AND {scope}"
    for scope in (
        "job_id = :job_id",
        "job_id IS NULL AND kind = :kind AND :wide = 1",
        "job_id IS NULL AND kind IS NULL AND :wide = 1",
    )
)


def _webhook(row: Row) -> Webhook:
    return Webhook(
        id=row["id"],
        name=row["name"],
        origin=row["origin"],
        job_id=row["job_id"],
        kind=row["kind"],
        events=tuple(map(EventType, row["events"].split())),
        enabled=bool(row["enabled"]),
        reason=row["reason"],
        failing_since=row["failing_since"],
        created_at=row["created_at"],
    )


def get(tx: Tx, webhook_id: str) -> Webhook:
    """
    A webhook by its id.

    @raise UnknownWebhook: if there is none.
    """
    row = tx.one(f"{_WEBHOOKS} WHERE webhooks.id = :id AND removed_at IS NULL", id=webhook_id)
    if row is None:
        raise UnknownWebhook
    return _webhook(row)


def find_by_url(
    tx: Tx, url: str, *, job_id: str | None = None, kind: str | None = None
) -> Webhook | None:
    """
    The webhook of a URL, in any spelling, that is registered for one job, one kind or (with
    neither) all jobs. If there are several, it is the oldest.
    """
    row = tx.one(
        f"{_WEBHOOKS} WHERE normal_url = :url"
        " AND COALESCE(job_id, '') = :job_id AND COALESCE(kind, '') = :kind"
        " AND removed_at IS NULL ORDER BY created_at, webhooks.id LIMIT 1",
        url=normal_form(url),
        job_id=job_id or "",
        kind=kind or "",
    )
    return None if row is None else _webhook(row)


def page(tx: Tx, *, limit: int, before: tuple[float, str] | None) -> tuple[list[Webhook], bool]:
    """
    A page of all webhooks, the newest first.

    @param before: go on after this webhook: its C{created_at} and id.
    @return: at most C{limit} webhooks, and whether there are older ones.
    """
    moment, webhook_id = before or (None, None)
    later = "" if before is None else " AND (created_at, webhooks.id) < (:moment, :id)"
    rows = tx.all(
        f"{_WEBHOOKS} WHERE removed_at IS NULL{later}"
        " ORDER BY created_at DESC, webhooks.id DESC LIMIT :limit",
        moment=moment,
        id=webhook_id,
        limit=limit + 1,
    )
    return [_webhook(row) for row in rows[:limit]], len(rows) > limit


def count(tx: Tx, job_id: str | None) -> int:
    """
    Count registered webhooks: those for one job, or for C{None} those for kinds and for all jobs
    together.
    """
    scope = "job_id IS NULL" if job_id is None else "job_id = :job_id"
    row = tx.one(
        f"SELECT COUNT(*) AS count FROM webhooks WHERE {scope} AND removed_at IS NULL",
        job_id=job_id,
    )
    assert row is not None
    return int(row["count"])


def add(
    tx: Tx,
    *,
    url: str,
    origin: str,
    job_id: str | None,
    kind: str | None,
    events: Collection[EventType],
    secret: str,
    name: str | None,
) -> str:
    """
    Register a webhook for one job, one kind or (with neither) all jobs.

    @return: its id.
    """
    tx.execute(
        "INSERT INTO origins (origin) VALUES (:origin) ON CONFLICT (origin) DO NOTHING",
        origin=origin,
    )
    webhook_id = new_id("wh", tx.now)
    tx.execute(
        "INSERT INTO webhooks (id, origin_id, job_id, kind, url, normal_url, events, name, secret,"
        " created_at)"
        " SELECT :id, id, :job_id, :kind, :url, :normal_url, :events, :name, :secret, :now"
        " FROM origins WHERE origin = :origin",
        id=webhook_id,
        job_id=job_id,
        kind=kind,
        url=url,
        normal_url=normal_form(url),
        events=" ".join(events),
        name=name,
        secret=secret,
        now=tx.now,
        origin=origin,
    )
    return webhook_id


class Subscriber(NamedTuple):
    """
    A webhook that is to be told of an update.

    @ivar origin_id: the store's id of its origin.
    @ivar given_up: the reason of its delivery, which is dead, if the server gave the webhook up;
        C{None} otherwise.
    """

    id: str
    origin_id: int
    given_up: str | None


def subscribers(tx: Tx, job: Job) -> list[Subscriber]:
    """
    The webhooks that are to be told of this state of a job: those that are enabled, and of its
    end also those that the server gave up.
    """
    # Event types are matched here: LIKE on a parameter makes SQLite compile the statement anew.
    return [
        Subscriber(webhook_id, origin_id, reason and WAS_DISABLED + reason)
        for webhook_id, origin_id, events, reason in tx.all(
            _SUBSCRIBERS,
            job_id=job.id,
            kind=job.kind,
            wide=int(job.kind != DEMO_KIND),
            ended=int(job.result.terminal),
        )
        if job.event_type in events.split()
    ]


def rename(tx: Tx, webhook_id: str, name: str | None) -> None:
    """Set the name of a webhook."""
    tx.execute("UPDATE webhooks SET name = :name WHERE id = :id", name=name, id=webhook_id)


def set_events(tx: Tx, webhook_id: str, events: Collection[EventType]) -> None:
    """Set the event types that a webhook is told."""
    tx.execute(
        "UPDATE webhooks SET events = :events WHERE id = :id",
        events=" ".join(events),
        id=webhook_id,
    )


def enable(tx: Tx, webhook_id: str) -> None:
    """Send a webhook updates again if it was disabled, and forget its failures."""
    tx.execute(
        "UPDATE webhooks SET enabled = 1, reason = NULL, given_up = 0 WHERE id = :id",
        id=webhook_id,
    )
    note_success(tx, webhook_id)


def disable(tx: Tx, webhook_id: str, reason: str, *, given_up: bool = False) -> None:
    """
    Send a webhook no more updates. Its pending deliveries are dead, except a test.

    @param given_up: whether the server gives the webhook up by itself. Then the ends of jobs are
        still written for it, as dead deliveries, so that they can be sent later.
    """
    tx.execute(
        "UPDATE webhooks SET enabled = 0, reason = :reason, given_up = :given_up"
        " WHERE id = :id AND (enabled = 1 OR given_up = 1)",
        reason=reason,
        given_up=int(given_up),
        id=webhook_id,
    )
    tx.execute(
        "UPDATE deliveries SET state = 'dead', finished_at = :now, reason = :reason"
        " WHERE webhook_id = :id AND state = 'pending' AND job_id IS NOT NULL",
        now=tx.now,
        reason=WAS_DISABLED + reason,
        id=webhook_id,
    )


def disabled_reason(tx: Tx, webhook_id: str) -> str | None:
    """
    The reason of deliveries that are dead because their webhook is disabled; C{None} if it is
    enabled.
    """
    row = tx.one("SELECT reason FROM webhooks WHERE id = :id AND enabled = 0", id=webhook_id)
    return None if row is None else WAS_DISABLED + row["reason"]


def note_success(tx: Tx, webhook_id: str) -> None:
    """Note that an attempt of a delivery, or of a test, succeeded."""
    tx.execute(
        "UPDATE webhooks SET failing_since = NULL, failing_days = 0, failed_on = NULL"
        " WHERE id = :id AND failing_since IS NOT NULL",
        id=webhook_id,
    )


def note_failure(tx: Tx, webhook_id: str) -> None:
    """Note that an attempt of a delivery failed."""
    tx.execute(
        "UPDATE webhooks SET failing_since = COALESCE(failing_since, :now), failed_on = :today,"
        " failing_days = failing_days + CASE WHEN failed_on = :today THEN 0 ELSE 1 END"
        " WHERE id = :id",
        now=tx.now,
        today=int(tx.now // DAY),
        id=webhook_id,
    )


def give_up_if_failing(tx: Tx, webhook_id: str) -> bool:
    """
    Give up a webhook for which a delivery has died, if others failed before: for at least
    L{FAILING_LIMIT} seconds, and on at least L{FAILING_DAYS} days.

    @return: whether it is given up now.
    """
    failing = tx.one(
        "SELECT id FROM webhooks WHERE id = :id AND enabled = 1"
        " AND failing_since <= :since AND failing_days >= :days",
        id=webhook_id,
        since=tx.now - FAILING_LIMIT,
        days=FAILING_DAYS,
    )
    if failing is None:
        return False
    disable(tx, webhook_id, GIVEN_UP, given_up=True)
    return True


def unregister(tx: Tx, url: str, *, job_id: str) -> None:
    """
    Send the webhooks of a URL, in all spellings, no more updates of a job. Deliveries that are
    already written are still made. A URL that is not registered is no error.
    """
    try:
        normal_url = normal_form(url)
    except BadURL:
        return
    tx.execute(
        "UPDATE webhooks SET removed_at = :now WHERE normal_url = :url"
        " AND COALESCE(job_id, '') = :job_id AND removed_at IS NULL",
        url=normal_url,
        job_id=job_id,
        now=tx.now,
    )


def delete(tx: Tx, webhook_id: str) -> None:
    """
    Delete a webhook's URL and secrets, and make no more attempts for it: its pending deliveries
    are dead, and those that are being sent are not repeated. Its rows, which may be many, are
    deleted later (L{statusjob.server.store.retention.delete_removed_webhooks}).
    """
    tx.execute(
        "UPDATE webhooks SET removed_at = :now, url = '', normal_url = '', secret = ''"
        " WHERE id = :id",
        id=webhook_id,
        now=tx.now,
    )
    tx.execute("DELETE FROM old_secrets WHERE webhook_id = :id", id=webhook_id)
    tx.execute(
        "UPDATE deliveries SET state = 'dead', finished_at = :now"
        " WHERE webhook_id = :id AND state IN ('pending', 'sending')",
        id=webhook_id,
        now=tx.now,
    )
