"""Turns: many that have something to do at the same time do it a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.turns import Turns


class TurnsTests(SynchronousTestCase):
    """Three may take a turn in one iteration of the reactor."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.taken: list[int] = []
        self.then: Callable[[int], object] = lambda _: None
        self.turns: Turns[int] = Turns(self.clock, self.take, 3)

    def take(self, one: int) -> None:
        self.taken.append(one)
        self.then(one)

    def iterate(self) -> None:
        """Make the one call that is due."""
        calls: list[Any] = self.clock.calls
        calls.pop(0).func()

    def test_a_few_take_their_turns_in_the_order_in_which_they_came(self) -> None:
        for one in (5, 3, 5, 8, 1, 3):
            self.turns.add(one)
        self.assertEqual(self.taken, [])
        self.iterate()
        self.assertEqual(self.taken, [5, 3, 8])
        self.iterate()
        self.assertEqual((self.taken, self.clock.calls), ([5, 3, 8, 1], []))

    def test_whoever_comes_again_in_its_turn_waits_behind_the_others(self) -> None:
        self.then = self.turns.add
        for one in range(4):
            self.turns.add(one)
        for _ in range(3):
            self.iterate()
        self.assertEqual(self.taken, [0, 1, 2, 3, 0, 1, 2, 3, 0])
        self.turns.clear()
        self.assertEqual(self.clock.calls, [])

    def test_one_that_is_discarded_meanwhile_has_no_turn(self) -> None:
        self.then = lambda _: self.turns.discard(2)
        for one in (1, 2, 3):
            self.turns.add(one)
        self.turns.discard(3)
        self.iterate()
        self.assertEqual((self.taken, self.clock.calls), ([1], []))

    def test_one_that_fails_is_logged_and_the_others_go_on(self) -> None:
        self.then = lambda one: 6 // one
        for one in (3, 0, 2):
            self.turns.add(one)
        self.iterate()
        self.assertEqual(self.taken, [3, 0, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_as_much_time_as_the_turns_took_can_be_left_to_others(self) -> None:
        def take(one: int) -> None:
            self.clock.rightNow += 0.25

        self.turns = Turns(self.clock, take, 3, resting=True)
        for one in range(4):
            self.turns.add(one)
        self.iterate()
        (call,) = self.clock.calls
        self.assertEqual(call.getTime() - self.clock.seconds(), 0.75)
