"""Migrations: databases of every released version open, and no migration is half done."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from statusjob.contract.webhooks import Webhook
from statusjob.jobs import CANCELLED, DEMO_KIND, Job, JobFailure, Status
from statusjob.server.store import outbox_claim, schema, webhooks
from statusjob.server.store.interface import StoreUnusable, Tx
from statusjob.server.store.migrations import Migration
from statusjob.server.store.schema import MIGRATIONS
from tests.helpers.core import Core, CoreTestCase
from tests.helpers.secrets import SECRET
from tests.helpers.servers import EPOCH

DUMPS = Path(__file__).parents[2] / "dumps"
#: The version that a migration on top of ours has.
NEXT = MIGRATIONS[-1].version + 1


class SchemaTestCase(CoreTestCase):
    """Databases on files."""

    def setUp(self) -> None:
        self.path = self.mktemp()

    def sql(self, statement: str) -> list[Any]:
        """Run a statement on the closed database."""
        connection = sqlite3.connect(self.path)
        try:
            rows = connection.execute(statement).fetchall()
            connection.commit()
            return rows
        finally:
            connection.close()

    def load(self, name: str) -> None:
        """Make a database from a dump."""
        connection = sqlite3.connect(self.path)
        connection.executescript((DUMPS / name).read_text("utf-8"))
        connection.close()

    def open(self, *migrations: Migration) -> Core:
        """Open the database as a program that knows these further migrations."""
        self.patch(schema, "MIGRATIONS", (*MIGRATIONS, *migrations))
        return self.core(path=self.path)

    def close(self, core: Core) -> None:
        core.store.abandon()

    def shape(self) -> set[str]:
        """The tables and indexes of the closed database."""
        statements = self.sql("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {re.sub(r"\s+", " ", sql).strip() for (sql,) in statements}


def all_webhooks(tx: Tx) -> list[Webhook]:
    """Every webhook."""
    return webhooks.page(tx, limit=100, before=None)[0]


class DumpContract:
    """The tests of each version's dump, a database with a job of every sort."""

    dump = ""

    def setUp(self: Any) -> None:
        self.path = self.mktemp()
        self.load(self.dump)

    def jobs(self: Any, core: Core) -> dict[str, Job]:
        ids = self.column(core, "SELECT id FROM jobs")
        jobs = [self.successResultOf(core.lifecycle.get(each)) for each in ids]
        return {job.kind: job for job in jobs}

    def test_all_jobs_are_there(self: Any) -> None:
        jobs = self.jobs(self.open())
        waiting = jobs["waiting"]
        self.assertEqual((waiting.result, waiting.version), (Status.PENDING, 2))
        self.assertEqual((waiting.progress, waiting.message), (0.5, "half"))
        self.assertEqual(waiting.metadata, {"a": [1, "ü"]})
        self.assertEqual((waiting.created_at, waiting.eta_at), (EPOCH + 1, EPOCH + 62))
        self.assertEqual((waiting.heartbeat, jobs["limited"].deadline), (600, 3600))
        self.assertEqual(jobs["delivered"].output, {"frames": 7})
        self.assertEqual(jobs["delivered"].duration, 1)
        self.assertEqual(jobs["dead"].error, JobFailure("disk", "is full"))
        self.assertEqual(jobs["cancelled"].error, JobFailure(CANCELLED))
        self.assertTrue(jobs["simulated"].simulated and jobs[DEMO_KIND].simulated)
        self.assertEqual(len(jobs), 10)

    def test_all_deliveries_are_there_and_those_being_sent_are_due_again(self: Any) -> None:
        core = self.open()
        rows = self.rows(
            core,
            "SELECT kind, state, attempts FROM deliveries JOIN jobs ON jobs.id = job_id",
        )
        self.assertEqual(
            {row["kind"]: (row["state"], row["attempts"]) for row in rows},
            {
                "delivered": ("delivered", 1),
                "dead": ("dead", 1),
                "retried": ("pending", 1),
                "sending": ("pending", 0),
            },
        )
        (claim,) = self.write(core, lambda tx: outbox_claim.claim(tx, "node", 10, 10)).claims
        self.assertIn(b'"kind":"sending"', claim.body)

    def test_pending_jobs_go_on(self: Any) -> None:
        core = self.open()
        core.start_alarms()
        jobs = self.jobs(core)
        self.assertEqual(self.report(core, jobs["waiting"], b'{"progress":0.75}').version, 3)
        core.clock.advance(3700)
        after = self.jobs(core)
        ended = {kind: job.error and job.error.code for kind, job in after.items()}
        self.assertEqual(
            [ended[kind] for kind in ("waiting", "limited", "simulated", DEMO_KIND)],
            ["worker-lost", "deadline-exceeded", "simulated", None],
        )
        self.assertIs(after[DEMO_KIND].result, Status.COMPLETED)

    def test_a_job_of_then_may_fail_with_an_output(self: Any) -> None:
        core = self.open()
        body = b'{"result":"error","output":[1]}'
        job = self.report(core, self.jobs(core)["waiting"], body)
        self.assertEqual((job.output, self.get(core, job).output), ([1], [1]))


class Version1Tests(DumpContract, SchemaTestCase):
    """A database of version 1."""

    dump = "v1.sql"

    def test_the_old_secret_of_a_rotation_still_signs(self) -> None:
        self.sql("UPDATE webhooks SET old_secret = 'whsec_old', old_secret_until = 2e9")
        core = self.open()
        (claim,) = self.write(core, lambda tx: outbox_claim.claim(tx, "node", 10, 10)).claims
        self.assertEqual(claim.secrets, (SECRET, "whsec_old"))


class Version2Tests(DumpContract, SchemaTestCase):
    """A database of version 2."""

    dump = "v2.sql"

    def test_all_webhooks_and_the_reasons_of_dead_deliveries_are_there(self) -> None:
        core = self.open()
        named = {each.name: each for each in self.write(core, all_webhooks)}
        self.assertEqual(named["kind"].kind, "delivered")
        self.assertEqual((named["gone"].enabled, named["gone"].reason), (False, "by request"))
        (rotated,) = self.column(core, "SELECT webhook_id FROM old_secrets")
        self.assertEqual(rotated, named["kind"].id)
        reasons = self.column(core, "SELECT reason FROM deliveries WHERE state = 'dead'")
        self.assertEqual(reasons, ["every attempt failed"])

    def test_a_webhook_that_the_server_disabled_counts_as_given_up(self) -> None:
        self.sql(
            "UPDATE webhooks SET reason = 'every delivery failed for 5 days' WHERE enabled = 0"
        )
        core = self.open()
        given_up = self.column(core, "SELECT given_up FROM webhooks WHERE enabled = 0")
        self.assertEqual(given_up, [1])

    def test_webhooks_are_found_by_any_spelling_of_their_url_and_then_the_oldest(self) -> None:
        self.sql("UPDATE webhooks SET url = 'HTTPS://Receiver.example' WHERE name = 'gone'")
        self.sql("UPDATE webhooks SET url = '', removed_at = 5 WHERE name = 'kind'")
        ((gone,),) = self.sql("SELECT id FROM webhooks WHERE name = 'gone'")
        core = self.open()
        url = "https://receiver.example:443/#a"
        found = self.write(core, lambda tx: webhooks.find_by_url(tx, url))
        assert found is not None
        self.assertEqual(found.id, gone)


class Version3Tests(DumpContract, SchemaTestCase):
    """A database of version 3."""

    dump = "v3.sql"


class MigrationTests(SchemaTestCase):
    """Migrations from one version to the next."""

    def test_every_version_has_a_dump_and_the_newest_dump_has_the_present_schema(
        self: Any,
    ) -> None:
        for migration in MIGRATIONS:
            self.assertTrue((DUMPS / f"v{migration.version}.sql").exists())
        self.load(f"v{MIGRATIONS[-1].version}.sql")
        before = self.shape()
        self.path = self.mktemp()
        self.close(self.open())
        self.assertEqual(before, self.shape())

    def versions(self) -> list[Any]:
        return self.sql("SELECT version, compatible FROM schema_version")

    def test_a_new_database_has_the_newest_version(self) -> None:
        self.close(self.open())
        newest = MIGRATIONS[-1]
        self.assertEqual(self.versions(), [(newest.version, newest.compatible)])

    def test_versions_rise_by_one_and_compatible_versions_are_not_newer(self) -> None:
        self.assertEqual(
            [each.version for each in MIGRATIONS], list(range(1, len(MIGRATIONS) + 1))
        )
        for migration in MIGRATIONS:
            self.assertLessEqual(migration.compatible, migration.version)

    def test_only_missing_migrations_run_and_only_once(self) -> None:
        self.close(self.open())
        next_one = Migration(NEXT, NEXT, ("ALTER TABLE jobs ADD COLUMN colour {real}",))
        self.close(self.open(next_one))
        core = self.open(next_one)
        self.assertEqual(self.column(core, "SELECT colour FROM jobs"), [])
        self.close(core)
        self.assertEqual(self.versions(), [(NEXT, NEXT)])

    def test_an_incompatible_newer_version_is_refused_and_not_changed(self) -> None:
        self.close(self.open())
        self.sql("UPDATE schema_version SET version = 9, compatible = 5")
        error = self.assertRaises(StoreUnusable, self.open)
        self.assertIn("version 9, for a newer statusjob", str(error))
        self.assertEqual(self.versions(), [(9, 5)])

    def test_a_compatible_newer_version_is_opened_and_keeps_its_version(self) -> None:
        self.close(self.open())
        self.sql("UPDATE schema_version SET version = 9, compatible = 1")
        core = self.open()
        self.create(core)
        self.close(core)
        self.assertEqual(self.versions(), [(9, 1)])

    def test_an_older_program_stays_refused_after_an_incompatible_version(self) -> None:
        breaking = Migration(NEXT, NEXT, ("ALTER TABLE jobs ADD COLUMN colour TEXT",))
        adding = Migration(NEXT + 1, 1, ("ALTER TABLE jobs ADD COLUMN smell TEXT",))
        self.close(self.open(breaking, adding))
        self.assertEqual(self.versions(), [(NEXT + 1, NEXT)])
        self.assertRaises(StoreUnusable, self.open)

    def test_a_migration_that_fails_midway_changes_nothing(self) -> None:
        self.load("v1.sql")
        before = self.shape()
        rows = self.sql("SELECT id, version FROM jobs")
        broken = Migration(
            NEXT,
            NEXT,
            (
                "ALTER TABLE jobs ADD COLUMN colour TEXT",
                "UPDATE jobs SET version = 7",
                "DROP TABLE no_such_table",
            ),
        )
        error = self.assertRaises(StoreUnusable, self.open, broken)
        self.assertIn("no_such_table", str(error))
        self.assertEqual((self.versions(), self.shape()), ([(1, 1)], before))
        self.assertEqual(self.sql("SELECT id, version FROM jobs"), rows)
        self.close(self.open())

    def test_a_new_database_whose_creation_fails_stays_empty(self) -> None:
        broken = Migration(NEXT, NEXT, ("DROP TABLE no_such_table",))
        self.assertRaises(StoreUnusable, self.open, broken)
        self.assertEqual(self.shape(), set())

    def test_another_programs_table_of_the_same_name_is_refused(self) -> None:
        self.sql("CREATE TABLE schema_version (version INTEGER, lock TEXT)")
        self.assertRaises(StoreUnusable, self.open)
