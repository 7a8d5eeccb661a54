"""
The work of an engine that has its database to itself, at its start and when the clock was set.

Only such an engine calls this. Where several processes share a database, no process may end the
leases of another one, or move times that another one has written.
"""

from __future__ import annotations

from statusjob.server.store.interface import Tx
from statusjob.server.store.outbox_claim import return_to_pending


def resume(tx: Tx) -> None:
    """
    Go on where an earlier process ended. If the clock is behind the time that was seen last, it
    was set back meanwhile: then no wait becomes longer by that.
    """
    row = tx.one("SELECT seen_at FROM clock")
    if row is not None and tx.now < row["seen_at"]:
        move_waits(tx, tx.now - row["seen_at"])
    note_time(tx)
    release_leases(tx)


def note_time(tx: Tx) -> None:
    """Note the present as seen, for L{resume}."""
    tx.execute("UPDATE clock SET seen_at = :now", now=tx.now)


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

    Only a deadline and a simulated end are points in time, which a clock that was set forward has
    reached; if it was set back, nobody waits longer for them, either.

    @param seconds: by how much the clock was set forward; negative if it was set back.
    """
    # Deliveries that were written since then have times by the new clock already.
    before = "created_at <= :now - :by" if seconds > 0 else "due_at > :now"
    for state in ("pending", "sending"):
        tx.execute(
            "UPDATE deliveries SET due_at = due_at + :by, begun_at = begun_at + :by,"
            " first_begun_at = first_begun_at + :by"
            f" WHERE state = '{state}' AND {before}",
            by=seconds,
            now=tx.now,
        )
    tx.execute(
        "UPDATE origins SET paused_until = paused_until + :by, leased_until = leased_until + :by,"
        " ready_at = ready_at + :back, down_since = down_since + :back",
        by=seconds,
        back=min(0.0, seconds),
    )
    tx.execute("UPDATE url_pauses SET until = until + :by", by=seconds)
    tx.execute(
        "UPDATE webhooks SET failing_since = failing_since + :by WHERE failing_since IS NOT NULL",
        by=seconds,
    )
    tx.execute("UPDATE old_secrets SET until = until + :by", by=seconds)
    tx.execute(
        "UPDATE jobs SET heard_at = heard_at + :by, set_aside_until = set_aside_until + :by,"
        " begun_at = begun_at + :back, step_at = step_at + :back WHERE due_at IS NOT NULL",
        by=seconds,
        back=min(0.0, seconds),
    )
    tx.execute(
        "UPDATE clock SET seen_at = :now, leapt_at = :now,"
        " leap = CASE WHEN leap + :by > 0 THEN leap + :by ELSE 0 END",
        by=seconds,
        now=tx.now,
    )
