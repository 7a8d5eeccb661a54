"""The site of the server in memory, in front of a resource that echoes."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob.server.site.site import BoundedSite
from tests.helpers.connections import Connection


class Echo(Resource):
    """Answers with the length of the body, at once or, for C{/held}, when C{finish} is called."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[int] = []
        self.fields: list[bytes] = []
        self.held: list[Request] = []

    def render(self, request: Request) -> bytes | int:
        assert request.content is not None
        self.bodies.append(len(request.content.read()))
        self.fields += request.args
        if request.path != b"/held":
            return b"%d" % self.bodies[-1]
        self.held.append(request)
        request.notifyFinish().addErrback(lambda _: self.held.remove(request))
        return NOT_DONE_YET

    def finish(self) -> None:
        """Answer the request that has been held longest."""
        request = self.held.pop(0)
        request.setHeader(b"content-length", b"4")
        request.write(b"done")
        request.finish()


class BoundedSiteTestCase(SynchronousTestCase):
    """A site on a clock, on which a test must leave nothing."""

    def setUp(self) -> None:
        self.clock = MemoryReactorClock()
        self.echo = Echo()
        self.site = BoundedSite(self.echo, self.clock)
        self.site.doStart()
        self.addCleanup(self._check_nothing_is_left)

    def _check_nothing_is_left(self) -> None:
        for channel in tuple(self.site.channels):
            channel.transport.loseConnection()
        self.site.doStop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connect(self) -> Connection:
        return Connection(self.site)

    def settle(self) -> None:
        """Let connections go on in turns until all that they have received is dealt with."""
        self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass, in steps short enough for every sweep."""
        self.clock.pump([1.0] * int(seconds))

    def assert_too_large(self, connection: Connection) -> None:
        """Check that 413 was answered, and nothing more."""
        answer = connection.answer()
        self.assertEqual(answer.code, 413)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.json["type"], "urn:statusjob:too-large")
        self.assertEqual(answer.json["error"], answer.json["detail"])
