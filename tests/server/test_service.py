"""The parts of a server: in which order they start and stop, and how long a stop may take."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.service import CannotStart, Server
from statusjob.server.settings import resolve
from statusjob.server.site.careful import CannotListen
from tests.helpers.lanes import InlineLane
from tests.helpers.servers import ServerTestCase

DRAIN = 10.0


class RecordingPart:
    """
    A part that records its life.

    @ivar stopping: fires when the part has stopped; the test lets it fire.
    """

    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self.events = events
        self.stopping: Deferred[None] = Deferred()

    def start(self) -> None:
        self.events.append(f"start {self.name}")

    def stop(self, seconds: float) -> Deferred[None]:
        self.events.append(f"stop {self.name} within {seconds:g}")
        return self.stopping


class BrokenPart(RecordingPart):
    """A part that cannot start."""

    def start(self) -> None:
        raise CannotListen("the port is taken")


class PartsTests(SynchronousTestCase):
    """A server whose parts are replaced by recording ones."""

    def setUp(self) -> None:
        self.clock: Any = MemoryReactorClock()
        self.server = Server(
            self.clock,
            resolve({}, {"STATUSJOB_DRAIN": str(DRAIN)}, {}),
            lanes=lambda name: InlineLane(),
        )
        self.events: list[str] = []
        self.first = RecordingPart("first", self.events)
        self.second = RecordingPart("second", self.events)

    def test_parts_stop_one_after_the_other_in_reverse_and_share_the_drain_time(self) -> None:
        self.server.parts = [self.first, self.second]
        self.server.startService()
        self.assertEqual(self.events, ["start first", "start second"])
        self.events.clear()
        stopped = self.server.stopService()
        self.assertEqual(self.events, ["stop second within 10"])
        self.clock.advance(4)
        self.second.stopping.callback(None)
        self.assertEqual(self.events[1:], ["stop first within 6"])
        self.assertNoResult(stopped)
        self.first.stopping.callback(None)
        self.successResultOf(stopped)

    def test_no_part_is_given_less_than_no_time(self) -> None:
        self.server.parts = [self.first, self.second]
        self.server.startService()
        self.server.stopService()
        self.clock.advance(DRAIN + 1)
        self.second.stopping.callback(None)
        self.assertEqual(self.events[-1], "stop first within 0")

    def test_if_a_part_cannot_start_those_before_it_are_stopped_and_none_follows(self) -> None:
        self.server.parts = [self.first, BrokenPart("broken", self.events), self.second]
        error = self.assertRaises(SystemExit, self.server.startService)
        self.assertEqual(str(error.code), "statusjob: the port is taken")
        self.assertEqual(self.events, ["start first", "stop first within 0"])
        self.successResultOf(self.server.stopService())
        self.assertEqual(len(self.events), 2)


class ShutdownDelayTests(ServerTestCase):
    """A server that goes on serving for some seconds after the signal to stop."""

    def test_it_serves_but_is_not_ready(self) -> None:
        fake = self.serve(STATUSJOB_SHUTDOWN_DELAY="5")
        self.assertEqual(self.ask(fake, "GET", "/readyz").code, 200)
        stopped = fake.server.stopService()
        fake.clock.advance(4.9)
        self.assertEqual(self.ask(fake, "GET", "/readyz").code, 503)
        self.assertEqual(self.ask(fake, "GET", "/healthz").code, 200)
        self.create(fake)
        self.assertNoResult(stopped)
        fake.clock.advance(0.1)
        fake.clock.advance(fake.server.settings.drain)
        self.successResultOf(stopped)


class PrivilegeTests(SynchronousTestCase):
    """C{twistd} calls one method while it is privileged, and another when it is no more."""

    def test_ports_are_opened_while_privileged_and_once(self) -> None:
        clock: Any = MemoryReactorClock()
        variables = {
            "STATUSJOB_DATABASE": ":memory:",
            "STATUSJOB_ENDPOINT": r"tcp6:80:interface=\:\:1",
        }
        server = Server(clock, resolve({}, variables, {}), lanes=lambda name: InlineLane())
        server.privilegedStartService()
        self.assertEqual(len(clock.tcpServers), 1)
        server.startService()
        self.assertEqual(len(clock.tcpServers), 1)
        stopped = server.stopService()
        clock.advance(server.settings.drain)
        self.successResultOf(stopped)

    def test_a_port_that_cannot_be_had_ends_the_start(self) -> None:
        clock: Any = MemoryReactorClock()
        given = resolve({}, {"STATUSJOB_ENDPOINT": "bogus"}, {})
        server = Server(clock, given, lanes=lambda name: InlineLane())
        self.assertRaises(CannotStart, server.privilegedStartService)
