"""Heartbeats: no worker is judged by a time in which the server could not hear it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from statusjob.jobs import WORKER_LOST, Job, Status
from statusjob.server.jobs.due import LONGEST_GRACE, DueJobs
from statusjob.server.jobs.listening import Listening
from statusjob.server.store.interface import StoreFull
from tests.helpers.core import Core, CoreTestCase, a_report
from tests.helpers.servers import ServerTestCase

DAY = 86_400.0


class HeartbeatTestCase(CoreTestCase):
    """Tests of a core that listens, in which time passes in small steps."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.begin(self.core(path=self.path))

    def begin(self, box: Core) -> None:
        self.box = box
        self.box.listening = Listening(self.box.time, self.box.now)
        self.alarm = self.box.start_alarms()
        self.box.listening.start()

    def restart(self, down: float = 0.0) -> None:
        """Stop the server, and start it after some seconds."""
        self.successResultOf(Deferred.fromCoroutine(self.alarm.stop()))
        self.successResultOf(Deferred.fromCoroutine(self.box.listening.stop()))
        self.successResultOf(Deferred.fromCoroutine(self.box.store.close()))
        self.box.clock.advance(down)
        self.begin(self.core(path=self.path, clock=self.box.clock))

    def live(self, seconds: float, *beating: Job) -> None:
        """Let time pass, in which the workers of some jobs beat every second."""
        for _ in range(round(seconds)):
            self.box.clock.pump([0.25] * 4)
            for job in beating:
                self.report(self.box, job)

    def lost(self, job: Job) -> bool:
        error = self.get(self.box, job).error
        return error is not None and error.code == WORKER_LOST

    def working(self, heartbeat: float = 3) -> Job:
        """A job whose worker has reported once."""
        job = self.create(self.box, b'{"heartbeat":%f}' % heartbeat)
        return self.report(self.box, job)


class HearingTests(HeartbeatTestCase):
    """A server that could not hear for a while."""

    def test_a_worker_that_falls_silent_is_lost_on_time(self) -> None:
        silent, beating = self.working(), self.working()
        self.live(3, beating)
        self.assertFalse(self.lost(silent))
        self.live(1, beating)
        self.assertTrue(self.lost(silent))
        self.assertFalse(self.lost(beating))

    def test_a_worker_that_beat_while_the_server_was_down_is_not_lost(self) -> None:
        job = self.working()
        self.restart(down=4)
        self.live(2)
        self.assertFalse(self.lost(job))
        self.live(60, job)
        self.assertFalse(self.lost(job))

    def test_a_worker_that_fell_silent_while_the_server_was_down_is_lost_after_it(self) -> None:
        job = self.working()
        self.restart(down=4)
        self.live(4)
        self.assertTrue(self.lost(job))

    def test_a_process_that_was_stopped_for_a_while_blames_nobody(self) -> None:
        silent, beating = self.working(), self.working()
        self.live(1, beating)
        # As SIGSTOP does it: everything that is due happens at once, the alarm first.
        self.box.clock.rightNow += 40
        self.live(1, beating)
        self.assertEqual((self.lost(silent), self.lost(beating)), (False, False))
        self.live(3, beating)
        self.assertEqual((self.lost(silent), self.lost(beating)), (True, False))

    def test_a_lane_notices_the_gap_before_the_reactor_does(self) -> None:
        job = self.working()
        self.live(1)
        self.box.clock.rightNow += 40
        self.successResultOf(
            Deferred.fromCoroutine(DueJobs(self.box.store, self.box.listening).handle())
        )
        self.assertFalse(self.lost(job))

    def test_a_clock_that_is_set_blames_nobody_and_forgets_nobody(self) -> None:
        for step in (DAY, -DAY, 1.5):
            silent, beating, slow = self.working(), self.working(), self.working(1000)
            self.live(1, beating)
            self.box.ahead += step
            # Nobody reports before the server has noticed it.
            self.live(2)
            self.assertEqual((self.lost(silent), self.lost(beating)), (False, False), step)
            self.live(400, beating)
            self.assertEqual((self.lost(silent), self.lost(beating)), (True, False), step)
            self.assertFalse(self.lost(slow), step)
            self.live(600, beating)
            self.assertTrue(self.lost(slow), step)

    def test_a_long_heartbeat_ends_although_the_server_is_restarted_every_half_hour(self) -> None:
        job = self.working(3600)
        for _ in range(2):
            self.live(100)
            self.restart(down=1700)
            self.assertFalse(self.lost(job))
        self.live(LONGEST_GRACE - 1)
        self.assertFalse(self.lost(job))
        self.live(2)
        self.assertTrue(self.lost(job))

    def test_a_store_that_could_not_store_reports_blames_nobody(self) -> None:
        job = self.working()
        full = self.patch(self.box.store, "write", lambda work: fail(StoreFull("full")))
        self.live(60)
        full.restore()
        self.live(2)
        self.assertFalse(self.lost(job))
        self.live(3)
        self.assertTrue(self.lost(job))

    def test_a_report_that_could_not_be_stored_counts_for_its_worker(self) -> None:
        job = self.working(10)
        self.live(1)
        full = self.patch(self.box.store, "write", lambda work: fail(StoreFull("full")))
        for _ in range(8):
            self.live(1)
            self.failureResultOf(self.box.lifecycle.report(job.id, a_report()), StoreFull)
        full.restore()
        self.live(9)
        self.assertFalse(self.lost(job))
        self.live(2)
        self.assertTrue(self.lost(job))

    def test_a_deadline_counts_while_the_server_is_down(self) -> None:
        job = self.create(self.box, b'{"heartbeat":3,"deadline":10}')
        self.report(self.box, job)
        self.restart(down=60)
        self.live(1)
        error = self.get(self.box, job).error
        assert error is not None
        self.assertEqual(error.code, "deadline-exceeded")


class SetBackTests(HeartbeatTestCase):
    """The clock is set back by a day, while the server runs or while it is down."""

    def set_back(self, down: float | None) -> None:
        self.live(20)
        if down is None:
            self.box.ahead -= DAY
        else:
            self.restart(down=down - DAY)

    def test_a_deadline_is_not_put_off(self) -> None:
        for down in (None, 0.0, 30.0):
            job = self.create(self.box, b'{"deadline":60}')
            self.set_back(down)
            self.live(5)
            self.assertFalse(self.get(self.box, job).result.terminal)
            # What was not yet noted as seen when the server stopped counts a second time.
            self.live(60)
            self.assertTrue(self.get(self.box, job).result.terminal)

    def test_a_simulation_goes_on_at_its_pace(self) -> None:
        for down in (None, 0.0):
            job = self.create(self.box, b'{"simulate":{"delay":60,"error_rate":0}}')
            self.set_back(down)
            self.live(35)
            self.assertEqual(self.get(self.box, job).progress, 0.9)
            self.live(10)
            self.assertIs(self.get(self.box, job).result, Status.COMPLETED)

    def test_a_worker_that_fell_silent_is_still_lost(self) -> None:
        job = self.working(60)
        self.set_back(0.0)
        self.live(70)
        self.assertTrue(self.lost(job))


class StoppingTests(ServerTestCase):
    """A server that stops hears nobody any more."""

    def test_no_worker_is_lost_while_a_server_drains(self) -> None:
        fake = self.serve(STATUSJOB_TOKEN="")
        job = self.create(fake, heartbeat=3)
        self.ask(fake, "PATCH", f"/jobs/{job['id']}", body={})
        never = Deferred[None]()
        self.patch(fake.server.watchers, "stop", lambda seconds: never)
        stopping = fake.server.stopService()
        fake.clock.pump([0.25] * 40)
        self.assertNoResult(stopping)
        self.assertEqual(self.ask(fake, "GET", f"/jobs/{job['id']}").json["result"], "pending")
        never.callback(None)
        self.successResultOf(stopping)
