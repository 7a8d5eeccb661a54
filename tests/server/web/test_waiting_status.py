"""Long polls (C{Prefer: wait}) for the status of a job, and of the demo job."""

from __future__ import annotations

from statusjob.jobs import new_job_id
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.due import begin_demo
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.long_polls import Held, WaitTestCase
from tests.helpers.servers import EPOCH, ServerTestCase


class StatusWaitTests(WaitTestCase):
    """A long poll for a status ends with another result."""

    what = "/status"

    def test_a_result_ends_the_wait_and_progress_does_not(self) -> None:
        held = self.hold(If_None_Match=f'"{self.job}.pending"')
        self.report(progress=0.5)
        held.assert_held()
        self.report(result="error", error={"code": "disk"})
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual(reply.body, b'{"result":"error"}')
        self.assertEqual(reply.header("ETag"), f'"{self.job}.error"')
        self.assertEqual(reply.header("Link"), f'</jobs/{self.job}>; rel="monitor"')

    def test_without_a_tag_the_jobs_end_ends_the_wait(self) -> None:
        self.fake.clock.advance(5)
        held = self.hold()
        self.report(progress=0.5)
        held.assert_held()
        self.report(result="completed")
        reply = held.reply()
        self.assertEqual(reply.body, b'{"result":"completed"}')
        self.assertEqual(reply.header("Last-Modified"), "Sat, 23 Nov 2024 18:00:05 GMT")

    def test_when_time_is_up_the_answer_is_304(self) -> None:
        held = self.hold(If_None_Match=f'W/"{self.job}.pending"')
        renamed = self.hold(If_None_Match=f'"{self.job}.pending-gzip"')
        other = self.hold(If_None_Match="*")
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        self.assert_applied(held.reply(), 304)
        self.assert_applied(renamed.reply(), 304)
        self.assert_applied(other.reply(), 304)

    def test_another_entity_is_sent_at_once(self) -> None:
        for tag in ('"0"', f'"{new_job_id(EPOCH, 7)}.pending"', f'"{self.job}.completed"', "x"):
            reply = self.at_once(If_None_Match=tag)
            self.assert_applied(reply, 200)
            self.assertEqual(reply.body, b'{"result":"pending"}')

    def test_a_terminal_job_is_never_waited_for(self) -> None:
        self.report(result="completed")
        self.assert_applied(self.at_once(), 200)
        self.assert_applied(self.at_once(If_None_Match=f'"{self.job}.completed"'), 304)


class DemoWaitTests(ServerTestCase):
    """Long polls for the status of the demo job."""

    def test_the_demo_job_can_be_waited_for(self) -> None:
        fake = self.serve(STATUS_DELAY="5000", STATUSJOB_ERROR_RATE="0")
        fake.clock.advance(0)
        tag = self.ask(fake, "GET", "/status").header("ETag") or ""
        known, unknown = (
            Held(self, fake, "/status", given) for given in ({"If-None-Match": tag}, {})
        )
        fake.clock.pump([0.5] * 9)
        known.assert_held()
        unknown.assert_held()
        fake.clock.pump([0.5] * 2)
        for held in (known, unknown):
            reply = held.reply()
            self.assertEqual((reply.code, reply.body), (200, b'{"result":"completed"}'))
            self.assertEqual(reply.header("Preference-Applied"), "wait=10")

    def test_a_new_demo_job_is_another_entity(self) -> None:
        fake = self.serve(STATUS_DELAY="60000")
        tag = self.ask(fake, "GET", "/status").header("ETag") or ""
        held = Held(self, fake, "/status", {"If-None-Match": tag})
        held.assert_held()
        fake.clock.advance(1)
        # As another node's start does it.
        fake.server.store.write(lambda tx: begin_demo(tx, Simulator()))
        reply = held.reply()
        self.assertEqual((reply.code, reply.body), (200, b'{"result":"pending"}'))
        self.assertNotEqual(reply.header("ETag"), tag)
