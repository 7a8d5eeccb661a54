"""When a server stops, long polls are answered and streams are ended at once."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.helpers.connections import Connection, Following
from tests.helpers.lanes import HeldLane
from tests.helpers.servers import InMemoryServer, ServerTestCase

DRAIN = 8.0


class DrainTests(ServerTestCase):
    """The server is stopped while there are long polls and streams."""

    def setUp(self) -> None:
        self.fake = InMemoryServer(STATUS_DELAY="1000000")
        self.fake.server.site.doStart()
        self.addCleanup(self.fake.server.site.doStop)
        self.fake.clock.advance(0)
        self.site = self.fake.server.site
        self.path = self.create(self.fake)["links"]["self"]

    def hold(self, *headers: str, path: str = "") -> Connection:
        connection = Connection(self.site)
        connection.ask(f"GET {path or self.path}", "Prefer: wait=45", *headers)
        self.assertEqual(connection.received(), b"")
        return connection

    def begin_to_stop(self) -> Deferred[Any]:
        stopping = self.fake.server.stopService()
        self.fake.clock.advance(0)
        return stopping

    def assert_stopped(self, stopping: Deferred[Any]) -> None:
        """Check that the stop is complete and has left nothing."""
        self.successResultOf(stopping)
        self.assertEqual((len(self.site.channels), len(self.fake.server.watchers)), (0, 0))
        self.site.doStop()
        self.addCleanup(self.site.doStart)
        self.assertEqual(self.fake.clock.getDelayedCalls(), [])

    def test_long_polls_are_answered_at_once(self) -> None:
        crowd = [self.hold() for _ in range(100)]
        known = self.hold('If-None-Match: "1"')
        status = self.hold(path="/status")
        stopping = self.begin_to_stop()
        for connection, code in [*((each, 200) for each in crowd), (known, 304), (status, 200)]:
            answer = connection.answer()
            self.assertEqual((answer.code, answer.headers["connection"]), (code, "close"))
            self.assertEqual(answer.headers["preference-applied"], "wait=45")
            self.assertFalse(connection.open or connection.aborted)
        self.assert_stopped(stopping)

    def test_streams_are_ended_at_once(self) -> None:
        crowd = [
            Following(self.site, path)
            for path in (f"{self.path}/events", "/events", "/events?kind=default")
            for _ in range(30)
        ]
        self.fake.clock.advance(0)
        stopping = self.begin_to_stop()
        for followed in crowd:
            self.assertEqual((followed.versions(), followed.ended), ([1], True))
            self.assertFalse(followed.connection.open or followed.connection.aborted)
        self.assert_stopped(stopping)

    def test_a_stream_whose_client_does_not_read_is_aborted_after_the_drain(self) -> None:
        followed = Following(self.site, f"{self.path}/events")
        followed.connection.protocol.pauseProducing()
        followed.connection.transport.stalled = True
        stopping = self.begin_to_stop()
        self.fake.clock.advance(DRAIN - 1)
        self.assertNoResult(stopping)
        self.fake.clock.advance(1)
        self.assertTrue(followed.connection.aborted)
        self.assert_stopped(stopping)

    def test_a_long_poll_that_comes_during_the_stop_is_answered_at_once(self) -> None:
        connection = Connection(self.site)
        connection.send(
            f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n"
            'Prefer: wait=45\r\nIf-None-Match: "1"\r\n'.encode()
        )
        stopping = self.begin_to_stop()
        self.assertTrue(connection.open)
        connection.send(b"\r\n")
        answer = connection.answer()
        self.assertEqual((answer.code, answer.headers["connection"]), (304, "close"))
        self.assert_stopped(stopping)

    def test_a_stream_that_comes_during_the_stop_tells_the_state_and_ends(self) -> None:
        connection = Connection(self.site)
        connection.send(f"GET {self.path}/events HTTP/1.1\r\nHost: localhost\r\n".encode())
        stopping = self.begin_to_stop()
        connection.send(b"\r\n")
        head, _, text = connection.received().partition(b"\r\n\r\n")
        self.assertIn(b"Content-Type: text/event-stream\r\n", head)
        self.assertRegex(text, rb"retry: [123]\d\d\d\nid: 1\nevent: job.progress\n")
        self.assertFalse(connection.open or connection.aborted)
        self.assert_stopped(stopping)


class HeldTests(ServerTestCase):
    """The server is stopped while a read is held."""

    def test_a_stream_that_was_about_to_begin_ends_at_once(self) -> None:
        lane = HeldLane()
        fake = InMemoryServer(lane, STATUS_DELAY="1000000")
        fake.clock.advance(0)
        while lane.held:
            lane.step()
        followed = Following(fake.server.site, "/events")
        held = Connection(fake.server.site)
        held.ask("GET /status", "Prefer: wait=45")
        stopping = fake.server.stopService()
        for _ in range(5):
            fake.clock.advance(0)
            while lane.held:
                lane.step()
        self.assertEqual((followed.events(), followed.ended), ([], True))
        self.assertEqual(held.answer().code, 200)
        self.successResultOf(stopping)
        self.assertEqual(len(fake.server.watchers), 0)
