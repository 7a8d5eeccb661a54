"""
Secrets of webhooks in SQL: which of them sign, and their rotation.
"""

from __future__ import annotations

from statusjob.server.store.interface import Tx

#: Seconds for which the old secret still signs after a rotation.
OVERLAP = 86_400.0


def valid(tx: Tx, webhook_id: str) -> tuple[str, ...]:
    """The secrets of a webhook that sign now, the newest first."""
    rows = tx.all(
        "SELECT secret, NULL AS until FROM webhooks WHERE id = :id UNION ALL"
        " SELECT secret, until FROM old_secrets WHERE webhook_id = :id AND until > :now"
        " ORDER BY until DESC NULLS FIRST",
        id=webhook_id,
        now=tx.now,
    )
    return tuple(row["secret"] for row in rows)


def rotate(tx: Tx, webhook_id: str, secret: str) -> None:
    """Sign with C{secret} from now on, and with the present secret for L{OVERLAP} seconds more."""
    tx.execute(
        "DELETE FROM old_secrets WHERE webhook_id = :id AND (until <= :now OR secret = :secret)",
        id=webhook_id,
        now=tx.now,
        secret=secret,
    )
    tx.execute(
        "INSERT INTO old_secrets (webhook_id, secret, until)"
        " SELECT id, secret, :until FROM webhooks WHERE id = :id",
        id=webhook_id,
        until=tx.now + OVERLAP,
    )
    tx.execute("UPDATE webhooks SET secret = :secret WHERE id = :id", id=webhook_id, secret=secret)
