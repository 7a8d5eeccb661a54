"""A process that is stopped while a final report is on its way."""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from statusjob import RetriesExhausted, Unreachable
from statusjob.client.work.retries import STOP_GRACE
from tests.helpers.programs import Program
from tests.helpers.running import RunTestCase
from tests.helpers.scripted_server import hang_up, hold
from tests.helpers.servers import directory

#: A worker whose process is told to stop, and whose server has gone, when the work returns.
PROGRAM = """
import os, signal
from twisted.internet import reactor
from twisted.internet.task import react
from twisted.web.resource import Resource
from twisted.web.server import Site
from statusjob import RetriesExhausted, WorkerClient
from tests.helpers.scripted_server import JOB_ID, a_job, job_body

class Server(Resource):
    isLeaf = True

    def render(self, request):
        request.setHeader("Connection", "close")
        port.stopListening()
        return job_body(a_job())

def work(job):
    os.kill(os.getpid(), signal.SIGTERM)
    return "precious"

async def main(reactor):
    worker = WorkerClient(f"http://127.0.0.1:{port.getHost().port}")
    try:
        await worker.run(JOB_ID, work)
    except RetriesExhausted as error:
        print("saved:", error.output)

port = reactor.listenTCP(0, Site(Server()), interface="127.0.0.1")
react(main)
"""


class ProcessTests(SynchronousTestCase):
    """A real process."""

    def test_a_process_that_is_terminated_can_save_an_output_that_was_not_reported(self) -> None:
        arguments = [sys.executable, "-W", "error", "-c", PROGRAM]
        program = Program(arguments, directory(self))
        self.addCleanup(program.kill)
        self.assertEqual(program.finish(), "saved: precious\n")


class StoppableClock(MemoryReactorClock):
    """A clock that can be stopped as a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Any] = []

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Any, *args: object, **kw: object
    ) -> Any:
        assert (phase, eventType) == ("before", "shutdown")
        self.before.append(callable)
        return callable

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        self.before.remove(triggerID)

    def begin_to_stop(self) -> Deferred[None]:
        """Fire what waits for the stop; return the Deferred that the stop waits for."""
        (trigger,) = self.before
        self.before.clear()
        waiting: Deferred[None] = trigger()
        return waiting


class StoppingTests(RunTestCase):
    """In memory."""

    clock: Any
    make_clock = StoppableClock

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(lambda: self.assertEqual(self.clock.before, []))

    def test_a_report_that_waits_for_its_next_try_is_sent_at_once(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 5)
        self.work.callback("precious")
        self.server.pass_time(40)
        stopping = self.clock.begin_to_stop()
        self.server.settle()
        self.successResultOf(done)
        self.successResultOf(stopping)

    def test_if_that_fails_the_output_is_on_the_error(self) -> None:
        done = self.run_job()
        self.server.then(*[hang_up] * 6)
        self.work.callback("precious")
        self.server.pass_time(40)
        stopping = self.clock.begin_to_stop()
        self.server.settle()
        self.assertEqual(self.failureResultOf(done, RetriesExhausted).value.output, "precious")
        self.successResultOf(stopping)

    def test_a_report_that_is_not_answered_delays_the_stop_for_some_seconds(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        self.server.pass_time(STOP_GRACE - 1)
        self.assertNoResult(stopping)
        self.server.pass_time(1)
        error = self.failureResultOf(done, RetriesExhausted).value
        self.assertIsInstance(error.__cause__, Unreachable)
        self.assertEqual(error.output, "precious")
        self.successResultOf(stopping)

    def test_a_progress_report_that_is_not_answered_delays_the_stop_no_longer(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.job.progress(0.5)
        self.server.pass_time(1)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        self.server.pass_time(STOP_GRACE)
        self.assertEqual(self.failureResultOf(done, RetriesExhausted).value.output, "precious")
        self.successResultOf(stopping)

    def test_a_run_that_is_cancelled_during_the_stop_does_not_delay_it(self) -> None:
        done = self.run_job(request_timeout=100)
        self.server.then(hold)
        self.work.callback("precious")
        stopping = self.clock.begin_to_stop()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.successResultOf(stopping)

    def test_nothing_waits_for_the_stop_after_the_end(self) -> None:
        done = self.run_job()
        self.assertEqual(self.clock.before, [])
        self.work.callback("precious")
        self.successResultOf(done)
        self.assertEqual(self.clock.before, [])
