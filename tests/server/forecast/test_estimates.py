"""The estimates of workers: how they are used, and what is learned from their errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from msgspec.structs import replace

from statusjob.jobs import CANCELLED, Job, JobFailure, Status
from statusjob.server.forecast import learner
from statusjob.server.forecast.job_estimates import ESTIMATES_PER_JOB
from tests.helpers.forecasts import LONG, ForecastTestCase


class EstimateTests(ForecastTestCase):
    """A forecast, and jobs whose workers report when they will end."""

    def setUp(self) -> None:
        super().setUp()
        self.begin()

    def say(self, job: Job, **members: Any) -> Job:
        """Let the feed tell of a report, and give the job after it; C{eta} is seconds from now."""
        now = self.its_core.now()
        if "eta" in members:
            members["eta_at"] = now + members.pop("eta")
        job = replace(job, version=job.version + 1, updated_at=now, **members)
        self.hear(job)
        return job

    def end(self, job: Job, **members: Any) -> None:
        now = self.its_core.now()
        made = {"result": Status.COMPLETED, "eta_at": None, "finished_at": now, **members}
        self.hear(replace(job, updated_at=now, **made))

    def work(self, expects: Callable[[float], float], **ending: Any) -> None:
        """Let jobs of many lengths end; C{expects} makes an estimate of the time really left."""
        for tens in range(2, 12):
            job = self.pending()
            for i in range(1, 10):
                self.clock.advance(tens)
                job = self.say(job, eta=expects(tens * (10 - i)))
            self.clock.advance(tens)
            self.end(job, **ending)

    def told(self, job: Job) -> int:
        return self.forecast.retry_after(job)


class UseTests(EstimateTests):
    """How estimates are used while a job is pending."""

    def setUp(self) -> None:
        super().setUp()
        # The durations of these jobs differ so much that they say little.
        self.hear(*[self.ended(duration=2.0**i) for i in range(5, 12)] * 5)
        self.said()

    def test_an_estimate_says_when_to_ask(self) -> None:
        job = self.say(self.pending(age=60), eta=40)
        self.assertTrue(20 < self.told(job) < 60, self.told(job))

    def test_an_estimate_that_was_cleared_is_not_heeded(self) -> None:
        job = self.pending(age=60)
        without = self.told(job)
        job = self.say(job, eta=1)
        self.assertLess(self.told(job), without)
        job = self.say(job, eta_at=None)
        self.assertEqual(self.told(job), without)

    def test_an_estimate_counts_from_the_report_that_gave_it(self) -> None:
        job = self.say(self.pending(age=60), eta=100)
        self.clock.advance(90)
        # A report of progress that does not mention the estimate.
        later = self.say(job, progress=0.5)
        self.assertEqual(self.told(later), self.told(job))
        fresh = self.say(self.pending(age=150), eta=10)
        self.assertNotEqual(self.told(later), self.told(fresh))

    def test_an_estimate_that_is_not_remembered_counts_from_the_last_report(self) -> None:
        self.patch(learner, "ESTIMATED_PENDING", 0)
        now = self.its_core.now()
        job = self.say(self.pending(age=60), eta=100)
        self.clock.advance(90)
        later = self.say(job, progress=0.5)
        same = self.pending(age=150, eta_at=now + 100, updated_at=now + 90)
        self.assertEqual(self.told(later), self.told(same))
        fresh = self.say(self.pending(age=150), eta=10)
        self.assertEqual(self.told(later), self.told(fresh))

    def test_an_estimate_that_had_passed_at_the_last_report_is_not_heeded(self) -> None:
        now = self.its_core.now()
        self.assertEqual(
            self.told(self.pending(age=60, eta_at=now - 5, updated_at=now)),
            self.told(self.pending(age=60)),
        )

    def test_absurd_estimates_do_no_harm(self) -> None:
        plain = self.told(self.pending(age=60))
        for eta in (0, 1e-3, 3_155_760_000.0):
            said = self.told(self.say(self.pending(age=60), eta=eta))
            self.assertTrue(1 <= said <= 4 * plain, (eta, said))


class LearningTests(EstimateTests):
    """What is learned from estimates when a job has ended."""

    def late(self) -> int:
        """Compute C{Retry-After} for a job whose worker thinks that half of L{LONG} is left."""
        self.said()
        return self.told(self.say(self.pending(age=LONG / 2), eta=LONG / 2))

    def test_estimates_that_are_always_twice_too_long_are_corrected(self) -> None:
        self.work(lambda left: 2 * left)
        self.assertLess(self.late(), 0.6 * LONG / 2)

    def test_estimates_that_are_always_too_short_are_corrected(self) -> None:
        self.hear(*[self.ended(duration=2.0**i) for i in range(5, 12)] * 5)
        good = self.late()
        self.work(lambda left: left / 3)
        self.assertGreater(self.late(), 1.5 * good)

    def test_cancelled_jobs_teach_nothing_of_estimates(self) -> None:
        before = self.late()
        ending = {"result": Status.ERROR, "error": JobFailure(CANCELLED)}
        self.work(lambda left: 2 * left, **ending)
        self.assertEqual(self.late(), before)

    def test_an_estimate_that_is_announced_again_counts_once(self) -> None:
        job = self.say(self.pending(), eta=100)
        self.hear(*[job] * 50, changed=False)
        self.clock.advance(50)
        self.end(job)
        ((_, estimates),) = self.forecast.kinds["k"].estimated
        self.assertEqual([tuple(each) for each in estimates], [(0, 100)])

    def test_of_many_estimates_a_few_are_kept_evenly_spread(self) -> None:
        for reports in (1, ESTIMATES_PER_JOB, 100, 1000):
            job = self.pending()
            for _ in range(reports):
                self.clock.advance(1)
                job = self.say(job, eta=50)
            self.end(job)
            *_, (_, estimates) = self.forecast.kinds["k"].estimated
            ages = [each.age for each in estimates]
            self.assertEqual(ages[0], 1)
            self.assertTrue(
                min(reports, ESTIMATES_PER_JOB / 2) <= len(ages) <= ESTIMATES_PER_JOB, ages
            )
            gaps = {later - sooner for sooner, later in pairwise(ages)}
            self.assertLessEqual(len(gaps), 1)
            self.assertGreaterEqual(ages[-1], reports * 3 / 4)

    def test_the_estimates_of_at_most_so_many_pending_jobs_are_remembered(self) -> None:
        self.patch(learner, "ESTIMATED_PENDING", 3)
        jobs = [self.say(self.pending(), eta=100) for _ in range(5)]
        self.clock.advance(50)
        for job in jobs:
            self.end(job)
        self.assertEqual(len(self.forecast.kinds["k"].estimated), 3)
        self.assertEqual(len(self.forecast.estimates), 0)

    def test_the_estimates_of_a_job_that_has_ended_are_forgotten(self) -> None:
        for code in (None, CANCELLED):
            job = self.say(self.pending(), eta=100)
            self.end(job, error=None if code is None else JobFailure(code))
            self.assertEqual(len(self.forecast.estimates), 0)
