"""Lists of jobs in SQL."""

from __future__ import annotations

from twisted.logger import capturedLogs

from statusjob.jobs import Status
from tests.helpers.core import COMPLETED, CoreTestCase


class ListTests(CoreTestCase):
    """Lists of jobs."""

    def setUp(self) -> None:
        self.jobs = self.core()
        self.made = []
        for kind in (b"a", b"b", b"a", b"b", b"a"):
            self.jobs.clock.advance(0.001)
            self.made.append(self.create(self.jobs, b'{"kind":"%b"}' % kind))
        self.made[0] = self.report(self.jobs, self.made[0], COMPLETED)

    def list(
        self,
        limit: int = 10,
        before: str | None = None,
        result: Status | None = None,
        kind: str | None = None,
    ) -> list[int]:
        """The numbers of the jobs that are listed."""
        listed, self.after = self.successResultOf(
            self.jobs.lifecycle.list(limit=limit, before=before, result=result, kind=kind)
        )
        return [self.made.index(job) for job in listed]

    def test_the_newest_jobs_come_first(self) -> None:
        self.assertEqual(self.list(), [4, 3, 2, 1, 0])

    def test_a_page_begins_where_the_last_one_ended(self) -> None:
        self.assertEqual(self.list(limit=2), [4, 3])
        self.assertEqual(self.list(limit=2, before=self.made[3].id), [2, 1])

    def test_a_list_can_be_limited_to_a_kind_and_a_result(self) -> None:
        self.assertEqual(self.list(kind="a"), [4, 2, 0])
        self.assertEqual(self.list(kind="a", result=Status.PENDING), [4, 2])
        self.assertEqual(self.list(result=Status.COMPLETED), [0])
        self.assertEqual(self.list(kind="b", result=Status.COMPLETED), [])
        self.assertEqual(self.list(kind="a", before=self.made[4].id, limit=1), [2])

    def test_a_job_that_cannot_be_read_is_left_out_of_lists_and_logged(self) -> None:
        for column, value in (
            ("metadata", "'{'"),
            ("metadata", "CAST(x'ff' AS TEXT)"),
            ("message", "CAST(x'ff' AS TEXT)"),
        ):
            self.execute(
                self.jobs, f"UPDATE jobs SET {column} = {value} WHERE id = :id", id=self.made[3].id
            )
            with capturedLogs() as logs:
                self.assertEqual(self.list(), [4, 2, 1, 0])
                read = self.successResultOf(
                    self.jobs.lifecycle.get_many([job.id for job in self.made])
                )
            self.assertEqual([*read.values()], [*self.made[:3], None, self.made[4]])
            self.assertEqual([event["id"] for event in logs], [self.made[3].id] * 2)
            self.execute(self.jobs, f"UPDATE jobs SET {column} = NULL")

    def test_a_page_whose_last_job_cannot_be_read_is_followed_by_the_next(self) -> None:
        self.execute(
            self.jobs, "UPDATE jobs SET metadata = '{' WHERE id = :id", id=self.made[3].id
        )
        with capturedLogs():
            self.assertEqual(self.list(limit=2), [4])
            self.assertEqual(self.after, self.made[3].id)
            self.assertEqual(self.list(limit=1, before=self.made[4].id), [])
        self.assertEqual(self.list(limit=2, before=self.after), [2, 1])
        self.list(limit=2, before=self.made[2].id)
        self.assertIsNone(self.after)
