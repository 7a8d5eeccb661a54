"""C{WebhookReceiver} and C{StatusClient}: a delivery ends the monitoring at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail

from statusjob import Status, StatusClient
from tests.helpers.receiver import ReceiverTestCase, payload
from tests.helpers.scripted_server import (
    BASE,
    JOB_ID,
    OTHER_ID,
    PENDING,
    ScriptedServer,
    answer,
    hold,
)
from tests.helpers.secrets import SECRET


class ClientTests(ReceiverTestCase):
    """Clients that monitor are notified of deliveries."""

    def setUp(self) -> None:
        super().setUp()
        self.clients: set[StatusClient] = set()
        self.seen: list[Status] = []

    def monitor(
        self, server: ScriptedServer, base: str = BASE, **options: Any
    ) -> Deferred[Status]:
        """Start a client that is notified of deliveries while it monitors."""
        client = StatusClient(
            base, reactor=self.clock, treq=server.stub, on_update=self.seen.append, **options
        )
        self.clients.add(client)
        monitored = client.start_monitoring()
        server.stub.flush()

        def leave(result: Any) -> Any:
            self.clients.discard(client)
            return result

        return monitored.addBoth(leave)

    def deliver(self, **options: Any) -> int:
        """Deliver the end of the job; return the status code of the answer."""
        receiver = self.receiver(clients=self.clients, **options)
        body = payload(2, "completed")
        return self.code(self.send(receiver, body, timestamp=int(self.clock.seconds())))

    def assert_nothing_left(self) -> None:
        """Check that no timer runs, and that no client is registered any more."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.clients, set())

    def test_monitoring_ends_at_once_between_two_requests(self) -> None:
        server = ScriptedServer(self.clock, otherwise=PENDING)
        monitored = self.monitor(server)
        server.pass_time(3)
        self.assertNoResult(monitored)
        asked = len(server.requests)
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])
        self.assertEqual((len(server.requests), server.lost), (asked, 0))
        self.assert_nothing_left()

    def test_monitoring_ends_at_once_during_a_request_which_is_given_up(self) -> None:
        server = ScriptedServer(self.clock, PENDING, otherwise=hold)
        monitored = self.monitor(server)
        server.pass_time(3)
        self.assertEqual((len(server.requests), server.lost), (2, 0))
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        server.stub.flush()
        self.assertEqual((len(server.requests), server.lost), (2, 1))
        self.assert_nothing_left()

    def test_monitoring_ends_at_once_during_the_first_request(self) -> None:
        server = ScriptedServer(self.clock, otherwise=hold)
        monitored = self.monitor(server)
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(self.seen, [Status.COMPLETED])
        self.assert_nothing_left()

    def test_monitoring_ends_at_once_while_the_webhook_is_registered(self) -> None:
        server = ScriptedServer(self.clock, hold, otherwise=answer(200))
        monitored = self.monitor(server, webhook_url="http://me.test/", webhook_secret=SECRET)
        self.assertEqual(server.asked, [f"POST /jobs/{JOB_ID}/webhooks/register"])
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assert_nothing_left()

    def test_monitoring_ends_at_once_while_the_server_is_down(self) -> None:
        def down(request: Any) -> bytes:
            request.setResponseCode(503)
            return b""

        server = ScriptedServer(self.clock, otherwise=down)
        monitored = self.monitor(server)
        server.pass_time(5)
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assert_nothing_left()

    def test_a_client_of_another_job_goes_on(self) -> None:
        server = ScriptedServer(self.clock, otherwise=hold)
        mine = self.monitor(server)
        other = self.monitor(server, BASE.replace(JOB_ID, OTHER_ID))
        self.assertEqual(self.deliver(), 204)
        self.assertIs(self.successResultOf(mine), Status.COMPLETED)
        self.assertNoResult(other)
        for client in tuple(self.clients):
            client.stop_monitoring()
        self.successResultOf(other)
        self.assert_nothing_left()

    def test_clients_may_come_and_go_while_they_are_notified(self) -> None:
        # The set changes during the iteration: one client leaves, and a new one comes.
        server = ScriptedServer(self.clock, otherwise=hold)
        late: list[Deferred[Status]] = []
        for _ in range(2):
            monitored = self.monitor(server)
            monitored.addCallback(lambda _: late.append(self.monitor(server)))
        self.assertEqual(self.deliver(), 204)
        self.assertEqual(len(late), 2)
        for client in tuple(self.clients):
            client.stop_monitoring()
        self.assert_nothing_left()

    def test_clients_are_notified_even_if_the_handler_fails(self) -> None:
        server = ScriptedServer(self.clock, otherwise=hold)
        monitored = self.monitor(server)
        self.assertEqual(self.deliver(on_update=lambda _: fail(ZeroDivisionError())), 500)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_nothing_left()

    def test_a_client_whose_callback_fails_does_no_harm_to_the_delivery(self) -> None:
        def broken(_: Status) -> None:
            raise ZeroDivisionError

        server = ScriptedServer(self.clock, otherwise=hold)
        client = StatusClient(BASE, reactor=self.clock, treq=server.stub, on_update=broken)
        self.clients.add(client)
        monitored = client.start_monitoring()
        self.assertEqual(self.deliver(), 204)
        self.failureResultOf(monitored, ZeroDivisionError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
