"""Lanes, by one contract for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from statusjob.server.lanes import Lane, ThreadLane
from tests.helpers.lanes import HeldLane, InlineLane
from tests.helpers.sockets import reactor

Call = Callable[[Any], Any]

if TYPE_CHECKING:
    Base = TestCase
else:
    Base = object


class LaneContract(Base):
    """What every lane does."""

    def lane(self) -> Lane:
        """A new lane."""
        raise NotImplementedError

    def let_run(self) -> None:
        """Let what was given to the lane be done."""

    async def test_work_is_answered_with_its_value(self) -> None:
        answer = self.lane().run(lambda: 42)
        self.let_run()
        self.assertEqual(await answer, 42)

    async def test_work_that_raises_is_answered_with_that(self) -> None:
        answer = self.lane().run(lambda: 1 // 0)
        self.let_run()
        with self.assertRaises(ZeroDivisionError):
            await answer

    async def test_work_is_done_in_order_and_never_two_pieces_at_once(self) -> None:
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

    async def test_answers_come_on_the_reactors_thread(self) -> None:
        lane = self.lane()
        threads: list[int] = []
        answers = [lane.run(lambda: 0), lane.run(lambda: 1 // 0)]
        for answer in answers:
            answer.addBoth(lambda _: threads.append(threading.get_ident()))
        self.let_run()
        await gatherResults(answers)
        self.assertEqual(threads, [threading.get_ident()] * 2)

    async def test_work_that_raises_does_not_stop_what_follows(self) -> None:
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
    """Work runs when told to."""

    timeout = 60

    def lane(self) -> Lane:
        self.held = HeldLane()
        return self.held

    def let_run(self) -> None:
        while self.held.held:
            self.held.step()

    def test_nothing_is_done_before_it_is_told_to(self) -> None:
        lane = HeldLane()
        answer = lane.run(lambda: 42)
        self.assertNoResult(answer)
        lane.step()
        self.assertEqual(self.successResultOf(answer), 42)

    def test_it_cannot_be_closed_while_it_holds_work(self) -> None:
        lane = HeldLane()
        lane.run(lambda: 42)
        self.assertRaises(RuntimeError, lane.close)


class ThreadLaneTests(LaneContract, TestCase):
    """Work runs in a thread, begun with the first."""

    timeout = 60

    def lane(self) -> Lane:
        lane = ThreadLane(reactor, "test-lane")
        self.addCleanup(lane.close)
        return lane

    async def test_it_has_no_thread_before_its_first_work_and_one_after(self) -> None:
        before = set(threading.enumerate())
        lane = self.lane()
        self.assertEqual(set(threading.enumerate()), before)
        threads = {await lane.run(threading.get_ident) for _ in range(5)}
        self.assertEqual(len(threads), 1)
        self.assertNotIn(threading.get_ident(), threads)
        lane.close()
        self.assertEqual(set(threading.enumerate()), before)
