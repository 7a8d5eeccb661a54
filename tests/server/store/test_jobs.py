"""Jobs in SQL: the timeline, lists, alarms that are due, and what is forgotten."""

from __future__ import annotations

from statusjob.jobs import EventType, Job, Status
from statusjob.server.jobs.due import RETENTION_BATCH, delete_expired
from statusjob.server.store import due_jobs
from statusjob.server.store.interface import Tx
from statusjob.server.store.timeline import EVENTS_LIMIT
from tests.helpers.core import COMPLETED, URL, Core, CoreTestCase, hook, new_job, said
from tests.helpers.servers import EPOCH


class TimelineTests(CoreTestCase):
    """Events: the newest hundred of a job."""

    def versions(self, core: Core, job: Job) -> list[int]:
        return self.column(
            core, "SELECT version FROM events WHERE job_id = :id ORDER BY version", id=job.id
        )

    def report_times(self, core: Core, job: Job, times: int) -> None:
        for i in range(times):
            self.report(core, job, b'{"message":"%d"}' % i)

    def test_up_to_its_bound_every_event_is_kept(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report_times(core, job, EVENTS_LIMIT - 1)
        self.assertEqual(self.versions(core, job), list(range(1, 101)))

    def test_beyond_it_exactly_the_newest_are(self) -> None:
        core = self.core()
        job, other = self.create(core), self.create(core)
        self.report_times(core, job, EVENTS_LIMIT)
        self.assertEqual(self.versions(core, job), list(range(2, 102)))
        self.report(core, job, COMPLETED)
        self.assertEqual(self.versions(core, job), list(range(3, 103)))
        self.assertEqual(self.versions(core, other), [1])

    def test_an_event_says_what_changed_and_when(self) -> None:
        core = self.core()
        job = self.create(core)
        core.clock.advance(2)
        self.report(core, job, b'{"progress":0.5,"message":"half"}')
        rows = self.rows(core, "SELECT * FROM events ORDER BY version")
        self.assertEqual(
            [(row["at"], row["result"], row["progress"], row["message"]) for row in rows],
            [(EPOCH, "pending", None, None), (EPOCH + 2, "pending", 0.5, "half")],
        )


class AnnouncedTests(CoreTestCase):
    """What the feed is told of a change."""

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

    def test_an_update_says_how_many_deliveries_it_wrote(self) -> None:
        core = self.core()
        job = self.create(core)
        for i in range(3):
            self.successResultOf(core.registrations.register(job.id, hook(f"{URL}{i}")))
        self.report(core, job, b'{"progress":0.5}')
        self.report(core, job, COMPLETED)
        self.assertEqual([update.deliveries for update in core.heard], [0, 0, 3])


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
        """Which of the jobs made are listed."""
        listed, _ = self.successResultOf(
            self.jobs.lifecycle.list(limit=limit, before=before, result=result, kind=kind)
        )
        return [self.made.index(job) for job in listed]

    def test_the_newest_come_first(self) -> None:
        self.assertEqual(self.list(), [4, 3, 2, 1, 0])

    def test_a_page_goes_on_where_the_last_one_ended(self) -> None:
        self.assertEqual(self.list(limit=2), [4, 3])
        self.assertEqual(self.list(limit=2, before=self.made[3].id), [2, 1])

    def test_kind_and_result_narrow_it(self) -> None:
        self.assertEqual(self.list(kind="a"), [4, 2, 0])
        self.assertEqual(self.list(kind="a", result=Status.PENDING), [4, 2])
        self.assertEqual(self.list(result=Status.COMPLETED), [0])
        self.assertEqual(self.list(kind="b", result=Status.COMPLETED), [])
        self.assertEqual(self.list(kind="a", before=self.made[4].id, limit=1), [2])


class DueTests(CoreTestCase):
    """Jobs whose alarm has rung."""

    def test_the_earliest_come_first_and_no_more_than_asked_for(self) -> None:
        core = self.core()
        created = [self.create(core, b'{"deadline":%d}' % deadline) for deadline in (3, 1, 2, 9)]
        core.clock.advance(5)

        def work(tx: Tx) -> tuple[list[str], float | None]:
            return [job.id for job in due_jobs.due(tx, 2)], due_jobs.next_due(tx)

        self.assertEqual(self.write(core, work), ([created[1].id, created[2].id], EPOCH + 1))

    def test_a_job_that_waits_for_nothing_has_no_alarm(self) -> None:
        core = self.core()
        self.create(core, b'{"heartbeat":5}')
        self.assertIsNone(self.write(core, due_jobs.next_due))

    def test_looking_for_what_is_due_needs_no_scan(self) -> None:
        core = self.core()
        plan = self.rows(
            core,
            "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE due_at <= 1 ORDER BY due_at LIMIT 9",
        )
        self.assertIn("jobs_due", plan[0]["detail"])


class RetentionTests(CoreTestCase):
    """Jobs that ended long ago are forgotten."""

    def expire(self, core: Core, retention: float = 100) -> bool:
        return self.write(core, lambda tx: delete_expired(tx, retention)) is not None

    def left(self, core: Core) -> list[str]:
        return self.column(core, "SELECT id FROM jobs ORDER BY id")

    def test_only_jobs_past_their_retention_go_with_all_that_is_theirs(self) -> None:
        core = self.core()
        old, new, pending = (self.create(core, b'{"kind":"k"}') for _ in range(3))
        self.successResultOf(core.registrations.register(old.id, hook(events=[EventType.ERROR])))
        self.report(core, old, COMPLETED)
        core.clock.advance(100)
        self.report(core, new, COMPLETED)
        core.clock.advance(0.001)
        self.expire(core)
        self.assertEqual(self.left(core), sorted([new.id, pending.id]))
        self.assertEqual(self.column(core, "SELECT id FROM webhooks"), [])
        self.assertNotIn(old.id, self.column(core, "SELECT job_id FROM events"))

    def test_a_job_with_a_delivery_still_to_be_made_stays(self) -> None:
        for state in ("pending", "sending"):
            core = self.core()
            job = self.create(core)
            self.successResultOf(core.registrations.register(job.id, hook()))
            self.report(core, job, COMPLETED)
            self.execute(core, "UPDATE deliveries SET state = :state", state=state)
            core.clock.advance(1000)
            self.expire(core)
            self.assertEqual(self.left(core), [job.id])
            self.execute(core, "UPDATE deliveries SET state = 'dead', finished_at = 1")
            self.expire(core)
            self.assertEqual(self.left(core), [])
            self.assertEqual(self.column(core, "SELECT id FROM bodies"), [])

    def test_it_goes_in_small_batches_and_says_whether_there_may_be_more(self) -> None:
        core = self.core()
        for _ in range(RETENTION_BATCH + 5):
            job = self.create(core)
            core.lifecycle.cancel(job.id)
        core.clock.advance(1000)
        self.assertTrue(self.expire(core))
        self.assertEqual(len(self.left(core)), 5)
        self.assertFalse(self.expire(core))
        self.assertEqual(self.left(core), [])

    def test_a_removed_webhook_is_forgotten_once_nothing_is_left_to_deliver(self) -> None:
        core = self.core()
        jobs = [self.create(core) for _ in range(2)]
        for job in jobs:
            self.successResultOf(core.registrations.register(job.id, hook()))
        self.report(core, jobs[0], COMPLETED)
        for job in jobs:
            self.successResultOf(core.registrations.unregister(job.id, URL))
        self.expire(core)
        self.assertEqual(self.column(core, "SELECT job_id FROM webhooks"), [jobs[0].id])

    def test_a_key_lives_as_long_as_its_job(self) -> None:
        core = self.core()
        creating = core.lifecycle.create(new_job(), key="a", key_hash="h")
        job = self.successResultOf(creating).job
        self.successResultOf(core.lifecycle.report(job.id, said(COMPLETED)))
        core.clock.advance(1000)
        self.expire(core)
        again = self.successResultOf(core.lifecycle.create(new_job(), key="a", key_hash="i"))
        self.assertFalse(again.replayed)
        self.assertNotEqual(again.job.id, job.id)
