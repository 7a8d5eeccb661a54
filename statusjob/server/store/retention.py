"""
Retention in SQL: deletes old jobs, removed webhooks, expired secrets and unused origins.

Passes over all that may be deleted are made in batches. Each goes on where the last one ended, so
that rows which have to stay are looked at once a pass, and a batch ends by time: what follows from
the deletion of one row may be much or little.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from statusjob.server.store import url_pauses
from statusjob.server.store.interface import Tx, Update
from statusjob.server.store.jobs import demo_id

#: Rows of each sort that one batch looks at, at most, and seconds after which it goes on with
#: the next sort.
BATCH_ROWS = 1_000
BATCH_SECONDS = 0.01
#: Deliveries of a removed webhook that one statement deletes.
_DELIVERIES = 50


class Place(NamedTuple):
    """
    Where a pass has come to: the last row of each sort that was looked at; C{None} if the pass is
    over for this sort.
    """

    job: tuple[float, str] | None = (0.0, "")
    webhook: tuple[float, str] | None = (0.0, "")
    origin: int | None = 0

    @property
    def end(self) -> bool:
        """Whether the pass is over."""
        return self == (None, None, None)


def delete_batch(tx: Tx, keep: float, place: Place, seconds: Callable[[], float]) -> Place:
    """
    Delete some of everything that nobody needs any more.

    @param keep: for how many seconds jobs are kept after their end.
    @param place: where the last batch ended.
    @param seconds: a clock that nobody sets, to see how long the batch takes.
    @return: where this batch ended.
    """
    delete_expired_secrets(tx)
    url_pauses.forget_old(tx)
    job, webhook, origin = place
    if job is not None:
        job = delete_old_jobs(tx, tx.now - keep - _leap(tx, keep), job, _timer(seconds))
    if webhook is not None:
        webhook = delete_removed_webhooks(tx, webhook, _timer(seconds))
    if job is None and webhook is None and origin is not None:
        # The others may have made some of them unused.
        origin = delete_unused_origins(tx, origin, _timer(seconds))
    return Place(job, webhook, origin)


def _timer(seconds: Callable[[], float]) -> Callable[[], bool]:
    """A function that tells whether there is time left."""
    end = seconds() + BATCH_SECONDS
    return lambda: seconds() < end


def _leap(tx: Tx, keep: float) -> float:
    """
    By how many seconds the age of jobs seems to be greater than it is, because the clock was set
    forward after their end.
    """
    row = tx.one("SELECT leap, leapt_at FROM clock")
    if row is None or row["leap"] == 0:
        return 0.0
    if row["leapt_at"] + keep > tx.now:
        return float(row["leap"])
    # Every job that ended before the leap has been kept for long enough.
    tx.execute("UPDATE clock SET leap = 0")
    return 0.0


def delete_old_jobs(
    tx: Tx, before: float, after: tuple[float, str], more: Callable[[], bool]
) -> tuple[float, str] | None:
    """
    Delete jobs that ended before a time, with everything that belongs to them. A job with a
    delivery that is still to be made stays, and so does the newest demo job.

    @param after: go on after this job: its C{finished_at} and id.
    @param more: whether there is time for one more.
    @return: the last job that was looked at; C{None} if there are no more.
    """
    rows = tx.all(
        "SELECT finished_at, id FROM jobs WHERE finished_at < :before"
        " AND (finished_at, id) > (:moment, :id) ORDER BY finished_at, id LIMIT :limit",
        before=before,
        moment=after[0],
        id=after[1],
        limit=BATCH_ROWS,
    )
    demo = demo_id(tx) if rows else None
    for row in rows:
        if row["id"] != demo:
            deleted = tx.execute(
                "DELETE FROM jobs WHERE id = :id AND NOT EXISTS (SELECT 1 FROM deliveries"
                " WHERE job_id = :id AND state IN ('pending', 'sending'))",
                id=row["id"],
            )
            if deleted:
                tx.announce(Update(deleted=row["id"]))
        after = (row["finished_at"], row["id"])
        if not more():
            return after
    return after if len(rows) == BATCH_ROWS else None


def delete_expired_secrets(tx: Tx) -> None:
    """Delete the secrets of rotations whose overlap is over."""
    tx.execute("DELETE FROM old_secrets WHERE until <= :now", now=tx.now)


def delete_removed_webhooks(
    tx: Tx, after: tuple[float, str], more: Callable[[], bool]
) -> tuple[float, str] | None:
    """
    Delete finished deliveries of webhooks that were removed, and those of these webhooks that have
    no deliveries left.

    @param after: go on after this webhook: its C{removed_at} and id.
    @param more: whether there is time for some more rows.
    @return: the last webhook with which this has finished; C{None} if there are no more.
    """
    rows = tx.all(
        "SELECT removed_at, id FROM webhooks WHERE removed_at IS NOT NULL"
        " AND (removed_at, id) > (:moment, :id) ORDER BY removed_at, id LIMIT :limit",
        moment=after[0],
        id=after[1],
        limit=BATCH_ROWS,
    )
    for row in rows:
        while _delete_finished_deliveries(tx, row["id"]) == _DELIVERIES:
            if not more():
                return after
        tx.execute(
            "DELETE FROM webhooks WHERE id = :id"
            " AND NOT EXISTS (SELECT 1 FROM deliveries WHERE webhook_id = :id)",
            id=row["id"],
        )
        after = (row["removed_at"], row["id"])
        if not more():
            return after
    return after if len(rows) == BATCH_ROWS else None


def _delete_finished_deliveries(tx: Tx, webhook_id: str) -> int:
    finished = tx.all(
        "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries"
        " WHERE webhook_id = :id AND state IN ('delivered', 'superseded', 'dead') LIMIT :limit)"
        " RETURNING body_id",
        id=webhook_id,
        limit=_DELIVERIES,
    )
    for body_id in {row["body_id"] for row in finished}:
        tx.execute(
            "DELETE FROM bodies WHERE id = :id AND NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE body_id = :id)",
            id=body_id,
        )
    return len(finished)


def delete_unused_origins(tx: Tx, after: int, more: Callable[[], bool]) -> int | None:
    """
    Delete origins that have no webhook.

    @param after: go on after the origin of this id.
    @param more: whether there is time for one more.
    @return: the last origin that was looked at; C{None} if there are no more.
    """
    rows = tx.all(
        "SELECT id FROM origins WHERE id > :after ORDER BY id LIMIT :limit",
        after=after,
        limit=BATCH_ROWS,
    )
    for row in rows:
        tx.execute(
            "DELETE FROM origins WHERE id = :id"
            " AND NOT EXISTS (SELECT 1 FROM webhooks WHERE origin_id = :id)",
            id=row["id"],
        )
        after = row["id"]
        if not more():
            return after
    return after if len(rows) == BATCH_ROWS else None
