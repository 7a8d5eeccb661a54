"""C{WorkerClient}: creating jobs, reporting on them, retries and refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread, deferToThread

from statusjob import (
    BadBaseURL,
    BadRequest,
    BadSetting,
    Job,
    JobCancelled,
    JobFinished,
    JobNotFound,
    JobPage,
    LocatedJob,
    NotAuthorized,
    Refused,
    RetriesExhausted,
    Status,
    StatusClient,
    WebhookRegistration,
    WorkerClient,
)
from statusjob.client.http.connections import REQUEST_SLOTS
from statusjob.contract import codec
from statusjob.contract.jobs import Report, job_to_json
from statusjob.testing import modes
from tests.helpers.scripted_server import (
    JOB_ID,
    ScriptedServer,
    a_job,
    answer,
    hang_up,
    located,
    problem,
)
from tests.helpers.sockets import SocketTestCase, reactor
from tests.helpers.workers import REPORTS, WorkerTestCase, job_answer


class WorkerTests(WorkerTestCase):
    """In memory, on a clock."""

    def test_a_job_is_created_with_the_members_that_are_given(self) -> None:
        job = a_job(kind="video-translation", metadata={"a": 1}, deadline=60.0, heartbeat=5.0)
        worker = self.worker(job_answer(job, 201))
        created = self.successResultOf(
            worker.create(kind=job.kind, metadata=job.metadata, deadline=60, heartbeat=5)
        )
        self.assertEqual(
            (created.id, created.kind, created.metadata), (JOB_ID, job.kind, {"a": 1})
        )
        self.assertIsInstance(created, Job)
        self.assertIsNone(created.webhook)
        self.assertEqual(self.server.asked, ["POST /jobs"])
        asked = {"kind": job.kind, "metadata": {"a": 1}, "deadline": 60, "heartbeat": 5}
        self.assertEqual(self.server.requests[0].json, asked)

    def test_members_that_are_not_given_are_not_sent(self) -> None:
        worker = self.worker(job_answer(a_job(), 201))
        self.successResultOf(worker.create())
        self.assertEqual(self.server.requests[0].json, {"kind": "default"})

    def test_creating_a_job_returns_the_secret_of_its_webhook(self) -> None:
        made = {"id": "w1", "secret": "whsec_x"}
        worker = self.worker(job_answer(a_job(), 201, webhook=made))
        created = self.successResultOf(worker.create(webhook="https://receiver.test/"))
        self.assertEqual(created.webhook, WebhookRegistration("w1", "whsec_x"))
        self.assertNotIn("whsec_x", repr(created))
        asked = self.server.requests[0].json
        self.assertEqual(asked["webhook"], {"url": "https://receiver.test/"})

    def test_a_webhook_may_be_given_in_full(self) -> None:
        webhook = {"url": "https://receiver.test/", "events": ["job.progress"], "name": "me"}
        worker = self.worker(job_answer(a_job(), 201))
        self.successResultOf(worker.create(webhook=webhook))
        self.assertEqual(self.server.requests[0].json["webhook"], webhook)

    def test_all_tries_of_a_creation_have_the_same_idempotency_key(self) -> None:
        worker = self.worker(hang_up, problem(503, "busy"), job_answer(a_job()))
        created = worker.create()
        self.server.pass_time(60)
        self.assertEqual(self.successResultOf(created).id, JOB_ID)
        keys = {each.header("Idempotency-Key") for each in self.server.requests}
        self.assertEqual((len(self.server.requests), len(keys)), (3, 1))
        self.assertGreaterEqual(len(str(keys.pop())), 20)

    def test_two_creations_have_different_idempotency_keys(self) -> None:
        worker = self.worker(job_answer(a_job(), 201), job_answer(a_job(), 201))
        worker.create()
        worker.create()
        first, second = (each.header("Idempotency-Key") for each in self.server.requests)
        self.assertNotEqual(first, second)

    def test_an_idempotency_key_may_be_given(self) -> None:
        worker = self.worker(job_answer(a_job()))
        worker.create(idempotency_key="order-17")
        self.assertEqual(self.server.requests[0].header("Idempotency-Key"), "order-17")

    def test_a_report_has_the_members_that_are_given_and_no_others(self) -> None:
        reports: tuple[tuple[Callable[[WorkerClient], Deferred[LocatedJob]], Any], ...] = (
            (lambda w: w.progress(JOB_ID, 0.5), {"progress": 0.5}),
            (lambda w: w.progress(JOB_ID, message="hm"), {"message": "hm"}),
            (
                lambda w: w.progress(JOB_ID, None, message=None, eta=None),
                {"progress": None, "message": None, "eta": None},
            ),
            (lambda w: w.progress(JOB_ID, 1, eta=2.5), {"progress": 1, "eta": 2.5}),
            (lambda w: w.complete(JOB_ID), {"result": "completed"}),
            (
                lambda w: w.complete(JOB_ID, output=[1], message="done"),
                {"result": "completed", "output": [1], "message": "done"},
            ),
            (
                lambda w: w.complete(JOB_ID, output=None),
                {"result": "completed", "output": None},
            ),
            (
                lambda w: w.fail(JOB_ID),
                {"result": "error", "error": {"code": "failed", "message": None}},
            ),
            (
                lambda w: w.fail(JOB_ID, code="no-sound", message="silence"),
                {"result": "error", "error": {"code": "no-sound", "message": "silence"}},
            ),
            (lambda w: w.heartbeat(JOB_ID), {}),
        )
        for report, expected in reports:
            job = a_job(version=7)
            worker = self.worker(job_answer(job))
            self.assertEqual(self.successResultOf(report(worker)), located(job))
            self.assertEqual(self.server.asked, [f"PATCH /jobs/{JOB_ID}"])
            self.assertEqual(self.server.requests[0].json, expected)
            self.assertEqual(self.server.requests[0].header("Content-Type"), "application/json")

    def test_the_server_can_read_every_report(self) -> None:
        for report in REPORTS:
            worker = self.worker(job_answer(a_job()))
            self.successResultOf(report(worker))
            codec.decode(self.server.requests[0].body, Report)

    def test_the_token_is_sent(self) -> None:
        worker = self.worker(job_answer(a_job()), token="t0ken")
        worker.heartbeat(JOB_ID)
        self.assertEqual(self.server.requests[0].header("Authorization"), "Bearer t0ken")

    def test_a_report_that_comes_too_late_says_how_the_job_ended(self) -> None:
        late = codec.encode({"detail": "too late", "job": job_to_json(a_job("completed"))})
        for report in REPORTS:
            reported = report(self.worker(answer(409, late)))
            error = self.failureResultOf(reported, JobFinished).value
            assert isinstance(error, JobFinished)
            self.assertNotIsInstance(error, JobCancelled)
            self.assertEqual((error.job, error.detail), (a_job("completed"), "too late"))

    def test_a_report_on_a_cancelled_job_fails_with_job_cancelled(self) -> None:
        cancelled = a_job("error", code="cancelled")
        body = codec.encode({"detail": "too late", "job": job_to_json(cancelled)})
        for report in REPORTS:
            error = self.failureResultOf(report(self.worker(answer(409, body))), JobCancelled)
            self.assertEqual(error.value.job, cancelled)

    def test_a_conflict_without_a_job_is_a_plain_refusal(self) -> None:
        for body in (b"", b"{}", b'{"job":null}', b'{"job":{}}', b'{"job":"\xff"}', b"[" * 20_000):
            reported = self.worker(answer(409, body)).heartbeat(JOB_ID)
            error = self.failureResultOf(reported, Refused).value
            self.assertNotIsInstance(error, JobFinished)

    def test_refused_reports_fail_by_their_status_code_and_are_not_repeated(self) -> None:
        for code, kind in (
            (400, BadRequest),
            (413, BadRequest),
            (422, BadRequest),
            (401, NotAuthorized),
            (403, NotAuthorized),
            (404, JobNotFound),
            (405, Refused),
        ):
            worker = self.worker(problem(code, "progress: not so"))
            error = self.failureResultOf(worker.progress(JOB_ID, 7), kind).value
            assert isinstance(error, Refused)
            self.assertEqual(error.detail, "progress: not so")
            self.assertEqual(len(self.server.requests), 1)

    def test_a_job_is_cancelled(self) -> None:
        cancelled = a_job("error", code="cancelled")
        worker = self.worker(hang_up, job_answer(cancelled))
        asked = worker.cancel(JOB_ID)
        self.server.pass_time(5)
        self.assertEqual(self.successResultOf(asked), located(cancelled))
        self.assertEqual(self.server.asked, [f"DELETE /jobs/{JOB_ID}"] * 2)

    def test_a_job_that_has_ended_otherwise_cannot_be_cancelled(self) -> None:
        late = codec.encode({"detail": "too late", "job": job_to_json(a_job("completed"))})
        error = self.failureResultOf(self.worker(answer(409, late)).cancel(JOB_ID), JobFinished)
        self.assertEqual(error.value.job, a_job("completed"))

    def test_jobs_are_listed_by_pages(self) -> None:
        jobs = (a_job("completed"), a_job())
        first = {"jobs": [job_to_json(each) for each in jobs], "next": JOB_ID}
        last: dict[str, Any] = {"jobs": [], "next": None}
        worker = self.worker(*(answer(200, codec.encode(each)) for each in (first, last)))
        page = self.successResultOf(worker.list_jobs())
        self.assertEqual(page, JobPage(tuple(map(located, jobs)), JOB_ID))
        listed = worker.list_jobs(result=Status.ERROR, kind="a&b=c", limit=7, cursor=page.next)
        self.assertEqual(self.successResultOf(listed), JobPage((), None))
        query = f"result=error&kind=a%26b%3Dc&limit=7&cursor={JOB_ID}"
        self.assertEqual(self.server.asked, ["GET /jobs", f"GET /jobs?{query}"])

    def test_a_list_that_the_server_refuses(self) -> None:
        worker = self.worker(problem(400, "`limit` must be at most 100"))
        self.failureResultOf(worker.list_jobs(limit=1000), BadRequest)

    def test_an_id_is_one_segment_of_the_path(self) -> None:
        worker = self.worker(problem(404, "no such job"))
        self.failureResultOf(worker.heartbeat("a/b?c#d%2Fe"), JobNotFound)
        self.assertEqual(self.server.asked, ["PATCH /jobs/a%2Fb%3Fc%23d%252Fe"])

    def test_reports_do_not_wait_for_a_server_that_does_not_tell_anything(self) -> None:
        worker = self.worker()
        begun: list[Deferred[Any]] = [worker.list_jobs() for _ in range(2 * REQUEST_SLOTS)]
        self.assertEqual(len(self.server.requests), REQUEST_SLOTS)
        begun.append(worker.heartbeat(JOB_ID))
        self.assertEqual(self.server.asked[REQUEST_SLOTS:], [f"PATCH /jobs/{JOB_ID}"])
        for each in begun:
            each.cancel()
            self.failureResultOf(each, CancelledError)

    def test_settings_that_make_no_sense_are_refused(self) -> None:
        self.assertRaises(BadBaseURL, WorkerClient, "example.test", reactor=self.clock)
        for options in (
            {"retry_for": -1.0},
            {"retry_for": float("nan")},
            {"retry_for": None},
            {"request_timeout": -1.0},
        ):
            self.assertRaises(BadSetting, self.worker, **options)


class SocketTests(SocketTestCase):
    """On loopback. Trial fails a test that leaves a socket or a timer behind."""

    async def test_a_call_in_another_thread_is_an_error_that_says_what_to_do(self) -> None:
        worker = WorkerClient("http://127.0.0.1:9", reactor=reactor)
        calls: tuple[Callable[[], object], ...] = (
            worker.create,
            worker.list_jobs,
            lambda: worker.progress(JOB_ID, 0.5),
            lambda: worker.run(JOB_ID, print),
        )
        for call in calls:
            error = await self.assertFailure(deferToThread(call), RuntimeError)
            self.assertIn("blockingCallFromThread", str(error))

    async def test_what_that_error_says_works(self) -> None:
        server = ScriptedServer(Clock(), otherwise=job_answer(a_job()))
        worker = WorkerClient(self.serve(server), reactor=reactor)

        call: Any = blockingCallFromThread
        await deferToThread(call, reactor, worker.progress, JOB_ID, 0.5)
        self.assertEqual(server.asked, [f"PATCH /jobs/{JOB_ID}"])

    async def test_a_status_client_in_another_thread_says_the_same(self) -> None:
        def work() -> list[Any]:
            failures: list[Any] = []
            StatusClient(base, reactor=reactor).get_status().addErrback(failures.append)
            return failures

        base = await self.closed_port()
        (failure,) = await deferToThread(work)
        self.assertIsNotNone(failure.check(RuntimeError))

    async def test_a_job_is_reported_from_beginning_to_end(self) -> None:
        job = a_job()
        server = ScriptedServer(Clock(), job_answer(job, 201), otherwise=job_answer(job))
        worker = WorkerClient(self.serve(server), reactor=reactor)
        created = await worker.create()
        await worker.progress(created.id, 0.5)
        await worker.complete(created.id, output={"words": 42})
        self.assertEqual(
            server.asked, ["POST /jobs", f"PATCH /jobs/{JOB_ID}", f"PATCH /jobs/{JOB_ID}"]
        )

    async def test_reports_in_a_row_share_a_connection_inside_async_with(self) -> None:
        server = ScriptedServer(Clock(), otherwise=job_answer(a_job()))
        async with WorkerClient(self.serve(server), reactor=reactor) as worker:
            for _ in range(12):
                await worker.heartbeat(JOB_ID)
        self.assertEqual(len({each.port for each in server.requests}), 1)

    async def test_concurrent_reports(self) -> None:
        server = ScriptedServer(Clock(), otherwise=job_answer(a_job()))
        worker = WorkerClient(self.serve(server), reactor=reactor)
        for reported in [worker.heartbeat(JOB_ID) for _ in range(5)]:
            await reported
        self.assertEqual(len(server.requests), 5)

    async def test_creating_a_job_fails_if_no_server_listens(self) -> None:
        worker = WorkerClient(await self.closed_port(), reactor=reactor, retry_for=0)
        with self.assertRaises(RetriesExhausted):
            await worker.create()

    async def test_a_connection_that_is_reset_during_the_answer_is_a_failure(self) -> None:
        base, server = self.misbehaving(modes.reset_in_body)
        worker = WorkerClient(base, reactor=reactor, retry_for=0)
        with self.assertRaises(RetriesExhausted):
            await worker.heartbeat(JOB_ID)
        await server.wait_until_closed()
