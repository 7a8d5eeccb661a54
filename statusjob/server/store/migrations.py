"""
What a migration of the schema is, and those that have been released: they never change.

How they are run, and what an engine makes of words in braces, is in
L{statusjob.server.store.schema}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from statusjob.server.store.interface import Tx


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


RELEASED = (
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
)
