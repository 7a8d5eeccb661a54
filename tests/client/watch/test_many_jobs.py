"""Many jobs watched by one process: connections and connection slots are shared."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater

from statusjob import Status, StatusClient, WorkerClient
from statusjob.client.http.connections import LONG_POLL_SLOTS, REQUEST_SLOTS, shared_connections
from statusjob.client.watch import requests
from statusjob.contract.jobs import Report
from statusjob.jobs import Status as Result
from tests.helpers.scripted_server import (
    COMPLETED,
    JOB_ID,
    PENDING,
    ClientTestCase,
    PatientServer,
    ScriptedServer,
    a_job,
    answer,
    hold,
    job_body,
)
from tests.helpers.server_sockets import ServerSocketTestCase
from tests.helpers.sockets import SocketTestCase, reactor, until


class LongPollSlotTests(ClientTestCase):
    """Slots for long polls, in memory."""

    server: Any

    def setUp(self) -> None:
        super().setUp()
        self.server = PatientServer(self.clock)

    def watch(self, count: int) -> list[StatusClient]:
        """Watch C{count} jobs."""
        clients = [self.client() for _ in range(count)]
        for client in clients:
            client.start_monitoring()
        self.server.settle()
        return clients

    def test_jobs_without_a_slot_are_polled_by_the_schedule(self) -> None:
        clients = self.watch(LONG_POLL_SLOTS + 36)
        self.assertEqual(len(self.server.held), LONG_POLL_SLOTS)
        self.assertEqual(len(self.server.requests), 2 * LONG_POLL_SLOTS + 36)
        self.server.pass_time(44)
        self.assertEqual(len(self.server.held), LONG_POLL_SLOTS)
        # At ages 2, 8, 18 and 32.
        self.assertEqual(len(self.server.requests), 2 * LONG_POLL_SLOTS + 36 * 5)
        for client in clients:
            client.stop_monitoring()

    def test_a_slot_that_is_released_is_taken_by_the_next_request(self) -> None:
        first, *others = self.watch(LONG_POLL_SLOTS + 2)
        first.stop_monitoring()
        self.server.settle()
        self.assertEqual(len(self.server.held), LONG_POLL_SLOTS - 1)
        self.server.pass_time(2)
        self.assertEqual(len(self.server.held), LONG_POLL_SLOTS)
        for client in others:
            client.stop_monitoring()

    def test_long_polled_and_polled_jobs_are_both_seen_to_end(self) -> None:
        self.watch(LONG_POLL_SLOTS + 6)
        self.server.pass_time(10)
        self.server.change("completed")
        self.assertEqual(self.seen.count(Status.COMPLETED), LONG_POLL_SLOTS)
        self.server.pass_time(10)
        self.assertEqual(self.seen.count(Status.COMPLETED), LONG_POLL_SLOTS + 6)

    def test_slots_are_released_however_a_request_ends(self) -> None:
        for end in (StatusClient.stop_monitoring, lambda _: self.server.cut()):
            (client,) = self.watch(1)
            end(client)
            client.stop_monitoring()
            self.server.settle()
            with shared_connections(self.clock).take_slot():
                self.assertEqual(shared_connections(self.clock).free_slots, LONG_POLL_SLOTS - 1)


class RequestSlotTests(ClientTestCase):
    """Slots for other requests, in memory."""

    def test_the_number_of_concurrent_requests_per_server_is_limited(self) -> None:
        self.serve(otherwise=hold)
        asked = [self.client().get_status() for _ in range(REQUEST_SLOTS + 8)]
        self.assertEqual(len(self.server.requests), REQUEST_SLOTS)
        asked[0].cancel()
        self.failureResultOf(asked[0])
        self.assertEqual(len(self.server.requests), REQUEST_SLOTS + 1)
        # A request that still waits for its slot can be cancelled, too.
        asked[-1].cancel()
        self.failureResultOf(asked[-1])
        for each in asked[1:-1]:
            each.cancel()
            self.failureResultOf(each)
        self.assertEqual(len(self.server.requests), REQUEST_SLOTS + 7)

    def test_a_slow_server_does_not_delay_requests_to_another(self) -> None:
        self.serve(otherwise=hold)
        slow = [self.client().get_status() for _ in range(REQUEST_SLOTS)]
        self.serve(COMPLETED)
        other = self.client("http://other.test")
        self.assertIs(self.successResultOf(other.get_status()), Status.COMPLETED)
        for each in slow:
            each.cancel()
            self.failureResultOf(each)


class SharingTests(SocketTestCase):
    """Shared connections, on loopback."""

    async def test_clients_of_one_server_share_connections(self) -> None:
        server = ScriptedServer(Clock(), *[PENDING] * 3, answer(200, job_body(a_job())))
        base = self.serve(server)
        async with StatusClient(base, reactor=reactor) as client:
            for _ in range(3):
                await client.get_status()
            await WorkerClient(base, reactor=reactor).heartbeat(JOB_ID)
        ports = {each.port for each in server.requests}
        self.assertEqual((len(server.requests), len(ports)), (4, 1))
        self.assertTrue(shared_connections(reactor).idle)

    async def test_a_lost_long_poll_is_not_repeated_at_once(self) -> None:
        server = PatientServer(Clock())
        client = StatusClient(self.serve(server), reactor=reactor)
        monitored = client.start_monitoring()
        await until(lambda: len(server.held) == 1)
        # The long poll ends as if its time was up; the next one uses the same connection.
        self.patch(requests, "ROUNDING", 100.0)
        server.let_go()
        await until(lambda: len(server.requests) == 3)
        _, ended, next_one = server.requests
        self.assertEqual(ended.port, next_one.port)
        server.cut()
        await until(lambda: not server.held)
        await deferLater(reactor, 0.05)
        self.assertEqual(len(server.requests), 3)
        await client.stop_monitoring()
        await monitored


class ManyTests(ServerSocketTestCase):
    """Many jobs on a real server, over sockets."""

    async def test_many_jobs_are_watched_on_few_connections(self) -> None:
        count, slots = 40, 8
        self.patch(shared_connections(reactor), "free_slots", slots)
        jobs = [await self.new_job() for _ in range(count)]
        address: Any = self.server.ports[0].getHost()
        most = 0
        monitored = []
        for job in jobs:
            client = StatusClient(
                f"http://127.0.0.1:{address.port}/jobs/{job}",
                polling_interval=0.1,
                max_interval=0.5,
                reactor=reactor,
            )
            monitored.append(client.start_monitoring())
        await self.watched(slots)
        for number, job in enumerate(jobs):
            most = max(most, len(self.server.watchers))
            await deferLater(reactor, 0.01)
            if number >= 20:
                await self.server.lifecycle.report(job, Report(result=Result.COMPLETED))
            self.assertLessEqual(len(self.server.site.channels), slots + REQUEST_SLOTS)
        for job in jobs[:20]:
            await self.server.lifecycle.report(job, Report(result=Result.COMPLETED))
        waiting: Deferred[list[Status]] = gatherResults(monitored)
        self.assertEqual(set(await waiting), {Status.COMPLETED})
        self.assertEqual(most, slots)
