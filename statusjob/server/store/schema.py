"""
The schema: a numbered list of migrations, the same for every engine.

The schema changes only by a new migration at the end of L{MIGRATIONS}; a migration that has been
released never changes. All migrations run in one transaction, so a database never is between two
versions. Words in braces stand for what engines spell differently (L{Dialect}).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from statusjob.contract.urls import BadURL, normal_form
from statusjob.server.store.interface import StoreUnusable, Tx

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


@dataclass(frozen=True)
class Migration:
    """
    One step from a version of the schema to the next.

    @ivar version: the version of the schema after the migration.
    @ivar compatible: the lowest version of the schema that a program may know and still work
        with this one.
    @ivar statements: the SQL of the migration.
    @ivar convert: does what SQL cannot do, after the statements.
    """

    version: int
    compatible: int
    statements: tuple[str, ...]
    convert: Callable[[Tx], None] = lambda tx: None


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
    Migration(
        version=1,
        compatible=1,
        statements=(
            # due_at is the earliest of deadline, heartbeat and simulated step. It is generated, so
            # that no statement can forget it.
            """
            CREATE TABLE jobs (
                id TEXT PRIMARY KEY,
                kind TEXT NOT NULL,
                result TEXT NOT NULL CHECK (result IN ('pending', 'completed', 'error')),
                version {big} NOT NULL CHECK (version >= 1),
                progress {real} CHECK (progress BETWEEN 0 AND 1),
                message TEXT,
                eta_at {real},
                output TEXT CHECK (output IS NULL OR result = 'completed'),
                error_code TEXT,
                error_message TEXT,
                metadata TEXT,
                deadline {real},
                heartbeat {real},
                heard_at {real},
                simulated_delay {real},
                simulated_result TEXT,
                step_at {real},
                idempotency_key TEXT UNIQUE,
                idempotency_hash TEXT,
                created_at {real} NOT NULL,
                updated_at {real} NOT NULL,
                finished_at {real},
                due_at {real} GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF({least}(
                        COALESCE(created_at + deadline, 1e99),
                        COALESCE(heard_at + heartbeat, 1e99),
                        COALESCE(step_at, 1e99)
                    ), 1e99) END
                ) STORED,
                CHECK ((result = 'pending') = (finished_at IS NULL)),
                CHECK ((result = 'error') = (error_code IS NOT NULL))
            ) {strict}
            """,
            "CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL",
            "CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL",
            "CREATE INDEX jobs_kind ON jobs (kind, id)",
            "CREATE INDEX jobs_result ON jobs (result, id)",
            "CREATE INDEX jobs_kind_result ON jobs (kind, result, id)",
            """
            CREATE TABLE events (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                version {big} NOT NULL,
                at {real} NOT NULL,
                result TEXT NOT NULL,
                progress {real},
                message TEXT,
                PRIMARY KEY (job_id, version)
            ) {clustered}
            """,
            """
            CREATE TABLE origins (
                id {identity},
                origin TEXT NOT NULL UNIQUE,
                paused_until {real} NOT NULL DEFAULT 0,
                failures {big} NOT NULL DEFAULT 0,
                served_at {real} NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until {real} NOT NULL DEFAULT 0
            ) {strict}
            """,
            # A webhook with removed_at gets no more updates, but deliveries that are already
            # written are still made. In a webhook for one job, finished_at is when that job
            # became terminal.
            """
            CREATE TABLE webhooks (
                id TEXT PRIMARY KEY,
                origin_id {big} NOT NULL REFERENCES origins (id),
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                kind TEXT,
                url TEXT NOT NULL,
                events TEXT NOT NULL,
                name TEXT,
                secret TEXT NOT NULL,
                old_secret TEXT,
                old_secret_until {real},
                enabled {big} NOT NULL DEFAULT 1,
                reason TEXT,
                failing_since {real},
                created_at {real} NOT NULL,
                finished_at {real},
                removed_at {real},
                CHECK (job_id IS NULL OR kind IS NULL)
            ) {strict}
            """,
            """
            CREATE UNIQUE INDEX webhooks_scope
                ON webhooks (url, COALESCE(job_id, ''), COALESCE(kind, ''))
                WHERE removed_at IS NULL
            """,
            "CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL",
            "CREATE INDEX webhooks_wide ON webhooks (kind) WHERE job_id IS NULL",
            """
            CREATE INDEX webhooks_active
                ON webhooks (id) WHERE removed_at IS NULL AND finished_at IS NULL
            """,
            "CREATE INDEX webhooks_origin ON webhooks (origin_id, removed_at, finished_at)",
            "CREATE INDEX webhooks_removed ON webhooks (removed_at) WHERE removed_at IS NOT NULL",
            """
            CREATE TABLE bodies (
                id {identity},
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version {big},
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) {strict}
            """,
            """
            CREATE TABLE deliveries (
                id TEXT PRIMARY KEY,
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                origin_id {big} NOT NULL,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version {big},
                type TEXT NOT NULL,
                body_id {big} NOT NULL REFERENCES bodies (id) ON DELETE CASCADE,
                state TEXT NOT NULL CHECK (
                    state IN ('pending', 'sending', 'delivered', 'superseded', 'dead')
                ),
                attempts {big} NOT NULL DEFAULT 0,
                due_at {real} NOT NULL,
                created_at {real} NOT NULL,
                finished_at {real},
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) {strict}
            """,
            """
            CREATE UNIQUE INDEX deliveries_pending
                ON deliveries (webhook_id, job_id) WHERE state = 'pending'
            """,
            """
            CREATE UNIQUE INDEX deliveries_sending
                ON deliveries (webhook_id, job_id) WHERE state = 'sending'
            """,
            """
            CREATE INDEX deliveries_due
                ON deliveries (origin_id, due_at) WHERE state = 'pending'
            """,
            "CREATE INDEX deliveries_next ON deliveries (due_at) WHERE state = 'pending'",
            "CREATE INDEX deliveries_busy ON deliveries (origin_id) WHERE state = 'sending'",
            "CREATE INDEX deliveries_job ON deliveries (job_id)",
            "CREATE INDEX deliveries_body ON deliveries (body_id)",
            """
            CREATE INDEX deliveries_webhook ON deliveries (webhook_id, job_id, state)
            """,
            """
            CREATE TABLE attempts (
                id {identity},
                delivery_id TEXT NOT NULL
                    REFERENCES deliveries (id) ON DELETE CASCADE ON UPDATE CASCADE,
                attempt {big} NOT NULL,
                started_at {real} NOT NULL,
                ended_at {real},
                class TEXT,
                status {big},
                detail TEXT
            ) {strict}
            """,
            "CREATE INDEX attempts_delivery ON attempts (delivery_id)",
        ),
    ),
    Migration(
        version=2,
        compatible=2,
        statements=(
            # How many attempts an origin may have under way; its round, which ends with a failure
            # (further failures of the same round tell nothing new); since when it fails.
            "ALTER TABLE origins ADD COLUMN slots {big} NOT NULL DEFAULT 16",
            "ALTER TABLE origins ADD COLUMN round {big} NOT NULL DEFAULT 0",
            "ALTER TABLE origins ADD COLUMN down_since {real}",
            "CREATE INDEX origins_paused ON origins (paused_until)",
            # Attempts are written down only once they are over.
            "DELETE FROM attempts WHERE ended_at IS NULL",
            # When the last attempt began, and why a dead delivery is dead.
            "ALTER TABLE deliveries ADD COLUMN begun_at {real}",
            "ALTER TABLE deliveries ADD COLUMN reason TEXT",
            "CREATE INDEX deliveries_log ON deliveries (webhook_id, created_at, id)",
            """
            CREATE INDEX deliveries_dead
                ON deliveries (webhook_id, finished_at) WHERE state = 'dead'
            """,
            # A secret may be rotated again before the overlap of the last rotation is over.
            """
            CREATE TABLE old_secrets (
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                secret TEXT NOT NULL,
                until {real} NOT NULL,
                PRIMARY KEY (webhook_id, secret)
            ) {clustered}
            """,
            """
            INSERT INTO old_secrets (webhook_id, secret, until)
                SELECT id, old_secret, old_secret_until FROM webhooks
                WHERE old_secret IS NOT NULL AND old_secret_until IS NOT NULL
            """,
            "ALTER TABLE webhooks DROP COLUMN old_secret",
            "ALTER TABLE webhooks DROP COLUMN old_secret_until",
            """
            CREATE INDEX webhooks_listed
                ON webhooks (created_at, id) WHERE removed_at IS NULL
            """,
        ),
    ),
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
            # is a few rows.
            "DROP INDEX deliveries_webhook",
            "CREATE INDEX deliveries_webhook ON deliveries (webhook_id, job_id)",
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
