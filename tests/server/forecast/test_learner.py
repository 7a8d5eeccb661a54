"""The forecast: what it learns from the feed, what it forgets, and how it makes outlooks."""

from __future__ import annotations

from statusjob.jobs import CANCELLED, DEADLINE_EXCEEDED, DEMO_KIND, SIMULATED, WORKER_LOST
from statusjob.pace.durations import REMEMBERED
from statusjob.server.forecast import learner
from statusjob.server.forecast.learner import INTERVAL, REST
from tests.helpers.forecasts import LONG, TURN, ForecastTestCase
from tests.helpers.lanes import HeldLane


class LearningTests(ForecastTestCase):
    """What is learned from the ends of jobs."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def test_nothing_is_known_at_first(self) -> None:
        self.assert_unknown()

    def test_the_end_of_a_job_teaches_about_its_kind_and_no_other(self) -> None:
        self.learn()
        self.assert_learned()
        self.assert_unknown("other")

    def test_failed_jobs_teach_like_completed_ones(self) -> None:
        for code in ("disk-full", WORKER_LOST):
            self.learn(code, code=code)
            self.assert_learned(code)

    def test_cancelled_overdue_simulated_and_demo_jobs_teach_nothing(self) -> None:
        for code in (CANCELLED, DEADLINE_EXCEEDED, SIMULATED):
            self.learn(code, code=code)
            self.assert_unknown(code)
        self.learn(simulated=True)
        self.assert_unknown()
        self.learn(DEMO_KIND)
        self.assert_unknown(DEMO_KIND)

    def test_an_update_that_is_announced_again_teaches_nothing(self) -> None:
        self.hear(*[self.ended() for _ in range(50)], changed=False)
        self.assert_unknown()

    def test_pending_jobs_teach_nothing(self) -> None:
        self.hear(*[self.pending(age=LONG) for _ in range(50)])
        self.assert_unknown()

    def test_the_oldest_jobs_are_forgotten(self) -> None:
        self.hear(*[self.ended(duration=10) for _ in range(REMEMBERED)])
        self.assertLess(self.said(), 20)
        self.hear(*[self.ended() for _ in range(REMEMBERED)])
        self.assert_learned()

    def test_the_kind_that_was_longest_unused_is_forgotten(self) -> None:
        self.patch(learner, "KINDS", 2)
        for kind in ("a", "b"):
            self.learn(kind)
        # A kind counts as used when somebody asks about it.
        self.assert_learned("a")
        self.learn("c")
        self.assert_unknown("b")
        self.assert_learned("a")
        self.assert_learned("c")


class ClockTests(ForecastTestCase):
    """The machine's clock is set."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def test_a_job_that_ended_before_it_was_created_teaches_nothing(self) -> None:
        self.learn(duration=-LONG)
        self.assert_unknown()

    def test_a_job_with_an_absurd_duration_teaches_nothing(self) -> None:
        self.learn(duration=1e10)
        self.assert_unknown()

    def test_a_job_that_was_created_in_the_future_counts_as_new(self) -> None:
        self.learn()
        self.assert_learned()
        for age in (-3600, -1e9):
            self.assertEqual(
                self.forecast.retry_after(self.pending(age=age)),
                self.forecast.retry_after(self.pending()),
            )

    def test_outlooks_are_made_although_the_clock_is_set_back(self) -> None:
        self.learn()
        self.its_core.ahead -= 1e6
        self.assert_learned()


class MakingTests(ForecastTestCase):
    """Outlooks are made in a lane, and not too often."""

    def setUp(self) -> None:
        super().setUp()
        self.lane = HeldLane()
        self.begin(lane=self.lane)

    def ask(self, kind: str = "k") -> int:
        return self.forecast.retry_after(self.pending(kind))

    def make(self) -> None:
        """Let the lane make the outlook that it holds."""
        self.clock.advance(TURN)
        self.lane.step()

    def test_no_outlook_is_made_unless_somebody_asks(self) -> None:
        self.learn()
        self.clock.advance(60)
        self.assertEqual(self.lane.held, 0)
        self.ask()
        self.clock.advance(TURN)
        self.assertEqual(self.lane.held, 1)
        self.make()

    def test_the_old_outlook_serves_while_a_new_one_is_made(self) -> None:
        self.learn()
        self.assertEqual(self.ask(), 2)
        self.clock.advance(TURN)
        self.assertEqual(self.ask(), 2)
        self.make()
        old = self.ask()
        self.assertGreater(old, LONG / 2)
        self.learn(duration=LONG / 3)
        self.ask()
        self.clock.advance(INTERVAL)
        self.assertEqual(self.ask(), old)
        self.make()
        self.assertNotEqual(self.ask(), old)

    def test_at_most_one_outlook_of_a_kind_is_made_per_second(self) -> None:
        self.learn()
        self.ask()
        self.make()
        for _ in range(9):
            self.learn()
            self.ask()
            self.clock.advance(INTERVAL / 10)
            self.assertEqual(self.lane.held, 0)
        self.ask()
        self.clock.advance(INTERVAL / 10)
        self.make()

    def test_what_is_learned_while_an_outlook_is_made_counts_in_the_next_one(self) -> None:
        self.learn()
        self.ask()
        self.clock.advance(TURN)
        self.learn(duration=LONG / 3)
        self.lane.step()
        first = self.ask()
        self.clock.advance(INTERVAL)
        self.make()
        self.assertNotEqual(self.ask(), first)
        self.clock.advance(60)
        self.assertEqual(self.lane.held, 0)

    def test_there_is_a_rest_between_any_two_outlooks(self) -> None:
        for kind in ("a", "b"):
            self.learn(kind)
            self.ask(kind)
        self.make()
        self.clock.advance(REST / 2)
        self.assertEqual(self.lane.held, 0)
        self.make()
        # There is a rest even if somebody asks only after the first outlook was made.
        self.learn("c")
        self.ask("c")
        self.clock.advance(REST / 2)
        self.assertEqual(self.lane.held, 0)
        self.make()

    def test_no_outlook_is_made_of_a_kind_that_was_forgotten(self) -> None:
        self.patch(learner, "KINDS", 1)
        self.learn("a")
        self.ask("a")
        self.learn("b")
        self.clock.advance(TURN)
        self.assertEqual(self.lane.held, 0)

    def test_a_stop_waits_for_the_outlook_that_is_being_made(self) -> None:
        self.learn()
        self.ask()
        self.clock.advance(TURN)
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.lane.step()
        self.successResultOf(stopping)

    def test_after_a_stop_nothing_is_learned_or_made(self) -> None:
        self.successResultOf(self.stop())
        self.learn()
        self.assertEqual(self.ask(), 2)
        self.clock.advance(60)
        self.assertEqual((self.ask(), self.lane.held), (2, 0))
        self.assertEqual(len(self.forecast.kinds), 0)
