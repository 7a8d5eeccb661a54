"""Long polls that are beyond a limit, or lack their job, a token or the store."""

from __future__ import annotations

from typing import ClassVar

from twisted.internet.defer import fail

from statusjob.contract.jobs import NewJob, Report
from statusjob.server.store.interface import StoreBusy
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.long_polls import Held, WaitTestCase
from tests.helpers.servers import HeldServerTestCase, ServerTestCase


class LimitTests(WaitTestCase):
    """The number of long polls is limited."""

    settings: ClassVar = {"STATUSJOB_MAX_JOB_WATCHERS": "1"}

    def test_a_long_poll_beyond_the_limit_is_answered_like_a_poll(self) -> None:
        first = self.hold()
        for tag, code in (('"0"', 200), ('"1"', 304), ("*", 304)):
            reply = self.at_once(If_None_Match=tag)
            self.assertEqual((reply.code, reply.header("Retry-After")), (code, "2"))
            self.assertEqual(reply.header("Cache-Control"), "private, no-cache")
            self.assertIsNone(reply.header("Preference-Applied"))
        self.report(result="completed")
        self.assert_applied(first.reply(), 200)

    def test_the_limit_may_be_zero(self) -> None:
        fake = self.serve(STATUSJOB_MAX_WATCHERS="0")
        reply = self.ask(fake, "GET", "/status", headers={"Prefer": "wait=10"})
        self.assertEqual((reply.code, reply.header("Preference-Applied")), (200, None))


class DeletionTests(WaitTestCase):
    """The job is deleted during a long poll."""

    settings: ClassVar = {"STATUSJOB_RETENTION": "0"}

    def test_the_end_of_the_job_is_told_before_its_deletion(self) -> None:
        held = self.hold(If_None_Match='"1"')
        self.report(result="completed")
        self.fake.clock.pump([1.0] * 5)
        self.assertEqual(held.reply().json["result"], "completed")

    def test_when_time_is_up_a_deleted_job_is_unknown(self) -> None:
        held = self.hold()
        self.fake.server.store.write(
            lambda tx: tx.execute("DELETE FROM jobs WHERE id = :id", id=self.job)
        )
        held.assert_held()
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        self.assert_problem(held.reply(), 404, "unknown-job")
        self.assert_nobody_waits()


class PrivateTests(ServerTestCase):
    """Long polls of a private server."""

    def test_a_long_poll_needs_the_token(self) -> None:
        fake = self.serve(STATUSJOB_TOKEN="t", STATUSJOB_PRIVATE="on")
        path = self.ask(fake, "POST", "/jobs", body={}, headers={"Authorization": "Bearer t"})
        for what in ("", "/status", "/operation"):
            job = path.json["links"]["self"]
            reply = self.ask(fake, "GET", job + what, headers={"Prefer": "wait=10"})
            self.assert_problem(reply, 401, "unauthorized")
        self.assertEqual(len(fake.server.watchers), 0)


class StoreTests(HeldServerTestCase):
    """Long polls that begin while a read or a commit is held."""

    def test_a_commit_between_reading_and_waiting_is_not_lost(self) -> None:
        making = self.fake.server.lifecycle.create(NewJob())
        self.settle()
        job = self.successResultOf(making).job
        # Both wait for the lane: the read first, which then knows nothing of the report.
        held = Held(self, self.fake, f"/jobs/{job.id}", {"If-None-Match": '"1"'})
        self.fake.server.lifecycle.report(job.id, Report(progress=0.5))
        self.assertEqual(self.lane.held, 2)
        self.lane.step()
        held.assert_held()
        self.lane.step()
        self.assertEqual(held.reply().header("ETag"), '"2"')
        self.settle()

    def test_a_client_that_hangs_up_during_the_read_leaves_nothing(self) -> None:
        held = Held(self, self.fake, "/status", {})
        self.assertEqual(self.lane.held, 1)
        held.give_up()
        self.assertEqual(len(self.fake.server.watchers), 0)
        self.settle()


class BusyTests(WaitTestCase):
    """The store is busy during a long poll."""

    def test_a_store_that_cannot_answer_is_a_problem(self) -> None:
        held = self.hold()
        self.patch(self.fake.server.store, "read", lambda _: fail(StoreBusy("too much")))
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        for reply in (self.at_once(), held.reply()):
            self.assert_problem(reply, 503, "unavailable", "too much")
            self.assertEqual(reply.header("Retry-After"), "1")
        self.assert_nobody_waits()
