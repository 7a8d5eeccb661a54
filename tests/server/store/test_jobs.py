"""Jobs in SQL: the updates that changes announce."""

from __future__ import annotations

from statusjob.jobs import EventType
from tests.helpers.core import COMPLETED, URL, CoreTestCase, hook
from tests.helpers.servers import EPOCH


class AnnouncedTests(CoreTestCase):
    """The updates that the feed hears after a change."""

    def test_every_change_is_announced_with_the_job_and_its_next_alarm(self) -> None:
        core = self.core()
        job = self.create(core, b'{"deadline":60,"heartbeat":5}')
        core.clock.advance(1)
        after = self.report(core, job, b'{"progress":0.5}')
        end = self.report(core, job, COMPLETED)
        self.assertEqual([update.job for update in core.heard], [job, after, end])
        self.assertEqual([update.due_at for update in core.heard], [EPOCH + 60, EPOCH + 6, None])

    def test_a_heartbeat_is_announced_with_its_new_alarm_and_the_known_version(self) -> None:
        core = self.core()
        job = self.create(core, b'{"heartbeat":5}')
        told = hook(events=[EventType.PROGRESS])
        self.successResultOf(core.registrations.register(job.id, told))
        for _ in range(2):
            core.clock.advance(1)
            self.report(core, job)
        updates = core.heard[1:]
        self.assertEqual([update.job for update in updates], [job, job])
        self.assertEqual([update.due_at for update in updates], [EPOCH + 6, EPOCH + 7])
        self.assertEqual([update.deliveries for update in updates], [0, 0])

    def test_an_update_has_the_number_of_deliveries_that_were_written(self) -> None:
        core = self.core()
        job = self.create(core)
        for i in range(3):
            self.successResultOf(core.registrations.register(job.id, hook(f"{URL}{i}")))
        self.report(core, job, b'{"progress":0.5}')
        self.report(core, job, COMPLETED)
        self.assertEqual([update.deliveries for update in core.heard], [0, 0, 3])
