"""
The work of an engine that has its database to itself, at its start and when the clock was set.

Only such an engine calls this. Where several processes share a database, no process may end the
leases of another one, or move times that another one has written.
"""

from __future__ import annotations

from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_claim import return_to_pending


def release_leases(tx: Tx) -> None:
    """
    End every lease, and let deliveries be due at once that an earlier process was sending when it
    ended.
    """
    return_to_pending(tx, "TRUE")
    tx.execute("UPDATE origins SET lease = NULL, leased_until = 0 WHERE lease IS NOT NULL")


def move_waits(tx: Tx, seconds: float) -> None:
    """
    Move all times that end a wait along with a clock that was set, so that no wait becomes longer
    or shorter.

    @param seconds: by how much the clock was set forward; negative if it was set back.
    """
    # Deliveries that were written since then have times by the new clock already.
    before = "created_at <= :now - :by" if seconds > 0 else "due_at > :now"
    tx.execute(
        "UPDATE deliveries SET due_at = due_at + :by, begun_at = begun_at + :by"
        f" WHERE state IN ('pending', 'sending') AND {before}",
        by=seconds,
        now=tx.now,
    )
    tx.execute(
        "UPDATE origins SET paused_until = paused_until + :by, leased_until = leased_until + :by",
        by=seconds,
    )
    tx.execute(
        "UPDATE webhooks SET failing_since = failing_since + :by WHERE failing_since IS NOT NULL",
        by=seconds,
    )
