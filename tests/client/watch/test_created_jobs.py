"""A job that this process has created: what is known of it is not requested again."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock, deferLater

from statusjob import (
    BadBaseURL,
    CreatedJob,
    DurationMemory,
    JobEnd,
    JobNotFound,
    MonitoringTimeout,
    Status,
    StatusClient,
    WorkerClient,
    wait_for,
)
from statusjob.client.http.connections import LONG_POLL_SLOTS, shared_connections
from tests.helpers.scripted_server import (
    JOB_ID,
    PENDING,
    Answering,
    ClientTestCase,
    PatientServer,
    ScriptedServer,
    a_job,
    answer,
    hang_up,
    job_body,
    problem,
    status,
)
from tests.helpers.server_sockets import ServerSocketTestCase
from tests.helpers.sockets import SocketTestCase, reactor

BORN = 1_700_000_000.0


class CreatedTestCase(ClientTestCase):
    """A server that creates a job, and can be long-polled for it."""

    server: Any

    def setUp(self) -> None:
        super().setUp()
        self.server = PatientServer(self.clock)

    def create(self, result: str = "pending", *, age: float = 0.0, **headers: str) -> CreatedJob:
        """Create a job; C{age}: the seconds since an earlier request had created it."""
        job = a_job(result, kind="export", created_at=self.clock.seconds() - age)
        self.server.then(answer(201, job_body(job), **headers))
        worker = WorkerClient("http://example.test/", reactor=self.clock, treq=self.server.stub)
        created = self.successResultOf(worker.create())
        self.server.requests.clear()
        return created

    def watch(self, created: CreatedJob, **options: Any) -> Deferred[Status]:
        monitored = self.client(created, **options).start_monitoring()
        self.server.settle()
        return monitored


class CreatedTests(CreatedTestCase):
    """What the answer to the creation tells."""

    def test_a_created_job_has_its_url(self) -> None:
        self.assertEqual(self.create().url, f"http://example.test/jobs/{JOB_ID}")

    def test_one_long_poll_watches_a_new_job_to_its_end(self) -> None:
        monitored = self.watch(self.create())
        self.assertEqual(self.seen, [Status.PENDING])
        self.server.pass_time(40)
        self.server.change("completed")
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        (asked,) = self.server.requests
        self.assertEqual(asked.path, f"/jobs/{JOB_ID}/status")
        self.assertEqual(
            (asked.header("Prefer"), asked.header("If-None-Match")), ("wait=45", None)
        )

    def test_a_server_that_does_not_long_poll_is_polled_by_the_schedule(self) -> None:
        for otherwise in (PENDING, status("pending", Preference_Applied="wait=0")):
            begun, created = self.clock.seconds(), self.create()
            self.serve(otherwise=otherwise)
            client = self.client(created)
            client.start_monitoring()
            self.server.pass_time(20)
            # First an attempt to long-poll, then a poll by the schedule.
            self.assertEqual([each - begun for each in self.server.times[:2]], [0, 2])
            client.stop_monitoring()
            self.server = PatientServer(self.clock)

    def test_without_a_slot_a_new_job_is_not_polled_at_once(self) -> None:
        created = self.create()
        self.patch(shared_connections(self.clock), "free_slots", 0)
        self.watch(created)
        self.server.pass_time(1.75)
        self.assertEqual(self.server.requests, [])
        self.server.pass_time(0.25)
        self.assertEqual(len(self.server.requests), 1)
        self.patch(shared_connections(self.clock), "free_slots", LONG_POLL_SLOTS)
        self.server.pass_time(6)
        self.server.change("error")

    def test_the_age_counts_from_the_creation(self) -> None:
        created = self.create()
        self.server.pass_time(12)
        self.patch(shared_connections(self.clock), "free_slots", 0)
        self.watch(created)
        self.server.pass_time(12)
        # The job may have ended before it was watched, so the first request is made at once.
        self.assertEqual([each - BORN for each in self.server.times], [12, 24])
        self.server.change("completed")
        self.server.pass_time(30)

    def test_a_repeated_creation_tells_the_age_of_the_job(self) -> None:
        date = formatdate(BORN, usegmt=True)
        self.assertEqual(self.create(age=100, Date=date).created_here, BORN - 100)
        for nonsense in ("soon", formatdate(BORN - 500, usegmt=True)):
            self.assertEqual(self.create(age=100, Date=nonsense).created_here, BORN)

    def test_a_job_that_is_created_terminal_takes_no_request(self) -> None:
        monitored = self.watch(self.create("error"), webhook_url="http://receiver.test/")
        self.assertIs(self.successResultOf(monitored), Status.ERROR)
        self.assertEqual((self.seen, self.server.requests), ([Status.ERROR], []))

    def test_the_duration_is_remembered_for_the_kind(self) -> None:
        memory = DurationMemory()
        monitored = self.watch(self.create(), durations=memory)
        self.server.pass_time(10)
        self.server.change("completed")
        self.successResultOf(monitored)
        self.assertEqual(memory.recall("http://example.test/jobs export").seen, ((0.0, 10.0),))

    def test_an_unreachable_server_fails_the_monitoring(self) -> None:
        created = self.create()
        self.server.then(*[hang_up] * 9)
        monitored = self.watch(created, max_retries=1)
        self.server.pass_time(10)
        self.failureResultOf(monitored)
        self.assertEqual(len(self.server.requests), 2)

    def test_a_deleted_job_fails_the_monitoring(self) -> None:
        created = self.create()
        self.server.then(problem(404, "no such job"))
        self.failureResultOf(self.watch(created), JobNotFound)


class WaitForTests(SocketTestCase):
    """L{wait_for}, on loopback."""

    def serve_then(self, *answers: Answering) -> str:
        return self.serve(ScriptedServer(Clock(), *answers))

    async def test_it_fires_with_the_result_of_any_server(self) -> None:
        seen: list[Status] = []
        base = self.serve_then(answer(200, b'{"result":"error"}'))
        end = await wait_for(base, on_update=seen.append, reactor=reactor)
        self.assertEqual((end, seen), (JobEnd(Status.ERROR), [Status.ERROR]))
        self.assertEqual((end.output, end.error), (None, None))

    async def test_it_fails_as_monitoring_does(self) -> None:
        with self.assertRaises(JobNotFound):
            await wait_for(self.serve_then(problem(404, "no")), reactor=reactor)
        with self.assertRaises(MonitoringTimeout):
            await wait_for(self.serve_then(), timeout=0.05, reactor=reactor)
        await self.assertFailure(wait_for("example.test", reactor=reactor), BadBaseURL)

    async def test_it_can_be_cancelled(self) -> None:
        waiting = wait_for(self.serve_then())
        reactor.callLater(0.05, waiting.cancel)
        with self.assertRaises(CancelledError):
            await waiting


class ServerTests(ServerSocketTestCase):
    """On a real server, over sockets."""

    def base(self) -> str:
        """Return the base URL of the server."""
        address: Any = self.server.ports[0].getHost()
        return f"http://127.0.0.1:{address.port}"

    async def test_the_end_is_noticed_within_one_round_trip(self) -> None:
        worker = WorkerClient(self.base(), reactor=reactor)
        created = await worker.create()
        waiting = StatusClient(created, reactor=reactor).start_monitoring()
        await self.watched()
        await worker.complete(created)
        await StatusClient(self.base(), reactor=reactor).get_status()
        # What the server sent before that answer has arrived, and is read in the next turn.
        await deferLater(reactor, 0)
        self.assertTrue(waiting.called)
        self.assertIs(await waiting, Status.COMPLETED)

    async def test_the_end_carries_what_the_worker_reported(self) -> None:
        worker = WorkerClient(self.base(), reactor=reactor)
        created = await worker.create()
        waiting = wait_for(created.id, server=self.base(), reactor=reactor)
        await self.watched()
        await worker.complete(created, output={"words": 42})
        end = await waiting
        self.assertEqual((end.result, end.output), (Status.COMPLETED, {"words": 42}))

    async def test_one_request_waits_for_a_whole_job(self) -> None:
        asked = []
        find = self.server.lifecycle.poll

        def poll(job_id: str | None) -> Any:
            asked.append(job_id)
            return find(job_id)

        self.patch(self.server.lifecycle, "poll", poll)
        worker = WorkerClient(self.base(), reactor=reactor)
        created = await worker.create(simulate={"delay": 0.3, "error_rate": 1})
        end = await wait_for(created, reactor=reactor)
        assert end.error is not None
        self.assertEqual((end.result, end.error.code), (Status.ERROR, "simulated"))
        self.assertEqual(asked, [created.id])

    async def test_stopping_leaves_no_watcher_on_the_server(self) -> None:
        client = StatusClient(f"{self.base()}/jobs/{await self.new_job()}", reactor=reactor)
        monitored = client.start_monitoring()
        await self.watched()
        await client.stop_monitoring()
        self.assertIs(await monitored, Status.PENDING)
        await self.gone()
