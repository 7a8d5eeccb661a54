"""Batches: calls that arrive while a lane is busy run together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.store.batches import BATCH_LIMIT, QUEUE_LIMIT, Batches, CallResult
from statusjob.server.store.interface import StoreBusy, StoreUnavailable
from tests.helpers.lanes import HeldLane

Call = Callable[[Any], Any]


class BatchesTests(SynchronousTestCase):
    """Calls that arrive while one batch is in flight make up the next one."""

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

    def test_the_first_call_runs_at_once_and_alone(self) -> None:
        self.add()
        self.add()
        self.lane.step()
        self.assertEqual(self.sizes, [1])

    def test_calls_that_arrive_during_a_batch_make_up_the_next_one(self) -> None:
        answers = [self.add(i) for i in range(10)]
        self.lane.step()
        self.assertEqual(self.successResultOf(answers[0]), 0)
        self.assertNoResult(answers[1])
        self.lane.step()
        self.assertEqual(self.sizes, [1, 9])
        self.assertEqual([self.successResultOf(each) for each in answers[1:]], list(range(1, 10)))
        self.assertEqual(self.lane.held, 0)

    def test_the_size_of_a_batch_is_bounded(self) -> None:
        for _ in range(1 + BATCH_LIMIT + 1):
            self.add()
        for _ in range(3):
            self.lane.step()
        self.assertEqual(self.sizes, [1, BATCH_LIMIT, 1])

    def test_a_cancelled_call_is_run_all_the_same_unless_such_calls_are_dropped(self) -> None:
        for drop, expected in ((False, [1, 3]), (True, [1, 1])):
            self.sizes.clear()
            self.batches = Batches(
                self.lane, self.perform, self.happened.append, drop_cancelled=drop
            )
            self.add()
            left = [self.add(), self.add()]
            kept = self.add("kept")
            for each in left:
                each.cancel()
                self.failureResultOf(each, CancelledError)
            while self.lane.held:
                self.lane.step()
            self.assertEqual(self.successResultOf(kept), "kept")
            self.assertEqual(self.sizes, expected)

    def test_closing_does_not_wait_for_calls_that_were_all_cancelled(self) -> None:
        self.batches = Batches(self.lane, self.perform, self.happened.append, drop_cancelled=True)
        self.add()
        left = self.add()
        left.cancel()
        self.failureResultOf(left, CancelledError)
        closed = self.batches.close()
        self.lane.step()
        self.successResultOf(closed)
        self.assertEqual((self.sizes, self.lane.held), ([1], 0))

    def test_calls_without_a_result_begin_the_next_batch(self) -> None:
        perform = self.perform
        self.batches = Batches(self.lane, lambda calls: perform(calls[:2]), self.happened.append)
        answers = [self.add(i) for i in range(4)]
        self.lane.step()
        self.lane.step()
        answers.append(self.add(4))
        self.assertEqual([each.called for each in answers], [True] * 3 + [False] * 2)
        self.lane.step()
        self.assertEqual([self.successResultOf(each) for each in answers[3:4]], [3])
        self.lane.step()
        self.assertEqual(self.successResultOf(answers[4]), 4)
        self.assertEqual(self.sizes, [1, 2, 1, 1])

    def test_a_call_that_raises_fails_alone(self) -> None:
        self.add()

        def bad(_: object) -> None:
            raise ValueError("bad")

        answers = [self.add(1), self.batches.add(bad), self.add(3)]
        self.lane.step()
        self.lane.step()
        self.failureResultOf(answers[1], ValueError)
        self.assertEqual([self.successResultOf(answers[i]) for i in (0, 2)], [1, 3])

    def test_when_a_batch_fails_all_its_calls_fail_and_the_next_batch_runs(self) -> None:
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

    def test_the_value_of_the_batch_is_handed_over_before_any_call_is_answered(self) -> None:
        self.add().addCallback(lambda _: self.happened.append("answer 1"))
        for i in (2, 3):
            self.add(i).addCallback(lambda i: self.happened.append(f"answer {i}"))
        self.lane.step()
        self.lane.step()
        self.assertEqual(
            self.happened, ["settled 1", "answer 1", "settled 2", "answer 2", "answer 3"]
        )

    def test_calls_that_answers_cause_make_up_one_batch(self) -> None:
        self.add()
        for _ in range(5):
            self.add().addCallback(lambda _: self.add())
        for _ in range(3):
            self.lane.step()
        self.assertEqual(self.sizes, [1, 5, 5])

    def test_cancelling_ends_the_wait_but_not_the_call(self) -> None:
        self.add()
        done: list[str] = []
        answer = self.batches.add(lambda _: done.append("done"))
        answer.cancel()
        self.failureResultOf(answer, CancelledError)
        self.lane.step()
        self.lane.step()
        self.assertEqual(done, ["done"])

    def test_a_full_queue_refuses_calls_until_some_are_done(self) -> None:
        self.add()
        for _ in range(QUEUE_LIMIT):
            self.add()
        self.failureResultOf(self.add(), StoreBusy)
        self.lane.step()
        self.assertNoResult(self.add())

    def test_closing_finishes_queued_calls_and_refuses_new_ones(self) -> None:
        answers = [self.add(1), self.add(2)]
        closing = self.batches.close()
        self.failureResultOf(self.add(), StoreUnavailable)
        self.lane.step()
        self.assertNoResult(closing)
        self.lane.step()
        self.successResultOf(closing)
        self.assertEqual([self.successResultOf(each) for each in answers], [1, 2])

    def test_closing_ends_at_once_when_idle(self) -> None:
        self.successResultOf(self.batches.close())
