"""Ready answers keep up with everything that happens to jobs, and are bounded."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred

from statusjob.contract.jobs import NewJob
from statusjob.jobs import DEMO_KIND, Job
from statusjob.server.jobs.due import begin_demo
from statusjob.server.jobs.expiry import Expiry
from statusjob.server.store.interface import Update
from statusjob.server.web import ready_answers
from statusjob.server.web.answers import NO_CONDITIONS, job_entity
from statusjob.server.web.ready_answers import JOB, KEPT_SECONDS, STATUS
from statusjob.server.web.routing import ROUTES
from tests.helpers.lanes import HeldLane
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase

DAY = "86400000"


class ReadyTestCase(ServerTestCase):
    """Tests of the ready answers of one server."""

    def setUp(self) -> None:
        self.fake = self.begin()

    def begin(self, **given: Any) -> InMemoryServer:
        return self.serve(**{"STATUS_DELAY": DAY, **given})

    @property
    def ready(self) -> ready_answers.ReadyAnswers:
        return self.fake.server.ready

    def target(self, path: str = "", **members: Any) -> str:
        """Create a job, and have its answer made ready."""
        target = str(self.create(self.fake, **members)["links"]["self"]) + path
        self.ask(self.fake, "GET", target)
        return target

    def shown(self, target: str) -> Any:
        """The JSON of a ready answer; C{None} if it is not ready."""
        found = self.ready.answer(target.encode(), NO_CONDITIONS)
        return None if found is None else json.loads(found[2].partition(b"\r\n\r\n")[2])

    def read(self, target: str) -> Job:
        """The job of a target, as it is in the database."""
        job_id = target.split("/")[2]
        return self.successResultOf(self.fake.server.lifecycle.get(job_id))

    def announce(self, *updates: Update) -> None:
        self.fake.server.feed.committed(updates)


class InvalidationTests(ReadyTestCase):
    """What makes an answer another one."""

    def test_the_routes_are_counted_by_the_names_that_they_have(self) -> None:
        target = self.target()
        for path in (target, f"{target}/status", "/status"):
            self.ask(self.fake, "GET", path)
            found = self.ready.answer(path.encode(), NO_CONDITIONS)
            assert found is not None
            self.assertIn(found[0], ROUTES)

    def test_an_answer_is_ready_once_its_route_has_read_the_state(self) -> None:
        self.assertIsNone(self.shown("/status"))
        self.ask(self.fake, "GET", "/status")
        self.assertEqual(self.shown("/status"), {"result": "pending"})
        target = self.create(self.fake)["links"]["self"]
        self.assertIsNone(self.shown(target))
        self.ask(self.fake, "GET", target.upper().replace("/JOBS", "/jobs"))
        self.assertEqual(self.shown(target)["version"], 1)

    def test_reports_ends_and_cancellations_show_before_their_senders_are_answered(self) -> None:
        for body in ({"progress": 0.5}, {"result": "completed"}, {"result": "error"}, None):
            target = self.target()
            self.ask(self.fake, "GET", f"{target}/status")
            method = "DELETE" if body is None else "PATCH"
            self.assertEqual(self.ask(self.fake, method, target, body=body).code, 200)
            self.assertEqual(self.shown(target), self.ask(self.fake, "GET", target).json)
            self.assertEqual(self.shown(target)["version"], 2)
            result = self.shown(target)["result"]
            self.assertEqual(self.shown(f"{target}/status"), {"result": result})

    def test_deadlines_show(self) -> None:
        target = self.target(deadline=10)
        self.fake.clock.pump([1] * 11)
        self.assertEqual(self.shown(target)["error"]["code"], "deadline-exceeded")

    def test_a_heartbeat_changes_nothing(self) -> None:
        target = self.target()
        before = self.shown(target)
        self.ask(self.fake, "PATCH", target, body={})
        self.assertEqual(self.shown(target), before)

    def test_a_deleted_job_is_forgotten(self) -> None:
        target, other = self.target(), self.target()
        self.ask(self.fake, "GET", f"{target}/status")
        self.ask(self.fake, "PATCH", target, body={"result": "completed"})
        expiry = Expiry(self.fake.server.store, 0.0, self.fake.clock.seconds)
        self.fake.clock.advance(1)
        self.successResultOf(Deferred.fromCoroutine(expiry.delete_batch()))
        self.assertIsNone(self.shown(target))
        self.assertIsNone(self.shown(f"{target}/status"))
        self.assertIsNotNone(self.shown(other))
        self.assertEqual(self.ask(self.fake, "GET", target).code, 404)
        self.assertIsNone(self.shown(target))

    def test_a_demo_job_that_is_replaced_shows_no_more(self) -> None:
        self.ask(self.fake, "GET", "/status")
        first = self.successResultOf(self.fake.server.lifecycle.get(None))
        path = f"/jobs/{first.id}"
        self.ask(self.fake, "GET", path)
        self.ask(self.fake, "PATCH", path, body={"result": "completed"})
        self.assertEqual(self.shown("/status"), {"result": "completed"})
        self.fake.clock.advance(1)
        simulator = self.fake.server.lifecycle._simulator
        self.fake.server.store.write(lambda tx: begin_demo(tx, simulator))
        # The one that had ended stays, but is not the newest any more.
        self.assertEqual(self.shown("/status"), {"result": "pending"})
        self.assertEqual(self.shown(path)["result"], "completed")

    def test_a_demo_job_that_is_deleted_shows_no_more(self) -> None:
        self.ask(self.fake, "GET", "/status")
        demo = self.successResultOf(self.fake.server.lifecycle.get(None))
        self.announce(Update(deleted="another"))
        self.assertIsNotNone(self.shown("/status"))
        self.announce(Update(deleted=demo.id))
        self.assertIsNone(self.shown("/status"))

    def test_of_two_versions_the_greater_wins_whatever_is_announced_first(self) -> None:
        target = self.target()
        first = self.read(target)
        second, third = (
            Job(id=first.id, version=version, created_at=EPOCH, updated_at=EPOCH + version)
            for version in (2, 3)
        )
        for update in (third, second, first):
            self.announce(Update(job=update, changed=True))
            self.assertEqual(self.shown(target)["version"], 3)

    def test_a_lower_version_that_a_route_reads_counts_since_the_database_was_restored(
        self,
    ) -> None:
        target = self.target()
        restored = self.read(target)
        newer = Job(id=restored.id, version=9, created_at=EPOCH, updated_at=EPOCH)
        self.announce(Update(job=newer, changed=True))
        self.assertEqual(self.shown(target)["version"], 9)
        self.ask(self.fake, "GET", target)
        self.assertEqual(self.shown(target)["version"], 1)

    def test_nothing_is_ready_for_longer_than_half_a_minute(self) -> None:
        target = self.target()
        self.fake.clock.advance(KEPT_SECONDS - 1)
        self.assertIsNotNone(self.shown(target))
        self.fake.clock.advance(1)
        self.assertIsNone(self.shown(target))
        self.assertEqual((len(self.ready), self.ready.size), (0, 0))

    def test_the_feed_lengthens_that_and_repetitions_do_not(self) -> None:
        target = self.target()
        self.fake.clock.advance(KEPT_SECONDS - 1)
        self.ask(self.fake, "PATCH", target, body={"progress": 0.5})
        self.fake.clock.advance(KEPT_SECONDS - 1)
        self.ask(self.fake, "PATCH", target, body={})
        self.assertIsNotNone(self.shown(target))
        self.fake.clock.advance(1)
        self.assertIsNone(self.shown(target))


class RaceTests(ReadyTestCase):
    """Reads and updates that cross each other."""

    def test_a_read_is_not_kept_if_the_feed_told_of_the_job_meanwhile(self) -> None:
        target = self.target()
        job = self.read(target)
        entity = job_entity(job)
        later = Job(id=job.id, version=2, created_at=EPOCH, updated_at=EPOCH)
        for update in (Update(job=later, changed=True), Update(deleted=job.id)):
            self.fake.clock.advance(KEPT_SECONDS)
            self.assertIsNone(self.shown(target))
            with self.ready.reading(JOB, job.id) as reading:
                self.announce(update)
                reading.keep(job, entity)
            self.assertIsNone(self.shown(target))
            with self.ready.reading(JOB, job.id) as reading:
                self.announce(Update(job=Job(id="other", created_at=0, updated_at=0)))
                self.announce(Update(deliveries=1))
                reading.keep(job, entity)
            self.assertIsNotNone(self.shown(target))

    def test_a_read_of_the_demo_job_is_not_kept_if_another_was_begun_meanwhile(self) -> None:
        demo = self.successResultOf(self.fake.server.lifecycle.poll(None))
        with self.ready.reading(STATUS, None) as reading:
            self.announce(
                Update(job=Job(id="z", kind=DEMO_KIND, created_at=EPOCH, updated_at=EPOCH))
            )
            reading.keep(demo, STATUS.entity(demo, ""))
        self.assertIsNone(self.shown("/status"))

    def test_of_reads_at_the_same_time_only_the_last_is_kept(self) -> None:
        job = self.read(self.target())
        target = f"/jobs/{job.id}"
        self.announce(Update(deleted=job.id))
        older = Job(id=job.id, version=5, created_at=EPOCH, updated_at=EPOCH)
        with self.ready.reading(JOB, job.id) as first:
            with self.ready.reading(JOB, job.id) as last:
                last.keep(job, job_entity(job))
            first.keep(older, job_entity(older))
        self.assertEqual(self.shown(target)["version"], 1)

    def test_a_report_that_is_committed_while_a_poll_is_read_is_what_polls_show(self) -> None:
        lane = HeldLane()
        self.fake = self.serve(lane, STATUS_DELAY=DAY)
        while lane.held:
            lane.step()
        creating = self.fake.server.lifecycle.create(NewJob())
        lane.step()
        job = self.successResultOf(creating).job
        target = f"/jobs/{job.id}"
        asked = self.fake.treq.get(f"http://localhost{target}")
        # On a file, a write may be announced between a read and its answer.
        self.announce(Update(job=replace(job, version=2), changed=True))
        lane.step()
        self.fake.treq.flush()
        self.assertEqual(self.reply(asked).json["version"], 1)
        self.assertIsNone(self.shown(target))

    def test_nothing_is_left_of_reads_that_fail_or_whose_clients_hang_up(self) -> None:
        self.ask(self.fake, "GET", "/jobs/01935a2e-3d00-7000-8000-000000000009")
        self.ask(self.fake, "GET", self.target())
        self.assertEqual(self.ready._readings, {})


class BoundsTests(ReadyTestCase):
    """What is kept is bounded."""

    def test_large_answers_are_not_kept(self) -> None:
        target = self.target()
        for size, kept in ((ready_answers.BODY_LIMIT - 1_000, True), (20_000, False)):
            self.ask(self.fake, "PATCH", target, body={"message": "x"})
            other = self.target(metadata={"x": "y" * 10_000})
            self.assertIsNotNone(self.shown(other))
            output = {"result": "completed", "output": "y" * (size - 10_000)}
            self.ask(self.fake, "PATCH", other, body=output)
            self.assertEqual(self.shown(other) is not None, kept)
            self.ask(self.fake, "GET", other)
            self.assertEqual(self.shown(other) is not None, kept)

    def test_beyond_the_limit_the_oldest_are_forgotten(self) -> None:
        targets = [self.target("/status") for _ in range(5)]
        self.fake.server.ready._limit = self.ready.size
        targets += [self.target("/status") for _ in range(3)]
        self.assertEqual(
            [self.shown(each) is not None for each in targets], [False] * 3 + [True] * 5
        )
        self.assertEqual(len(self.ready), 5)

    def test_answers_whose_time_is_over_are_forgotten_when_others_are_kept(self) -> None:
        for _ in range(5):
            self.target()
        self.fake.clock.advance(KEPT_SECONDS)
        self.target()
        self.assertEqual(len(self.ready), 1)

    def test_nothing_is_left_when_the_server_has_stopped(self) -> None:
        fake = InMemoryServer(STATUS_DELAY=DAY)
        self.ask(fake, "GET", "/status")
        self.assertEqual(len(fake.server.ready), 1)
        self.stop(fake)
        self.assertEqual((len(fake.server.ready), fake.server.ready.size), (0, 0))
