"""A whole server in memory, on a clock that only tests move."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.lanes import Lane
from statusjob.server.service import FORECAST_LANE, Server
from statusjob.server.settings import resolve
from statusjob.server.web.root import Root
from tests.helpers.databases import connect_migrated
from tests.helpers.lanes import HeldLane, InlineLane
from tests.helpers.messages import Reply, headers_of

#: When tests begin: 2024-11-23T18:00:00Z.
EPOCH = 1_732_384_800.0
#: An address to which webhooks may go.
PUBLIC = "93.184.216.34"


def directory(case: SynchronousTestCase) -> Path:
    """Make a directory that is deleted when the test is over."""
    path = Path(tempfile.mkdtemp(prefix="statusjob-"))
    case.addCleanup(shutil.rmtree, path)
    return path


class LoopbackReactor(MemoryReactorClock):
    """
    Listens on C{::1}, wherever it is asked to listen: of any IPv4 address, its base says that it
    was C{0.0.0.0}, which is open to the network.
    """

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        listening: IListeningPort = super().listenTCP(port, factory, backlog, "::1")
        return listening


class InMemoryServer:
    """
    A server whose reactor, database and lanes are all in memory.

    @ivar clock: the reactor of the server. Only C{clock.advance(seconds)} lets time pass.
    @ivar treq: sends requests for C{http://localhost} to the server.
    @ivar names: the addresses of hosts, by name; C{None} where the lookup is to hang. Every other
        host is at L{PUBLIC}.
    """

    def __init__(
        self, lane: Lane | None = None, *, start: float = EPOCH, **variables: str
    ) -> None:
        """
        @param lane: the lane for both reads and writes; inline by default, as all other lanes are.
        @param start: the present when the server starts, in seconds since the epoch.
        @param variables: settings by the names of their environment variables.
        """
        self.clock = LoopbackReactor()
        self.clock.rightNow = start
        self.names: dict[str, Sequence[str] | None] = {}
        environment = {
            "STATUSJOB_DATABASE": ":memory:",
            **variables,
        }
        self.server = Server(
            self.clock,
            resolve({}, environment, {}),
            lanes=lambda name: InlineLane() if lane is None or name == FORECAST_LANE else lane,
            look_up=self._look_up,
            connect=connect_migrated,
        )
        self.server.startService()
        self.treq: Any = StubTreq(Root(self.server.api))

    def _look_up(self, name: str) -> Deferred[Sequence[str]]:
        addresses = self.names.get(name, [PUBLIC])
        return Deferred() if addresses is None else succeed(addresses)


class ServerTestCase(SynchronousTestCase):
    """Tests that send requests to an L{InMemoryServer}."""

    def serve(
        self, lane: Lane | None = None, *, start: float = EPOCH, **variables: str
    ) -> InMemoryServer:
        """Start a server, which is stopped at the end of the test."""
        fake = InMemoryServer(lane, start=start, **variables)
        self.addCleanup(self.stop, fake)
        return fake

    def stop(self, fake: InMemoryServer) -> None:
        """Stop a server. What it does not finish within the drain time is aborted."""
        stopping = fake.server.stopService()
        fake.clock.advance(fake.server.settings.drain)
        self.successResultOf(stopping)

    def ask(
        self,
        fake: InMemoryServer,
        method: str,
        path: str,
        *,
        body: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str | list[str]] | None = None,
    ) -> Reply:
        """
        Ask a server whose answer comes at once.

        @param body: is sent as JSON.
        @param data: is sent as it is, instead of C{body}.
        @param headers: values by name; a list of values is sent as that many headers.
        """
        given: dict[str, str | list[str]] = {"Host": "localhost", **(headers or {})}
        if body is not None:
            data = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        asked = fake.treq.request(method, "http://localhost" + path, data=data, headers=given)
        fake.treq.flush()
        return self.reply(asked)

    def reply(self, asked: Deferred[Any]) -> Reply:
        """Return the answer to a request, which must have come."""
        response = self.successResultOf(asked)
        return Reply(
            code=response.code,
            headers=headers_of(response.headers.getAllRawHeaders()),
            body=self.successResultOf(response.content()),
        )

    def create(self, fake: InMemoryServer, **members: Any) -> Any:
        """Create a job, and return the JSON of the answer."""
        reply = self.ask(fake, "POST", "/jobs", body=members)
        self.assertEqual(reply.code, 201, reply.body)
        return reply.json

    def assert_problem(self, reply: Reply, code: int, slug: str, detail: str | None = None) -> Any:
        """Check that an answer is a problem (RFC 9457) of that kind; return its JSON."""
        self.assertEqual((reply.code, reply.header("Cache-Control")), (code, "no-store"))
        self.assertEqual(reply.header("Content-Type"), "application/problem+json")
        problem = reply.json
        self.assertEqual(problem["type"], f"urn:statusjob:{slug}")
        self.assertEqual(problem["status"], code)
        self.assertTrue(problem["title"])
        self.assertEqual(problem["error"], problem["detail"])
        self.assertEqual(problem["detail"], detail or problem["detail"])
        self.assertLessEqual(
            set(problem), {"type", "title", "status", "detail", "error", "job"}, problem
        )
        return problem


class HeldServerTestCase(ServerTestCase):
    """Tests that step through reads and commits. The demo job does not end meanwhile."""

    def setUp(self) -> None:
        self.lane = HeldLane()
        self.fake = self.serve(self.lane, STATUS_DELAY="1000000")
        self.settle()

    def settle(self) -> None:
        """Run all reads and commits that are held."""
        self.fake.clock.advance(0)
        while self.lane.held:
            self.lane.step()
            self.fake.clock.advance(0)
