"""How old a watched job is, and how long it took: what can be told from answers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.watch.job_age import JobAge


def watched(*answers: float, created: float | None = None) -> JobAge:
    """A job found pending at these times."""
    life = JobAge(created)
    for each in answers:
        life.request_sent(each)
        life.found_pending()
    return life


class AgeTests(SynchronousTestCase):
    """How old it is."""

    def test_it_counts_from_its_creation(self) -> None:
        self.assertEqual(JobAge(100.0).age(107.0), 7)

    def test_if_that_is_not_known_it_counts_from_the_first_question(self) -> None:
        self.assertEqual(JobAge(None).age(100.0), 0)
        self.assertEqual(watched(100.0, 102.0).age(107.0), 7)

    def test_a_server_may_know_better(self) -> None:
        life = watched(100.0)
        life.server_told(101.0, 60.0)
        self.assertEqual(life.age(107.0), 66)

    def test_only_its_first_word_counts(self) -> None:
        life = watched(100.0)
        life.server_told(101.0, 60.0)
        life.server_told(102.0, 50.0)
        self.assertEqual(life.age(107.0), 66)

    def test_who_saw_the_creation_knows_best(self) -> None:
        life = watched(100.0, created=90.0)
        life.server_told(101.0, 60.0)
        self.assertEqual(life.age(107.0), 17)

    def test_a_server_that_is_absurd_is_not_heeded(self) -> None:
        for absurd in (-1.0, 1e9, float("nan")):
            life = watched(100.0)
            life.server_told(101.0, absurd)
            self.assertEqual(life.age(107.0), 7)

    def test_a_clock_that_is_set_back_makes_nobody_younger_than_new(self) -> None:
        self.assertEqual(JobAge(100.0).age(40.0), 0)


class DurationTests(SynchronousTestCase):
    """How long it took."""

    def test_it_ended_between_the_last_question_and_the_answer(self) -> None:
        life = watched(100.0, 102.0, 108.0)
        life.request_sent(118.0)
        self.assertEqual(life.found_ended(119.0), (8, 19))

    def test_a_job_is_pending_when_it_is_created(self) -> None:
        self.assertEqual(JobAge(100.0).found_ended(115.0), (0, 15))

    def test_if_it_is_not_known_how_old_it_is_nothing_is_known(self) -> None:
        life = JobAge(None)
        life.request_sent(100.0)
        self.assertIsNone(life.found_ended(101.0))

    def test_a_server_that_knows_its_age_suffices(self) -> None:
        life = JobAge(None)
        life.request_sent(100.0)
        life.server_told(101.0, 60.0)
        self.assertEqual(life.found_ended(101.0, 20.0), (39, 41))

    def test_the_server_tells_to_the_second_how_long_it_has_been_over(self) -> None:
        self.assertEqual(watched(100.0, 108.0).found_ended(118.0, 5.0), (12, 14))

    def test_what_was_seen_is_sure(self) -> None:
        life = watched(100.0, 108.0)
        self.assertEqual(life.found_ended(118.0, 0.0), (17, 18))
        self.assertEqual(life.found_ended(118.0, 10.0), (8, 9))

    def test_what_contradicts_it_does_not_count(self) -> None:
        life = watched(100.0, 108.0)
        for absurd in (-1e9, -3.0, 12.0, 1e9):
            self.assertEqual(life.found_ended(118.0, absurd), (8, 18))

    def test_a_clock_that_was_set_back_tells_nothing(self) -> None:
        life = watched(100.0, 108.0, 104.0)
        life.request_sent(118.0)
        self.assertIsNone(life.found_ended(119.0))
        self.assertIsNone(watched(100.0, 108.0).found_ended(107.0))
