"""Lanes, by one contract for all of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from statusjob.server.lanes import Lane, ThreadLane
from tests.helpers.lanes import HeldLane, InlineLane
from tests.helpers.sockets import reactor

if TYPE_CHECKING:
    Base = TestCase
else:
    Base = object


class LaneContract(Base):
    """The behaviour that every lane has."""

    def lane(self) -> Lane:
        """A new lane."""
        raise NotImplementedError

    def let_run(self) -> None:
        """Let the work that the lane holds run."""

    async def test_the_answer_is_the_value_of_the_work(self) -> None:
        answer = self.lane().run(lambda: 42)
        self.let_run()
        self.assertEqual(await answer, 42)

    async def test_the_answer_fails_with_what_the_work_raised(self) -> None:
        answer = self.lane().run(lambda: 1 // 0)
        self.let_run()
        with self.assertRaises(ZeroDivisionError):
            await answer

    async def test_work_runs_in_order_and_one_piece_at_a_time(self) -> None:
        lane = self.lane()
        done: list[int] = []
        alone = threading.Lock()

        def work(i: int) -> None:
            self.assertTrue(alone.acquire(blocking=False))
            done.append(i)
            alone.release()

        answers = [lane.run(lambda i=i: work(i)) for i in range(50)]  # type: ignore[misc]
        self.let_run()
        await gatherResults(answers)
        self.assertEqual(done, list(range(50)))

    async def test_answers_come_on_the_thread_of_the_reactor(self) -> None:
        lane = self.lane()
        threads: list[int] = []
        answers = [lane.run(lambda: 0), lane.run(lambda: 1 // 0)]
        for answer in answers:
            answer.addBoth(lambda _: threads.append(threading.get_ident()))
        self.let_run()
        await gatherResults(answers)
        self.assertEqual(threads, [threading.get_ident()] * 2)

    async def test_work_that_raises_does_not_stop_the_work_after_it(self) -> None:
        lane = self.lane()
        bad, good = lane.run(lambda: 1 // 0), lane.run(lambda: "good")
        self.let_run()
        with self.assertRaises(ZeroDivisionError):
            await bad
        self.assertEqual(await good, "good")

    def test_a_lane_that_never_worked_can_be_closed(self) -> None:
        self.lane().close()


class InlineLaneTests(LaneContract, TestCase):
    """Work runs at once."""

    timeout = 60

    def lane(self) -> Lane:
        return InlineLane()


class HeldLaneTests(LaneContract, TestCase):
    """Work runs when a test lets it run."""

    timeout = 60

    def lane(self) -> Lane:
        self.held = HeldLane()
        return self.held

    def let_run(self) -> None:
        while self.held.held:
            self.held.step()

    def test_no_work_runs_before_a_step(self) -> None:
        lane = HeldLane()
        answer = lane.run(lambda: 42)
        self.assertNoResult(answer)
        lane.step()
        self.assertEqual(self.successResultOf(answer), 42)

    def test_a_lane_that_holds_work_cannot_be_closed(self) -> None:
        lane = HeldLane()
        lane.run(lambda: 42)
        self.assertRaises(RuntimeError, lane.close)


class ThreadLaneTests(LaneContract, TestCase):
    """Work runs in a thread, which starts with the first work."""

    timeout = 60

    def lane(self) -> Lane:
        lane = ThreadLane(reactor, "test-lane")
        self.addCleanup(lane.close)
        return lane

    async def test_the_first_work_starts_its_only_thread(self) -> None:
        before = set(threading.enumerate())
        lane = self.lane()
        self.assertEqual(set(threading.enumerate()), before)
        threads = {await lane.run(threading.get_ident) for _ in range(5)}
        self.assertEqual(len(threads), 1)
        self.assertNotIn(threading.get_ident(), threads)
        lane.close()
        self.assertEqual(set(threading.enumerate()), before)
