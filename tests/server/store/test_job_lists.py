"""Lists of jobs in SQL."""

from __future__ import annotations

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
        listed, _ = self.successResultOf(
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
