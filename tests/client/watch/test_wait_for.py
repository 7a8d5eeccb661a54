"""How a job ended, and whatever names a job: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from msgspec import structs
from twisted.internet.defer import CancelledError, Deferred

from statusjob import (
    BadBaseURL,
    BadSetting,
    CreatedJob,
    Job,
    JobEnd,
    JobNotFound,
    Status,
    WebhookEvent,
)
from statusjob.client.http.connections import REQUEST_SLOTS
from tests.helpers.scripted_server import (
    BASE,
    COMPLETED,
    JOB_ID,
    PENDING,
    Answering,
    ClientTestCase,
    a_job,
    answer,
    event,
    hang_up,
    hold,
    job_body,
    located,
    problem,
    status,
)

SERVER = "http://example.test"


class EndTests(ClientTestCase):
    """The end of a job carries the job."""

    def wait(
        self, *answers: Answering, base: str | Job = BASE, **options: Any
    ) -> Deferred[JobEnd]:
        """Wait for the end of the job on a server with these answers."""
        self.serve(*answers)
        return self.client(base, **options).wait_for_end()

    def test_the_output_is_asked_for_once_the_job_has_ended(self) -> None:
        job = a_job("completed", output={"words": 42})
        waiting = self.wait(PENDING, COMPLETED, answer(200, job_body(job)))
        self.server.pass_time(10)
        end = self.successResultOf(waiting)
        self.assertEqual((end.result, end.output), (Status.COMPLETED, {"words": 42}))
        self.assertEqual((end.error, end.job), (None, located(job)))
        asked = [f"GET /jobs/{JOB_ID}/status"] * 2 + [f"GET /jobs/{JOB_ID}"]
        self.assertEqual(self.server.asked, asked)

    def test_the_end_tells_why_the_job_failed(self) -> None:
        job = a_job("error", code="no-sound", output=["a tail"])
        end = self.successResultOf(self.wait(status("error"), answer(200, job_body(job))))
        assert end.error is not None
        self.assertEqual((end.error.code, end.output), ("no-sound", ["a tail"]))

    def test_the_demo_job_is_found_by_its_entity_tag(self) -> None:
        job = a_job("completed", kind="demo")
        for tag in ('"{}.completed"', 'W/"{}.completed"', '"{}.completed-gzip"'):
            done = answer(200, b'{"result":"completed"}', ETag=tag.format(JOB_ID))
            shown = answer(200, job_body(job))
            end = self.successResultOf(self.wait(done, shown, base="http://example.test"))
            self.assertEqual(end.job, located(job))

    def test_a_server_of_the_original_contract_tells_the_result_only(self) -> None:
        bare = answer(200, b'{"result":"completed"}')
        end = self.successResultOf(self.wait(bare, base="http://example.test"))
        self.assertEqual((end, len(self.server.requests)), (JobEnd(Status.COMPLETED), 1))
        end = self.successResultOf(self.wait(bare, answer(404, b"<html>")))
        self.assertEqual(end, JobEnd(Status.COMPLETED))

    def test_that_it_cannot_be_asked_for_does_not_fail_the_end(self) -> None:
        for failing in (
            hang_up,
            answer(200, b"<html>"),
            problem(401, "no token"),
            problem(503, "busy", Retry_After="60"),
            answer(200, job_body(a_job())),
        ):
            end = self.successResultOf(self.wait(COMPLETED, failing))
            self.assertEqual(end, JobEnd(Status.COMPLETED))

    def test_it_delays_the_end_by_one_time_out_at_most(self) -> None:
        waiting = self.wait(COMPLETED, hold, request_timeout=3)
        self.server.pass_time(2.75)
        self.assertNoResult(waiting)
        self.server.pass_time(0.25)
        self.assertEqual(self.successResultOf(waiting), JobEnd(Status.COMPLETED))

    def test_that_time_includes_the_wait_for_a_slot(self) -> None:
        self.serve(PENDING, otherwise=hold)
        client = self.client(request_timeout=3)
        waiting = client.wait_for_end()
        others = [self.client(request_timeout=60).get_status() for _ in range(REQUEST_SLOTS)]
        client.notify(WebhookEvent(Status.COMPLETED, 1_700_000_000.0))
        self.server.pass_time(2.75)
        self.assertNoResult(waiting)
        self.server.pass_time(0.25)
        self.assertEqual(self.successResultOf(waiting), JobEnd(Status.COMPLETED))
        for each in others:
            each.cancel()
            self.failureResultOf(each, CancelledError)

    def test_a_job_that_a_webhook_has_brought_is_not_asked_for(self) -> None:
        self.serve(PENDING)
        client = self.client()
        waiting = client.wait_for_end()
        client.notify(event("completed", output=[1]))
        end = self.successResultOf(waiting)
        self.assertEqual((end.output, len(self.server.requests)), ([1], 1))

    def test_cancelling_it_meanwhile_cancels_it(self) -> None:
        waiting = self.wait(COMPLETED, hold)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_a_job_that_is_known_to_have_ended_is_not_asked_for(self) -> None:
        for job in (
            located(a_job("error")),
            CreatedJob(**structs.asdict(a_job("error")), url=BASE, created_here=0.0),
        ):
            end = self.successResultOf(self.wait(base=job))
            self.assertEqual((end.job, self.server.requests), (job, []))

    def test_stopping_the_monitoring_ends_it_without_another_request(self) -> None:
        self.serve(PENDING)
        client = self.client()
        waiting = client.wait_for_end()
        self.successResultOf(client.stop_monitoring())
        self.assertEqual(self.successResultOf(waiting), JobEnd(Status.PENDING))
        self.assertEqual(len(self.server.requests), 1)

    def test_it_fails_as_monitoring_does(self) -> None:
        self.failureResultOf(self.wait(problem(404, "no")), JobNotFound)


class NamingTests(ClientTestCase):
    """Whatever names a job is taken."""

    def asked_for(self, name: str | Job, server: str | None = None) -> str:
        """Return the URL that is asked for the status."""
        self.serve(otherwise=COMPLETED)
        self.successResultOf(self.client(name, server=server).get_status())
        (request,) = self.server.requests
        return f"http://{request.header('Host')}{request.path}"

    def test_a_job_is_named_by_its_url_or_by_what_a_client_returned(self) -> None:
        self.serve(answer(200, job_body(a_job())))
        shown = self.successResultOf(self.client().get_job())
        created = CreatedJob(**structs.asdict(a_job()), url=BASE, created_here=0.0)
        for name in (BASE, BASE + "/", shown, created):
            self.assertEqual(self.asked_for(name), f"{BASE}/status")

    def test_an_id_or_any_other_job_names_one_together_with_its_server(self) -> None:
        for name in (JOB_ID, a_job(), located(a_job()), BASE, f"/jobs/{JOB_ID}"):
            for server in ("http://other.test/api", "http://other.test/api/"):
                url = f"http://other.test/api/jobs/{JOB_ID}/status"
                self.assertEqual(self.asked_for(name, server), url)

    def test_without_the_server_an_id_is_refused_with_the_reason(self) -> None:
        self.serve()
        for name in (JOB_ID, a_job()):
            error = self.assertRaises(BadBaseURL, self.client, name)
            self.assertIn("give its server's URL", str(error))

    def test_what_names_no_job_is_refused_with_its_server_too(self) -> None:
        self.serve()
        self.assertRaises(BadSetting, self.client, "http://example.test/", server=SERVER)
        self.assertRaises(BadBaseURL, self.client, JOB_ID, server="example.test")

    def test_updates_bring_jobs_that_can_be_waited_for(self) -> None:
        self.serve(answer(200, job_body(a_job("completed"))))
        updates = self.client(JOB_ID, server=SERVER).updates()
        job = self.successResultOf(Deferred.fromCoroutine(updates.__anext__()))
        self.assertEqual(self.asked_for(job), f"{BASE}/status")
