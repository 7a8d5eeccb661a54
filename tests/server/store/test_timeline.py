"""The timeline in SQL: which events are kept."""

from __future__ import annotations

from statusjob.jobs import Job
from statusjob.server.store.timeline import EVENTS_LIMIT
from tests.helpers.core import COMPLETED, Core, CoreTestCase
from tests.helpers.servers import EPOCH


class TimelineTests(CoreTestCase):
    """The timeline has the newest hundred events of a job."""

    def versions(self, core: Core, job: Job) -> list[int]:
        return self.column(
            core, "SELECT version FROM events WHERE job_id = :id ORDER BY version", id=job.id
        )

    def report_times(self, core: Core, job: Job, times: int) -> None:
        for i in range(times):
            self.report(core, job, b'{"message":"%d"}' % i)

    def test_up_to_the_limit_every_event_is_kept(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report_times(core, job, EVENTS_LIMIT - 1)
        self.assertEqual(self.versions(core, job), list(range(1, 101)))

    def test_beyond_the_limit_exactly_the_newest_events_are_kept(self) -> None:
        core = self.core()
        job, other = self.create(core), self.create(core)
        self.report_times(core, job, EVENTS_LIMIT)
        self.assertEqual(self.versions(core, job), list(range(2, 102)))
        self.report(core, job, COMPLETED)
        self.assertEqual(self.versions(core, job), list(range(3, 103)))
        self.assertEqual(self.versions(core, other), [1])

    def test_an_event_has_the_state_and_the_time_of_a_change(self) -> None:
        core = self.core()
        job = self.create(core)
        core.clock.advance(2)
        self.report(core, job, b'{"progress":0.5,"message":"half"}')
        rows = self.rows(core, "SELECT * FROM events ORDER BY version")
        self.assertEqual(
            [(row["at"], row["result"], row["progress"], row["message"]) for row in rows],
            [(EPOCH, "pending", None, None), (EPOCH + 2, "pending", 0.5, "half")],
        )
