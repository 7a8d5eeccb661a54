"""How a client uses the durations of past jobs, and how it learns new ones."""

from __future__ import annotations

from collections.abc import Iterable
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import CancelledError

from statusjob import (
    BadSetting,
    JobNotFound,
    MonitoringTimeout,
    Status,
    StatusClient,
    WebhookEvent,
)
from statusjob.client.watch.history import DurationMemory, shared_memory
from statusjob.jobs import new_job_id
from tests.helpers.scripted_server import (
    BASE,
    COMPLETED,
    OTHER_ID,
    PENDING,
    Answering,
    ClientTestCase,
    answer,
    event,
    hang_up,
    hold,
    problem,
    status,
)

KEY = "http://example.test/jobs"
ORIGINAL = "http://example.test"


def bare(result: str) -> Answering:
    """Return an answer of the original contract: a body without headers of interest."""
    return answer(200, b'{"result": "%b"}' % result.encode())


class LearningTestCase(ClientTestCase):
    """Clients that share a memory of durations."""

    def setUp(self) -> None:
        super().setUp()
        self.memory = DurationMemory()

    def client(self, base: Any = BASE, **options: Any) -> StatusClient:
        """Return a client that uses the shared memory."""
        return super().client(base, **{"durations": self.memory, **options})

    def know(self, duration: float, key: str = KEY) -> None:
        """Remember twenty jobs that took C{duration} seconds."""
        for _ in range(20):
            self.memory.learn(key, duration, duration)

    def ending(self, duration: float, *, plain: bool = False) -> None:
        """Serve a job that ends in C{duration} seconds; C{plain}: by the original contract."""
        end = self.clock.seconds() + duration

        def respond(request: Any) -> Any:
            result = "completed" if self.clock.seconds() >= end else "pending"
            return (bare(result) if plain else status(result))(request)

        self.serve(otherwise=respond)

    def watch(self, client: StatusClient, *, age: float | None = None, at_most: float = 60) -> int:
        """Watch the job to its end, and return the number of requests."""
        monitored = client.start_monitoring(age=age)
        self.server.pass_time(at_most)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        return len(self.server.requests)

    def learned(self, answers: Iterable[Answering], *, age: float | None = None) -> Any:
        """Watch a job with these answers, and return what was learned."""
        self.serve(*answers)
        self.watch(self.client(), age=age)
        return self.memory.recall(KEY).seen


class FirstPollTests(LearningTestCase):
    """When a job is polled first, and when again."""

    def test_a_new_job_is_first_polled_when_it_should_be_done(self) -> None:
        self.know(15.0)
        self.ending(15.0)
        self.assertEqual(self.watch(self.client(), age=0), 1)
        waited = self.server.times[0] - 1_700_000_000
        self.assertTrue(15 < waited < 16, waited)

    def test_a_new_job_of_an_unknown_kind_is_first_polled_after_the_polling_interval(self) -> None:
        self.ending(5.0)
        self.assertEqual(self.watch(self.client(), age=0), 2)
        self.assertEqual([each - 1_700_000_000 for each in self.server.times], [2, 8])

    def test_the_time_of_the_first_poll_is_jittered(self) -> None:
        self.ending(1.0)
        self.watch(self.client(random=lambda: 1.0), age=0)
        self.assertEqual(self.server.times, [1_700_000_002.5])

    def test_a_job_of_unknown_age_is_polled_at_once(self) -> None:
        self.know(15.0)
        self.ending(15.0)
        self.assertEqual(self.watch(self.client()), 2)
        self.assertEqual(self.server.times[0], 1_700_000_000)

    def test_a_job_that_may_have_ended_already_is_polled_at_once(self) -> None:
        self.know(15.0)
        self.serve(COMPLETED)
        monitored = self.client().start_monitoring(age=40)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_the_age_counts_while_the_webhook_is_registered(self) -> None:
        self.know(15.0)
        self.serve(hold, COMPLETED)
        client = self.client(webhook_url="https://receiver.test/hook", request_timeout=9)
        monitored = client.start_monitoring(age=3)
        self.server.pass_time(9)
        self.assertEqual(len(self.server.requests), 1)
        self.server.pass_time(3.5)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_an_age_that_makes_no_sense_is_refused(self) -> None:
        self.serve()
        for age in (-1.0, float("nan"), float("inf")):
            self.failureResultOf(self.client().start_monitoring(age=age), BadSetting)

    def test_stopping_before_the_first_request(self) -> None:
        self.serve()
        client = self.client()
        monitored = client.start_monitoring(age=0)
        self.successResultOf(client.stop_monitoring())
        self.assertIs(self.successResultOf(monitored), Status.PENDING)
        self.assertEqual(self.server.requests, [])

    def test_retry_after_is_a_lower_bound_for_the_learned_wait(self) -> None:
        self.know(15.0)
        self.serve(status("pending", Retry_After="3"), COMPLETED)
        self.watch(self.client())
        self.assertTrue(15 < self.waits()[0] < 16, self.waits())
        self.serve(status("pending", Retry_After="25"), COMPLETED)
        self.watch(self.client())
        self.assertEqual(self.waits(), [25])

    def test_max_interval_is_an_upper_bound_for_the_learned_wait(self) -> None:
        self.know(100.0)
        self.ending(100.0)
        self.watch(self.client(max_interval=40.0), at_most=120)
        self.assertEqual(max(self.waits()), 40)
        self.assertTrue(100 <= sum(self.waits()) <= 102, self.waits())

    def test_a_clock_that_is_set_costs_a_few_requests_at_most(self) -> None:
        self.know(15.0)
        for step in (-3600.0, 3600.0, 1e9):
            self.serve()
            client = self.client()
            client.start_monitoring()
            self.clock.rightNow += step
            for call in self.clock.getDelayedCalls():
                call.reset(1)
            self.server.pass_time(200)
            waits = self.waits()[1:]
            self.assertTrue(all(2 <= each <= 30 for each in waits), waits)
            self.assertLessEqual(len(waits), 25)
            client.stop_monitoring()

    def test_the_age_of_a_job_is_read_from_its_id(self) -> None:
        self.know(115.0)
        old = new_job_id(self.clock.seconds() - 100, 1)
        self.serve(status("pending", old), status("completed", old))
        self.watch(self.client(f"{KEY}/{old}"))
        self.assertTrue(15 <= self.waits()[0] <= 16, self.waits())

    def test_the_age_of_a_demo_job_is_read_from_its_etag_however_a_proxy_renamed_it(self) -> None:
        for form in ('"{}"', 'W/"{}"', '"{}-gzip"', 'W/"{}-br"', '"{}--gzip"'):
            self.memory = DurationMemory()
            self.know(115.0, ORIGINAL)
            old = new_job_id(self.clock.seconds() - 100, 1)
            tagged = answer(200, b'{"result":"pending"}', ETag=form.format(f"{old}.pending"))
            self.serve(tagged, status("completed", old))
            self.watch(self.client(ORIGINAL))
            self.assertTrue(15 <= self.waits()[0] <= 16, (form, self.waits()))

    def test_the_age_begins_anew_with_a_new_demo_job(self) -> None:
        first, second = (
            new_job_id(self.clock.seconds() - 500, 1),
            new_job_id(self.clock.seconds(), 2),
        )
        pending = status("pending", second)
        self.serve(status("pending", first), pending, pending, status("completed", second))
        self.watch(self.client(ORIGINAL), at_most=120)
        self.assertEqual(self.waits()[0], 30)
        self.assertLess(self.waits()[1], 20)


class LearningTests(LearningTestCase):
    """What is learned of a job that has ended."""

    def test_the_original_contract_tells_between_which_polls_the_job_ended(
        self,
    ) -> None:
        seen = self.learned([bare("pending"), bare("pending"), bare("completed")])
        self.assertEqual(seen, ((2, 8),))

    def test_learning_by_the_original_contract_saves_requests(self) -> None:
        requests = []
        for _ in range(20):
            self.ending(45.0, plain=True)
            requests.append(self.watch(self.client(ORIGINAL)))
        self.assertEqual(requests[0], 6)
        self.assertLessEqual(max(requests[10:]), 5)
        self.assertEqual(len(self.memory.recall(ORIGINAL).seen), 20)

    def test_last_modified_tells_the_duration_to_the_second(self) -> None:
        end = formatdate(self.clock.seconds() + 5, usegmt=True)
        seen = self.learned([PENDING, PENDING, status("completed", Last_Modified=end)])
        self.assertEqual(seen, ((4, 6),))

    def test_an_impossible_last_modified_is_ignored(self) -> None:
        for moment in (1_700_000_500.0, 1_600_000_000.0):
            self.memory = DurationMemory()
            at = formatdate(moment, usegmt=True)
            seen = self.learned([PENDING, PENDING, status("completed", Last_Modified=at)])
            self.assertEqual(seen[0][1] - seen[0][0], 6)

    def test_the_duration_of_a_new_job_counts_from_its_creation(self) -> None:
        self.assertEqual(self.learned([COMPLETED], age=0), ((0, 2),))

    def test_nothing_is_learned_of_a_job_that_had_ended_before_the_first_request(self) -> None:
        self.assertEqual(self.learned([COMPLETED]), ())

    def test_id_and_last_modified_tell_the_duration_of_a_job_that_had_ended_before(self) -> None:
        old = new_job_id(self.clock.seconds() - 100, 1)
        end = formatdate(self.clock.seconds() - 60, usegmt=True)
        self.serve(status("completed", old, Last_Modified=end))
        self.watch(self.client(f"{KEY}/{old}"))
        ((low, high),) = self.memory.recall(KEY).seen
        self.assertTrue(38 <= low <= 40 <= high <= 42, (low, high))

    def test_the_duration_is_learned_from_a_webhook_with_a_job(self) -> None:
        self.end_by_webhook(event("completed"))
        self.assertEqual(self.memory.recall(KEY).seen, ((10, 10),))

    def test_the_duration_is_learned_from_the_time_of_an_original_webhook(self) -> None:
        self.end_by_webhook(WebhookEvent(Status.ERROR, 1_700_000_000.0))
        self.assertEqual(self.memory.recall(KEY).seen, ((2, 5),))

    def test_nothing_is_learned_of_cancelled_overdue_and_simulated_jobs(self) -> None:
        for code in ("cancelled", "deadline-exceeded", "simulated"):
            self.end_by_webhook(event("error", code=code))
        self.end_by_webhook(event("completed", simulated=True))
        self.assertEqual(self.memory.recall(KEY).seen, ())

    def end_by_webhook(self, ended: WebhookEvent) -> None:
        """Watch a job whose end comes by a webhook after 5 seconds."""
        self.serve()
        client = self.client()
        monitored = client.start_monitoring()
        self.server.pass_time(5)
        client.notify(ended)
        self.assertIs(self.successResultOf(monitored), ended.result)

    def test_nothing_is_learned_of_a_job_whose_end_was_not_seen(self) -> None:
        self.serve()
        client = self.client()
        client.start_monitoring()
        self.server.pass_time(5)
        client.stop_monitoring()
        monitored = client.start_monitoring()
        monitored.cancel()
        self.failureResultOf(monitored, CancelledError)
        monitored = self.client(timeout=5).start_monitoring()
        self.server.pass_time(5)
        self.failureResultOf(monitored, MonitoringTimeout)
        self.serve(PENDING, problem(404, "gone"))
        monitored = self.client().start_monitoring()
        self.server.pass_time(5)
        self.failureResultOf(monitored, JobNotFound)
        self.assertEqual(self.memory.recall(KEY).seen, ())

    def test_a_duration_is_learned_once(self) -> None:
        self.serve(PENDING, COMPLETED)
        client = self.client()
        self.watch(client)
        client.notify(event("completed"))
        self.assertEqual(len(self.memory.recall(KEY).seen), 1)

    def test_a_duration_is_less_exact_after_failures(self) -> None:
        seen = self.learned([PENDING, PENDING, hang_up, hang_up, COMPLETED])
        self.assertEqual(seen, ((2, 20),))

    def test_nothing_is_learned_if_the_clock_was_set_back(self) -> None:
        self.serve(PENDING, COMPLETED)
        monitored = self.client().start_monitoring()
        self.server.pass_time(1)
        self.clock.rightNow -= 3600
        for call in self.clock.getDelayedCalls():
            call.reset(0)
        self.server.pass_time(1)
        self.successResultOf(monitored)
        self.assertEqual(self.memory.recall(KEY).seen, ())


class KeyTests(LearningTestCase):
    """Which jobs share their durations."""

    def test_jobs_of_one_server_share_durations(self) -> None:
        self.know(15.0)
        self.ending(15.0)
        self.assertEqual(self.watch(self.client(f"{KEY}/{OTHER_ID}/"), age=0), 1)

    def test_other_servers_and_paths_do_not_share_durations(self) -> None:
        self.know(15.0)
        for base in ("http://other.test/jobs", "http://example.test:81/jobs", ORIGINAL + "/api"):
            self.ending(15.0)
            self.assertEqual(self.watch(self.client(f"{base}/{OTHER_ID}"), age=0), 3, base)

    def test_each_kind_that_is_given_has_durations_of_its_own(self) -> None:
        self.know(15.0, KEY + " export")
        self.ending(15.0)
        self.assertEqual(self.watch(self.client(kind="export"), age=0), 1)
        self.ending(15.0)
        self.assertEqual(self.watch(self.client(kind="import"), age=0), 3)

    def test_clients_without_a_memory_share_one_per_reactor(self) -> None:
        waits = []
        for _ in range(2):
            self.ending(15.0)
            self.watch(self.client(durations=None))
            waits.append(self.waits())
        self.assertEqual(waits[0], [2, 6, 10])
        self.assertNotEqual(waits[1], waits[0])
        self.assertEqual(len(shared_memory(self.clock).recall(KEY).seen), 2)
