"""
The schema: a numbered list of migrations, the same for every engine.

The schema changes only by a new migration at the end of L{MIGRATIONS}; those that have been
released are in L{statusjob.server.store.migrations}. All migrations run in one transaction, so a
database never is between two versions. Words in braces stand for what engines spell differently
(L{Dialect}).
"""

from __future__ import annotations

from collections.abc import Mapping

from statusjob.contract.urls import BadURL, normal_form
from statusjob.server.store.interface import StoreUnusable, Tx
from statusjob.server.store.migrations import RELEASED, Migration

#: How an engine spells each word in braces.
Dialect = Mapping[str, str]

SQLITE: Dialect = {
    "big": "INTEGER",
    "real": "REAL",
    "identity": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "least": "MIN",
    "greatest": "MAX",
    "generated": "VIRTUAL",
    "strict": "STRICT",
    "clustered": "STRICT, WITHOUT ROWID",
}


def _fill_normal_urls(tx: Tx) -> None:
    """Write down by which form the URL of each webhook is compared."""
    after = ""
    while rows := tx.all(
        "SELECT id, url FROM webhooks WHERE id > :after ORDER BY id LIMIT 1000", after=after
    ):
        for webhook_id, url in rows:
            try:
                normal_url = normal_form(url)
            except BadURL:
                # The URL of a deleted webhook is gone.
                normal_url = url
            tx.execute(
                "UPDATE webhooks SET normal_url = :normal_url WHERE id = :id",
                id=webhook_id,
                normal_url=normal_url,
            )
            after = webhook_id


MIGRATIONS = (
    *RELEASED,
    Migration(
        version=3,
        compatible=3,
        statements=(
            # On how many days (UTC) deliveries failed since failing_since, and the last of these
            # days, counted from the epoch; whether the server gave the webhook up.
            "ALTER TABLE webhooks ADD COLUMN failing_days {big} NOT NULL DEFAULT 0",
            "ALTER TABLE webhooks ADD COLUMN failed_on {big}",
            "ALTER TABLE webhooks ADD COLUMN given_up {big} NOT NULL DEFAULT 0",
            "UPDATE webhooks SET failing_days = 1 WHERE failing_since IS NOT NULL",
            """
            UPDATE webhooks SET given_up = 1
                WHERE enabled = 0 AND reason = 'every delivery failed for 5 days'
            """,
            # URLs are compared by this form. It need not be unique: earlier versions have
            # registered several spellings of one URL.
            "ALTER TABLE webhooks ADD COLUMN normal_url TEXT NOT NULL DEFAULT ''",
            "DROP INDEX webhooks_scope",
            """
            CREATE INDEX webhooks_scope
                ON webhooks (normal_url, COALESCE(job_id, ''), COALESCE(kind, ''), created_at, id)
                WHERE removed_at IS NULL
            """,
            # Until when a URL is paused; whether its receiver asked for that; how many pauses in a
            # row there were of which it named no end.
            """
            CREATE TABLE url_pauses (
                normal_url TEXT PRIMARY KEY,
                origin_id {big} NOT NULL REFERENCES origins (id) ON DELETE CASCADE,
                until {real} NOT NULL,
                asked {big} NOT NULL,
                streak {big} NOT NULL
            ) {clustered}
            """,
            "CREATE INDEX url_pauses_origin ON url_pauses (origin_id, until)",
            "CREATE INDEX url_pauses_until ON url_pauses (until)",
            # When the first attempt of the present schedule began; whether the next one is made
            # although its URL or its origin is paused.
            "ALTER TABLE deliveries ADD COLUMN first_begun_at {real}",
            """
            UPDATE deliveries SET first_begun_at = begun_at
                WHERE state IN ('pending', 'sending') AND attempts > 0
            """,
            "ALTER TABLE deliveries ADD COLUMN probe {big} NOT NULL DEFAULT 0",
            """
            CREATE INDEX deliveries_probe
                ON deliveries (origin_id) WHERE state = 'pending' AND probe = 1
            """,
            # A job that failed may have an output, too. The column is made anew, and the check of
            # the old one goes with it: SQLite cannot drop a check alone.
            "ALTER TABLE jobs RENAME COLUMN output TO old_output",
            """
            ALTER TABLE jobs ADD COLUMN
                output TEXT CHECK (output IS NULL OR result <> 'pending')
            """,
            "UPDATE jobs SET output = old_output WHERE old_output IS NOT NULL",
            "ALTER TABLE jobs DROP COLUMN old_output",
            # begun_at is created_at, but moves along with a clock that is set back; heard_at is
            # moved on where the server could not hear. A job whose alarm cannot be handled is set
            # aside for a while.
            "ALTER TABLE jobs ADD COLUMN begun_at {real}",
            "UPDATE jobs SET begun_at = created_at WHERE result = 'pending'",
            "ALTER TABLE jobs ADD COLUMN set_aside_until {real}",
            "DROP INDEX jobs_due",
            "ALTER TABLE jobs DROP COLUMN due_at",
            """
            ALTER TABLE jobs ADD COLUMN
                due_at {real} GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF({greatest}(
                        COALESCE(set_aside_until, 0),
                        {least}(
                            COALESCE(begun_at + deadline, 1e99),
                            COALESCE(heard_at + heartbeat, 1e99),
                            COALESCE(step_at, 1e99)
                        )
                    ), 1e99) END
                ) {generated}
            """,
            "CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL",
            # An origin is looked at when a delivery may be due there. It needs no other order.
            "ALTER TABLE origins ADD COLUMN ready_at {real}",
            """
            UPDATE origins SET ready_at = (
                SELECT MIN(due_at) FROM deliveries
                WHERE origin_id = origins.id AND state IN ('pending', 'sending')
            )
            """,
            "CREATE INDEX origins_ready ON origins (ready_at, id) WHERE ready_at IS NOT NULL",
            "DROP INDEX origins_paused",
            "ALTER TABLE origins DROP COLUMN served_at",
            "DROP INDEX deliveries_next",
            # The log of a webhook is read by state. Everything else about one webhook and one job
            # is a few rows, and so are the tests of a webhook, which concern no job.
            "DROP INDEX deliveries_webhook",
            "DROP INDEX deliveries_log",
            "DROP INDEX deliveries_job",
            "CREATE INDEX deliveries_job ON deliveries (job_id, webhook_id)",
            "CREATE INDEX deliveries_tests ON deliveries (webhook_id, type) WHERE job_id IS NULL",
            "CREATE INDEX deliveries_state ON deliveries (webhook_id, state, created_at, id)",
            # Only webhooks for kinds and for all jobs are counted, and those of one job.
            "DROP INDEX webhooks_active",
            "DROP INDEX webhooks_origin",
            "ALTER TABLE webhooks DROP COLUMN finished_at",
            "CREATE INDEX webhooks_origin ON webhooks (origin_id)",
            "DROP INDEX webhooks_wide",
            """
            CREATE INDEX webhooks_wide
                ON webhooks (kind) WHERE job_id IS NULL AND removed_at IS NULL
            """,
            """
            CREATE INDEX webhooks_failing
                ON webhooks (failing_since) WHERE failing_since IS NOT NULL
            """,
            # Retention goes through what may be deleted, in this order.
            "DROP INDEX jobs_finished",
            """
            CREATE INDEX jobs_finished ON jobs (finished_at, id) WHERE finished_at IS NOT NULL
            """,
            "DROP INDEX webhooks_removed",
            """
            CREATE INDEX webhooks_removed
                ON webhooks (removed_at, id) WHERE removed_at IS NOT NULL
            """,
            "CREATE INDEX old_secrets_until ON old_secrets (until)",
            # The time that was seen last. If the clock was set forward, by how many seconds, and
            # when that was.
            """
            CREATE TABLE clock (
                seen_at {real} NOT NULL,
                leap {real} NOT NULL,
                leapt_at {real} NOT NULL
            ) {strict}
            """,
            "INSERT INTO clock (seen_at, leap, leapt_at) VALUES (0, 0, 0)",
        ),
        convert=_fill_normal_urls,
    ),
)


def migrate(tx: Tx, dialect: Dialect) -> None:
    """
    Bring a database up to date.

    @raise StoreUnusable: if its schema is too new for this version of statusjob.
    """
    tx.execute(
        "CREATE TABLE IF NOT EXISTS schema_version"
        " (version INTEGER NOT NULL, compatible INTEGER NOT NULL)"
    )
    row = tx.one("SELECT version, compatible FROM schema_version")
    version, compatible = (0, 0) if row is None else (row["version"], row["compatible"])
    known = MIGRATIONS[-1].version
    if compatible > known:
        raise StoreUnusable(
            f"its schema has version {version}, for a newer statusjob (this one knows {known})"
        )
    for migration in MIGRATIONS:
        if migration.version <= version:
            continue
        for statement in migration.statements:
            tx.execute(_spell(statement, dialect))
        migration.convert(tx)
        version, compatible = migration.version, max(compatible, migration.compatible)
    tx.execute("DELETE FROM schema_version")
    tx.execute(
        "INSERT INTO schema_version (version, compatible) VALUES (:version, :compatible)",
        version=version,
        compatible=compatible,
    )


def _spell(statement: str, dialect: Dialect) -> str:
    for word, spelling in dialect.items():
        statement = statement.replace("{" + word + "}", spelling)
    return statement
