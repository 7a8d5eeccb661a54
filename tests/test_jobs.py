"""Jobs: their ids, their results, and the progress of simulated ones."""

from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.codec import is_job_id
from statusjob.jobs import SIMULATED_STEPS, EventType, Job, Status, new_job_id, simulated_progress

moments = st.integers(0, (1 << 48) - 1).map(lambda milliseconds: milliseconds / 1000)
entropy = st.integers(0, (1 << 74) - 1)
delays = st.floats(0, 1e9, allow_subnormal=True)


class JobIdTests(SynchronousTestCase):
    """Ids are UUIDv7 (RFC 9562 5.7)."""

    @given(moments, entropy)
    def test_it_is_a_uuid_of_version_7_in_canonical_form(self, now: float, bits: int) -> None:
        text = new_job_id(now, bits)
        parsed = uuid.UUID(text)
        self.assertEqual(str(parsed), text)
        self.assertEqual((parsed.version, parsed.variant), (7, uuid.RFC_4122))
        self.assertTrue(is_job_id(text))

    def test_the_example_of_the_standard_comes_out(self) -> None:
        # RFC 9562, appendix A.6: rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
        bits = 0xCC3 << 62 | 0x18C4DC0C0C07398F
        self.assertEqual(new_job_id(1645557742.000, bits), "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")

    @given(moments, moments, entropy, entropy)
    def test_ids_sort_by_their_millisecond(
        self, early: float, late: float, one: int, other: int
    ) -> None:
        if early > late:
            early, late = late, early
        if round(early * 1000) < round(late * 1000):
            self.assertLess(new_job_id(early, one), new_job_id(late, other))

    @given(entropy, entropy)
    def test_every_random_bit_changes_the_id(self, one: int, other: int) -> None:
        self.assertEqual(new_job_id(1.0, one) == new_job_id(1.0, other), one == other)


class JobTests(SynchronousTestCase):
    """What follows from the state of a job."""

    job = Job(id="j", created_at=100.125, updated_at=100.125)

    def test_every_result_but_pending_is_terminal(self) -> None:
        self.assertEqual([each for each in Status if not each.terminal], [Status.PENDING])

    def test_the_duration_is_the_age_at_the_end(self) -> None:
        self.assertIsNone(self.job.duration)
        self.assertEqual(replace(self.job, finished_at=103.5).duration, 3.375)

    def test_the_event_of_an_update_follows_from_the_result(self) -> None:
        types = [replace(self.job, result=each).event_type for each in Status]
        self.assertEqual(types, [EventType.PROGRESS, EventType.COMPLETED, EventType.ERROR])


class SimulatedProgressTests(SynchronousTestCase):
    """The progress of a simulated job at an age."""

    @given(delays, st.floats(0, 2e9))
    def test_it_ends_at_its_delay_and_not_before(self, delay: float, age: float) -> None:
        progress, _ = simulated_progress(age, delay)
        if age >= delay:
            self.assertEqual(progress, 1)
        elif delay - age > 1e-5:
            self.assertTrue(0 <= progress < 1, progress)

    @given(delays, delays, delays)
    def test_progress_never_goes_back(self, delay: float, one: float, other: float) -> None:
        early, late = sorted((one, other))
        self.assertLessEqual(
            simulated_progress(early, delay)[0], simulated_progress(late, delay)[0]
        )

    @given(st.floats(0, 1e6, allow_subnormal=True))
    def test_there_are_at_most_ten_steps(self, delay: float) -> None:
        progress, age = simulated_progress(0, delay)
        steps = 0
        while progress < 1:
            before = progress
            progress, age = simulated_progress(age, delay)
            self.assertGreater(progress, before)
            steps += 1
        self.assertLessEqual(steps, SIMULATED_STEPS)
        self.assertAlmostEqual(age, delay, delta=1e-9)

    @given(st.floats(0, 1e5), st.integers(0, 4_000_000_000_000))
    def test_a_step_that_is_due_is_taken_in_spite_of_rounding(
        self, delay: float, milliseconds: int
    ) -> None:
        created_at = milliseconds / 1000
        progress, age = simulated_progress(0, delay)
        while progress < 1:
            # The store computes with seconds since the epoch, of which a float has few digits.
            now = created_at + age
            before = progress
            progress, age = simulated_progress(now - created_at, delay)
            self.assertGreater(progress, before)

    def test_steps_are_at_least_half_a_second_apart(self) -> None:
        self.assertEqual(simulated_progress(0, 20), (0, 2))
        self.assertEqual(simulated_progress(0, 2), (0, 0.5))
        self.assertEqual(simulated_progress(0, 0.7), (0, 0.7))
