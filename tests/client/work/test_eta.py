"""The estimate of a job's end from its progress."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.work.eta import LEAST_PROGRESS, LEAST_TIME, EtaEstimate


class EtaEstimateTests(SynchronousTestCase):
    """Examples, and one property."""

    @given(st.floats(5, 1e6), st.floats(0, 0.9), st.lists(st.floats(0.1, 1), min_size=1))
    def test_the_estimate_for_steady_work_is_exact(
        self, length: float, had: float, parts: list[float]
    ) -> None:
        estimate = EtaEstimate(1000.0, had)
        for part in sorted(parts):
            left = estimate.update(1000 + length * part, had + (1 - had) * part)
            if left is not None:
                self.assertAlmostEqual(left, length * (1 - part), delta=length * 1e-6)

    def test_too_little_progress_or_time_gives_no_estimate(self) -> None:
        estimate = EtaEstimate(1000.0, 0.0)
        self.assertIsNone(estimate.update(1000 + LEAST_TIME / 2, 0.5))
        estimate = EtaEstimate(1000.0, 0.0)
        self.assertIsNone(estimate.update(1100.0, LEAST_PROGRESS / 2))
        self.assertIsNone(estimate.update(1100.0, 0.0))

    def test_one_slow_piece_of_work_moves_the_estimate_by_half(self) -> None:
        estimate = EtaEstimate(0.0, 0.0)
        self.assertEqual(estimate.update(10.0, 0.1), 90)
        # The new estimate is 180 s and the old one is now 80 s: half of the way is 130 s.
        self.assertEqual(estimate.update(20.0, 0.1), 130)

    def test_the_estimate_is_never_in_the_past(self) -> None:
        estimate = EtaEstimate(0.0, 0.0)
        estimate.update(1.0, 0.5)
        self.assertEqual(estimate.update(100.0, 0.99), 0)

    def test_full_progress_ends_now(self) -> None:
        estimate = EtaEstimate(0.0, 0.0)
        estimate.update(10.0, 0.1)
        self.assertEqual(estimate.update(20.0, 1.0), 0)

    def test_the_estimate_begins_anew_when_progress_decreases(self) -> None:
        estimate = EtaEstimate(0.0, 0.0)
        estimate.update(10.0, 0.5)
        self.assertIsNone(estimate.update(20.0, 0.1))
        self.assertEqual(estimate.update(30.0, 0.2), 80)

    def test_the_estimate_begins_anew_when_the_clock_is_set_back(self) -> None:
        estimate = EtaEstimate(1000.0, 0.0)
        estimate.update(1010.0, 0.5)
        self.assertIsNone(estimate.update(10.0, 0.6))
        self.assertAlmostEqual(estimate.update(20.0, 0.8) or 0, 10)

    def test_a_clock_that_is_set_forward_gives_no_absurd_estimate(self) -> None:
        estimate = EtaEstimate(0.0, 0.0)
        self.assertIsNone(estimate.update(1e12, 0.1))
