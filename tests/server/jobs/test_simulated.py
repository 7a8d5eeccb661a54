"""Jobs that the server itself runs: simulated jobs, and the demo job behind C{/status}."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from statusjob.contract.jobs import NewJob, Simulation
from statusjob.jobs import DEMO_KIND, SIMULATED, Job, JobFailure, Status
from statusjob.server.errors import UnknownJob
from statusjob.server.jobs.expiry import Expiry
from statusjob.server.store.jobs import Poll
from tests.helpers.core import URL, Core, CoreTestCase, a_report, hook, jobs_of, new_job
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase

FAILURE = JobFailure(SIMULATED, "simulated to fail")


class SimulatedTests(CoreTestCase):
    """A simulated job ends by itself, with the outcome that was drawn at its creation."""

    def test_a_job_makes_ten_steps_and_ends_after_its_delay(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"simulate":{"delay":20,"error_rate":0}}')
        self.assertTrue(job.simulated)
        seen = []
        for _ in range(4 * 21):
            core.clock.advance(0.25)
            now = self.get(core, job)
            seen.append((now.progress, now.result))
        steps = sorted({progress for progress, _ in seen if progress is not None})
        self.assertEqual(steps, [i / 10 for i in range(1, 11)])
        end = self.get(core, job)
        self.assertEqual((end.result, end.version), (Status.COMPLETED, 11))
        assert end.duration is not None
        self.assertTrue(20 <= end.duration <= 20.25, end.duration)

    def test_the_outcome_is_drawn_at_creation_by_the_error_rate(self) -> None:
        draws = iter([0.0, 0.29, 0.3, 0.99])
        core = self.core(random=draws.__next__)
        core.start_alarms()
        jobs = [self.create(core, b'{"simulate":{"delay":2,"error_rate":0.3}}') for _ in range(4)]
        core.clock.advance(3)
        ends = [self.get(core, job) for job in jobs]
        self.assertEqual([end.error for end in ends], [FAILURE, FAILURE, None, None])
        self.assertEqual([end.result.value for end in ends], ["error"] * 2 + ["completed"] * 2)

    def test_the_server_has_defaults_for_delay_and_error_rate(self) -> None:
        core = self.core(random=lambda: 0.19)
        core.start_alarms()
        job = self.create(core, b'{"simulate":{}}')
        core.clock.advance(14.9)
        self.assertIs(self.get(core, job).result, Status.PENDING)
        core.clock.advance(0.2)
        self.assertEqual(self.get(core, job).error, FAILURE)

    def test_a_job_with_a_delay_of_zero_ends_at_once(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"simulate":{"delay":0}}')
        core.clock.advance(0.001)
        self.assertEqual(self.get(core, job).version, 2)

    def test_a_simulated_job_can_be_cancelled(self) -> None:
        core = self.core()
        core.start_alarms()
        job = self.create(core, b'{"simulate":{"delay":5}}')
        core.clock.advance(2)
        end = self.successResultOf(core.lifecycle.cancel(job.id))
        core.clock.advance(60)
        self.assertEqual(self.get(core, job), end)

    @given(
        st.floats(0, 3600, allow_subnormal=True),
        st.lists(st.floats(0.001, 600), min_size=1, max_size=30),
    )
    def test_a_job_of_any_delay_ends_after_at_most_eleven_updates(
        self, delay: float, waits: list[float]
    ) -> None:
        core = Core()
        self.addCleanup(core.store.abandon)
        core.start_alarms()
        job = self.successResultOf(
            core.lifecycle.create(NewJob(simulate=Simulation(delay=delay)))
        ).job
        for wait in waits:
            core.clock.advance(wait)
        core.clock.advance(max(0.0, EPOCH + delay + 1 - core.clock.seconds()))
        self.assertTrue(self.get(core, job).result.terminal)
        self.assertLessEqual(len(core.heard), 12)
        progress = [told.progress or 0 for told in jobs_of(core.heard)[:-1]]
        self.assertEqual(progress, sorted(set(progress)))


class RestartTests(ServerTestCase):
    """A server is stopped, and another one starts on its database."""

    def start(self, path: str, after: float = 0.0, **variables: str) -> InMemoryServer:
        fake = InMemoryServer(None, start=EPOCH + after, STATUSJOB_DATABASE=path, **variables)
        fake.clock.advance(0)
        return fake

    def stop(self, fake: InMemoryServer) -> None:
        self.successResultOf(fake.server.stopService())

    def simulated(self, fake: InMemoryServer, rate: int) -> Job:
        body = b'{"simulate":{"delay":20,"error_rate":%d}}' % rate
        return self.successResultOf(fake.server.lifecycle.create(new_job(body))).job

    def get(self, fake: InMemoryServer, job: Job) -> Job:
        return self.successResultOf(fake.server.lifecycle.get(job.id))

    def test_a_simulated_job_ends_on_time_with_the_outcome_that_was_drawn(self) -> None:
        path = self.mktemp()
        first = self.start(path)
        good, bad = self.simulated(first, 0), self.simulated(first, 1)
        first.clock.advance(9)
        self.stop(first)
        second = self.start(path, after=12)
        self.assertEqual(self.get(second, good).progress, 0.6)
        second.clock.advance(7.9)
        self.assertIs(self.get(second, good).result, Status.PENDING)
        second.clock.advance(0.2)
        self.assertIs(self.get(second, good).result, Status.COMPLETED)
        self.assertEqual(self.get(second, bad).error, FAILURE)
        self.stop(second)

    def test_alarms_that_came_due_meanwhile_are_handled_at_the_start(self) -> None:
        path = self.mktemp()
        first = self.start(path)
        job = self.simulated(first, 0)
        late = self.successResultOf(first.server.lifecycle.create(new_job(b'{"deadline":60}'))).job
        self.stop(first)
        second = self.start(path, after=3600)
        self.assertIs(self.get(second, job).result, Status.COMPLETED)
        self.assertIs(self.get(second, late).result, Status.ERROR)
        self.stop(second)

    def test_a_start_deletes_the_pending_demo_job_with_its_webhooks(self) -> None:
        path = self.mktemp()
        first = self.start(path)
        old = self.successResultOf(first.server.lifecycle.poll(None)).id
        registered = first.server.api.registrations.register(None, hook())
        self.successResultOf(registered)
        self.stop(first)
        second = self.start(path, after=5)
        new = self.successResultOf(second.server.lifecycle.poll(None))
        self.assertNotEqual(new.id, old)
        self.assertEqual((new.result, new.created_at), (Status.PENDING, EPOCH + 5))
        self.failureResultOf(second.server.lifecycle.poll(old), UnknownJob)
        rows = self.successResultOf(
            second.server.store.read(lambda tx: tx.all("SELECT id FROM webhooks"))
        )
        self.assertEqual(rows, [])
        self.stop(second)

    def test_a_terminal_demo_job_stays_and_the_newest_is_shown(self) -> None:
        path = self.mktemp()
        first = self.start(path, STATUS_DELAY="1000")
        old = self.successResultOf(first.server.lifecycle.poll(None)).id
        first.clock.advance(2)
        self.stop(first)
        second = self.start(path, after=5)
        shown = self.successResultOf(second.server.lifecycle.poll(None))
        self.assertIs(shown.result, Status.PENDING)
        self.assertTrue(self.successResultOf(second.server.lifecycle.poll(old)).result.terminal)
        self.stop(second)


class DemoTests(CoreTestCase):
    """The demo job is apart from all other jobs."""

    def demo(self) -> Core:
        core = self.core()
        self.write(core, core.begin_demo)
        core.heard.clear()
        core.start_alarms()
        return core

    def test_a_poll_without_an_id_finds_the_demo_job(self) -> None:
        core = self.demo()
        poll: Poll = self.successResultOf(core.lifecycle.poll(None))
        self.assertEqual((poll.result, poll.created_at), (Status.PENDING, EPOCH))
        core.clock.advance(15.1)
        poll = self.successResultOf(core.lifecycle.poll(None))
        self.assertEqual((poll.result, poll.finished_at), (Status.COMPLETED, EPOCH + 15.1))

    def test_the_feed_tells_that_a_pending_demo_job_was_deleted_when_another_begins(self) -> None:
        core = self.demo()
        old = self.successResultOf(core.lifecycle.poll(None)).id
        self.write(core, core.begin_demo)
        deleted, begun = core.heard
        self.assertEqual((deleted.deleted, deleted.job), (old, None))
        self.assertIsNotNone(begun.job)

    def test_without_a_demo_job_a_poll_without_an_id_fails(self) -> None:
        core = self.core()
        self.failureResultOf(core.lifecycle.poll(None), UnknownJob)
        self.failureResultOf(core.registrations.register(None, hook()), UnknownJob)

    def test_the_demo_job_is_in_no_list_not_even_of_its_kind(self) -> None:
        core = self.demo()
        job = self.create(core)
        for kind, expected in ((None, [job]), (DEMO_KIND, [])):
            jobs = core.lifecycle.list(limit=10, before=None, result=None, kind=kind)
            self.assertEqual(self.successResultOf(jobs), (expected, None))

    def test_only_webhooks_for_the_demo_job_are_told_of_it(self) -> None:
        core = self.demo()
        own = self.successResultOf(core.registrations.register(None, hook()))
        self.execute(
            core,
            "INSERT INTO webhooks (id, origin_id, kind, url, events, secret, created_at)"
            " VALUES ('of all', 1, NULL, :url, 'job.completed job.error', 's', 0),"
            " ('of demo', 1, :kind, :url, 'job.completed job.error', 's', 0)",
            kind=DEMO_KIND,
            url=URL,
        )
        core.clock.advance(20)
        self.assertEqual(self.column(core, "SELECT webhook_id FROM deliveries"), [own.id])
        job = self.create(core)
        self.successResultOf(core.lifecycle.report(job.id, a_report(b'{"result":"error"}')))
        told = self.column(core, "SELECT webhook_id FROM deliveries WHERE job_id = :id", id=job.id)
        self.assertEqual(told, ["of all"])

    def test_the_newest_demo_job_is_never_deleted(self) -> None:
        core = self.demo()
        core.clock.advance(20)
        self.write(core, core.begin_demo)
        core.clock.advance(20)
        newest = self.successResultOf(core.lifecycle.poll(None)).id
        core.clock.advance(1000)
        expiry = Expiry(core.store, 10, core.clock.seconds)
        self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch()))
        self.assertEqual(self.column(core, "SELECT id FROM jobs"), [newest])
