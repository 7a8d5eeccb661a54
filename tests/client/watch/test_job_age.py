"""The age and the duration of a watched job, as far as answers tell them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.watch.job_age import JobAge


def watched(*answers: float, created: float | None = None) -> JobAge:
    """Return the age of a job that was found pending at these times."""
    job_age = JobAge(created)
    for each in answers:
        job_age.request_sent(each)
        job_age.found_pending()
    return job_age


class AgeTests(SynchronousTestCase):
    """How old the job is."""

    def test_the_age_counts_from_the_creation(self) -> None:
        self.assertEqual(JobAge(100.0).age(107.0), 7)

    def test_if_the_creation_is_not_known_the_age_counts_from_the_first_request(self) -> None:
        self.assertEqual(JobAge(None).age(100.0), 0)
        self.assertEqual(watched(100.0, 102.0).age(107.0), 7)

    def test_the_age_that_the_server_tells_is_used(self) -> None:
        job_age = watched(100.0)
        job_age.server_told(101.0, 60.0)
        self.assertEqual(job_age.age(107.0), 66)

    def test_only_the_first_age_from_the_server_is_used(self) -> None:
        job_age = watched(100.0)
        job_age.server_told(101.0, 60.0)
        job_age.server_told(102.0, 50.0)
        self.assertEqual(job_age.age(107.0), 66)

    def test_a_known_creation_takes_precedence_over_the_server(self) -> None:
        job_age = watched(100.0, created=90.0)
        job_age.server_told(101.0, 60.0)
        self.assertEqual(job_age.age(107.0), 17)

    def test_an_absurd_age_from_the_server_is_ignored(self) -> None:
        for absurd in (-1.0, 1e9, float("nan")):
            job_age = watched(100.0)
            job_age.server_told(101.0, absurd)
            self.assertEqual(job_age.age(107.0), 7)

    def test_the_age_is_never_below_0(self) -> None:
        self.assertEqual(JobAge(100.0).age(40.0), 0)


class DurationTests(SynchronousTestCase):
    """How long the job took."""

    def test_the_job_ended_between_the_last_pending_request_and_the_answer(self) -> None:
        job_age = watched(100.0, 102.0, 108.0)
        job_age.request_sent(118.0)
        self.assertEqual(job_age.found_ended(119.0), (8, 19))

    def test_a_job_is_pending_when_it_is_created(self) -> None:
        self.assertEqual(JobAge(100.0).found_ended(115.0), (0, 15))

    def test_the_duration_is_unknown_if_the_age_is(self) -> None:
        job_age = JobAge(None)
        job_age.request_sent(100.0)
        self.assertIsNone(job_age.found_ended(101.0))

    def test_the_age_from_the_server_is_enough(self) -> None:
        job_age = JobAge(None)
        job_age.request_sent(100.0)
        job_age.server_told(101.0, 60.0)
        self.assertEqual(job_age.found_ended(101.0, 20.0), (39, 41))

    def test_the_time_since_the_end_narrows_the_duration_to_a_second(self) -> None:
        self.assertEqual(watched(100.0, 108.0).found_ended(118.0, 5.0), (12, 14))

    def test_the_time_since_the_end_does_not_widen_what_was_seen(self) -> None:
        job_age = watched(100.0, 108.0)
        self.assertEqual(job_age.found_ended(118.0, 0.0), (17, 18))
        self.assertEqual(job_age.found_ended(118.0, 10.0), (8, 9))

    def test_a_time_since_the_end_that_contradicts_what_was_seen_is_ignored(self) -> None:
        job_age = watched(100.0, 108.0)
        for absurd in (-1e9, -3.0, 12.0, 1e9):
            self.assertEqual(job_age.found_ended(118.0, absurd), (8, 18))

    def test_the_duration_is_unknown_if_the_clock_was_set_back(self) -> None:
        job_age = watched(100.0, 108.0, 104.0)
        job_age.request_sent(118.0)
        self.assertIsNone(job_age.found_ended(119.0))
        self.assertIsNone(watched(100.0, 108.0).found_ended(107.0))
