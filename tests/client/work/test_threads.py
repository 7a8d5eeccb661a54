"""Work in a thread that reports its progress: in memory, on a clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from tests.helpers.running import RunTestCase


class BusyClock(Clock):
    """A reactor that has no time for other threads until L{turn}."""

    def __init__(self) -> None:
        super().__init__()
        self.from_threads: list[Any] = []

    def callFromThread(self, call: Any) -> None:
        """Note what another thread wants to be called."""
        self.from_threads.append(call)

    def turn(self) -> None:
        """Call it."""
        while self.from_threads:
            self.from_threads.pop()()


class ThreadTests(RunTestCase):
    """Work in a thread."""

    clock: Any
    make_clock = BusyClock

    def in_thread(self, work: Callable[[], object]) -> None:
        """Do some work in a thread, to its end."""
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    def test_progress_waits_for_the_reactor_and_takes_no_more_room_the_more_it_is(self) -> None:
        done = self.run_job()

        def work() -> None:
            self.job.progress(0.5, message="begun", eta=60)
            for number in range(1000):
                self.job.progress(number / 1000)

        self.in_thread(work)
        self.server.pass_time(1)
        self.assertEqual((len(self.clock.from_threads), self.reports), (1, []))
        self.clock.turn()
        self.server.settle()
        self.assertEqual(self.reports, [{"progress": 0.999, "message": "begun", "eta": 59}])
        self.in_thread(lambda: self.job.progress(1))
        self.clock.turn()
        self.server.pass_time(1)
        self.assertEqual(self.reports[1], {"progress": 1})
        self.work.callback(None)
        self.successResultOf(done)

    def test_progress_after_the_end_is_dropped(self) -> None:
        done = self.run_job()
        self.work.callback(None)
        self.successResultOf(done)
        self.in_thread(lambda: self.job.progress(0.5))
        self.clock.turn()
        self.server.pass_time(1)
        self.assertEqual(self.reports, [{"result": "completed"}])

    def test_a_wrong_type_is_an_error_in_the_thread(self) -> None:
        done = self.run_job()
        wrong: Any = "half"
        raised: list[Exception] = []

        def work() -> None:
            try:
                self.job.progress(wrong)
            except TypeError as error:
                raised.append(error)

        self.in_thread(work)
        self.assertEqual(len(raised), 1)
        self.assertEqual(self.clock.from_threads, [])
        self.work.callback(None)
        self.successResultOf(done)
