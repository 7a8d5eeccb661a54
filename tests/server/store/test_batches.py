"""Lanes, by one contract for all of them, and how calls are grouped for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.trial.unittest import SynchronousTestCase, TestCase

from statusjob.server.lanes import Lane, ThreadLane
from statusjob.server.store.batches import BATCH_LIMIT, QUEUE_LIMIT, Batches, CallResult
from statusjob.server.store.interface import StoreBusy, StoreUnavailable
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


class BatchesTests(SynchronousTestCase):
    """Calls that arrive while one batch is in flight are the next one."""

    def setUp(self) -> None:
        self.lane = HeldLane()
        self.sizes: list[int] = []
        self.happened: list[str] = []
        self.batches: Batches[str] = Batches(self.lane, self.perform, self.happened.append)

    def perform(self, calls: Sequence[Call]) -> tuple[list[CallResult[Any]], str]:
        self.sizes.append(len(calls))
        outcomes: list[CallResult[Any]] = []
        for call in calls:
            try:
                outcomes.append(CallResult(call(None)))
            except ValueError as error:
                outcomes.append(CallResult(error=error))
        return outcomes, f"settled {len(self.sizes)}"

    def add(self, value: object = None) -> Deferred[Any]:
        return self.batches.add(lambda _: value)

    def test_the_first_call_goes_alone_and_at_once(self) -> None:
        self.add()
        self.add()
        self.lane.step()
        self.assertEqual(self.sizes, [1])

    def test_what_arrives_meanwhile_is_the_next_batch(self) -> None:
        answers = [self.add(i) for i in range(10)]
        self.lane.step()
        self.assertEqual(self.successResultOf(answers[0]), 0)
        self.assertNoResult(answers[1])
        self.lane.step()
        self.assertEqual(self.sizes, [1, 9])
        self.assertEqual([self.successResultOf(each) for each in answers[1:]], list(range(1, 10)))
        self.assertEqual(self.lane.held, 0)

    def test_a_batch_has_a_bound(self) -> None:
        for _ in range(1 + BATCH_LIMIT + 1):
            self.add()
        for _ in range(3):
            self.lane.step()
        self.assertEqual(self.sizes, [1, BATCH_LIMIT, 1])

    def test_a_call_that_fails_fails_alone(self) -> None:
        self.add()

        def bad(_: object) -> None:
            raise ValueError("bad")

        answers = [self.add(1), self.batches.add(bad), self.add(3)]
        self.lane.step()
        self.lane.step()
        self.failureResultOf(answers[1], ValueError)
        self.assertEqual([self.successResultOf(answers[i]) for i in (0, 2)], [1, 3])

    def test_if_the_batch_fails_every_call_of_it_does_and_the_next_goes_on(self) -> None:
        def broken(_: object) -> None:
            raise StoreUnavailable("gone")

        self.add()
        answers = [self.add(), self.batches.add(broken), self.add()]
        self.lane.step()
        later = self.add("later")
        self.lane.step()
        for answer in answers:
            self.failureResultOf(answer, StoreUnavailable)
        self.lane.step()
        self.assertEqual(self.successResultOf(later), "later")

    def test_what_concerns_the_batch_is_told_before_any_call_is_answered(self) -> None:
        self.add().addCallback(lambda _: self.happened.append("answer 1"))
        for i in (2, 3):
            self.add(i).addCallback(lambda i: self.happened.append(f"answer {i}"))
        self.lane.step()
        self.lane.step()
        self.assertEqual(
            self.happened, ["settled 1", "answer 1", "settled 2", "answer 2", "answer 3"]
        )

    def test_calls_that_answers_provoke_form_one_batch(self) -> None:
        self.add()
        for _ in range(5):
            self.add().addCallback(lambda _: self.add())
        for _ in range(3):
            self.lane.step()
        self.assertEqual(self.sizes, [1, 5, 5])

    def test_cancelling_abandons_the_wait_and_not_the_call(self) -> None:
        self.add()
        done: list[str] = []
        answer = self.batches.add(lambda _: done.append("done"))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.lane.step()
        self.lane.step()
        self.assertEqual(done, ["done"])

    def test_too_many_calls_are_refused_until_some_are_done(self) -> None:
        self.add()
        for _ in range(QUEUE_LIMIT):
            self.add()
        self.failureResultOf(self.add(), StoreBusy)
        self.lane.step()
        self.assertNoResult(self.add())

    def test_closing_finishes_what_is_queued_and_takes_no_more(self) -> None:
        answers = [self.add(1), self.add(2)]
        closing = self.batches.close()
        self.failureResultOf(self.add(), StoreUnavailable)
        self.lane.step()
        self.assertNoResult(closing)
        self.lane.step()
        self.successResultOf(closing)
        self.assertEqual([self.successResultOf(each) for each in answers], [1, 2])

    def test_when_idle_closing_is_over_at_once(self) -> None:
        self.successResultOf(self.batches.close())
