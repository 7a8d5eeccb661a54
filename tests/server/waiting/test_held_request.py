"""The long poll: how one request waits for one job."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred

from statusjob.jobs import Job
from statusjob.server.errors import TooManyWatchers
from statusjob.server.waiting.held_request import LongPoll
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.watchers import WatchersTestCase, state


def terminal(job: Job) -> bool:
    return job.result.terminal


class WaitTests(WatchersTestCase):
    """One long poll for one job."""

    def wait(
        self, done: Callable[[Job], bool], *, seconds: float = 10, before: tuple[Job, ...] = ()
    ) -> Deferred[Job | None]:
        """
        Enter, then wait.

        @param before: the updates that are announced in between, while the job is read.
        """

        async def waiting() -> Job | None:
            with LongPoll(self.watchers, "a", seconds) as long_poll:
                self.announce(*before)
                return await long_poll.next_state(done)

        return Deferred.fromCoroutine(waiting())

    def test_a_change_while_the_job_is_read_is_not_lost(self) -> None:
        self.assertEqual(
            self.successResultOf(self.wait(terminal, before=(state(2, ended=True),))),
            state(2, ended=True),
        )
        self.assertEqual(len(self.watchers), 0)

    def test_a_change_after_the_read_ends_the_wait(self) -> None:
        waiting = self.wait(terminal)
        self.announce(state(2, ended=True))
        self.assertNoResult(waiting)
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), state(2, ended=True))
        self.assertEqual(len(self.watchers), 0)

    def test_only_a_wanted_state_ends_the_wait(self) -> None:
        waiting = self.wait(terminal, before=(state(2),))
        self.announce(state(3))
        self.clock.advance(1)
        self.assertNoResult(waiting)
        self.announce(state(4, ended=True))
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), state(4, ended=True))

    def test_the_newest_state_is_returned(self) -> None:
        waiting = self.wait(lambda job: job.version > 2, before=(state(2),))
        self.announce(state(3), state(4))
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), state(4))

    def test_an_update_that_comes_late_does_not_hide_a_newer_one(self) -> None:
        waiting = self.wait(terminal, before=(state(3, ended=True), state(2)))
        self.assertEqual(self.successResultOf(waiting), state(3, ended=True))

    def test_the_wait_ends_when_time_is_up(self) -> None:
        waiting = self.wait(terminal, seconds=10, before=(state(2),))
        self.clock.advance(9.99)
        self.assertNoResult(waiting)
        self.clock.advance(0.01 + TIMER_RESOLUTION)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(len(self.watchers), 0)

    def test_time_also_passes_while_the_job_is_read(self) -> None:
        read: Deferred[None] = Deferred()

        async def waiting() -> Job | None:
            with LongPoll(self.watchers, "a", 10) as long_poll:
                await read
                return await long_poll.next_state(terminal)

        result = Deferred.fromCoroutine(waiting())
        self.clock.advance(11)
        read.callback(None)
        self.assertIsNone(self.successResultOf(result))

    def test_a_wait_of_no_seconds_ends_at_once(self) -> None:
        self.assertIsNone(self.successResultOf(self.wait(terminal, seconds=0)))

    def test_the_stop_of_the_server_ends_the_wait(self) -> None:
        waiting = self.wait(terminal)
        self.watchers.end_waits()
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(waiting))
        self.assertIsNone(self.successResultOf(self.wait(terminal)))

    def test_a_cancelled_wait_leaves_nothing(self) -> None:
        waiting = self.wait(terminal)
        self.announce(state(2, ended=True))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(len(self.watchers), 0)

    def test_a_long_poll_beyond_the_limit_is_refused(self) -> None:
        self.watchers = self.make(topic_limit=1)
        first = self.wait(terminal)
        self.failureResultOf(self.wait(terminal), TooManyWatchers)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.watchers), 0)
