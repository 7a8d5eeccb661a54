"""Alarms of jobs in SQL: which jobs are due."""

from __future__ import annotations

from statusjob.server.store import due_jobs
from statusjob.server.store.interface import Tx
from tests.helpers.core import CoreTestCase
from tests.helpers.servers import EPOCH


class DueTests(CoreTestCase):
    """Jobs whose alarm is due."""

    def test_the_earliest_alarms_come_first_and_no_more_than_the_limit(self) -> None:
        core = self.core()
        created = [self.create(core, b'{"deadline":%d}' % deadline) for deadline in (3, 1, 2, 9)]
        core.clock.advance(5)

        def work(tx: Tx) -> tuple[list[str], float | None]:
            return [job.id for job in due_jobs.due(tx, 2)], due_jobs.next_due(tx)

        self.assertEqual(self.write(core, work), ([created[1].id, created[2].id], EPOCH + 1))

    def test_a_job_that_never_reported_has_no_heartbeat_alarm(self) -> None:
        core = self.core()
        self.create(core, b'{"heartbeat":5}')
        self.assertIsNone(self.write(core, due_jobs.next_due))

    def test_due_jobs_are_found_by_an_index(self) -> None:
        core = self.core()
        plan = self.rows(
            core,
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE due_at <= 1 ORDER BY due_at LIMIT 9",
        )
        self.assertIn("jobs_due", plan[0]["detail"])
