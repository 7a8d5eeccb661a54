"""The site that bounds what comes in, in memory, in front of a resource that echoes."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob.server.site.channels import (
    BoundedSite,
)
from tests.helpers.connections import Connection


class Echo(Resource):
    """Answers with how much it was sent, at once; C{/held} is answered by C{finish}."""

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
        """Answer the request that is held for longest."""
        request = self.held.pop(0)
        request.setHeader(b"content-length", b"4")
        request.write(b"done")
        request.finish()


class FrontTestCase(SynchronousTestCase):
    """A site on a clock; when the test is over nothing may be left on that."""

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

    def pass_time(self, seconds: float) -> None:
        """In steps short enough for every sweep."""
        self.clock.pump([1.0] * int(seconds))

    def assert_too_large(self, connection: Connection) -> None:
        """It was answered 413 and nothing more."""
        answer = connection.answer()
        self.assertEqual(answer.code, 413)
        self.assertEqual(answer.headers["content-type"], "application/problem+json")
        self.assertEqual(answer.headers["connection"], "close")
        self.assertEqual(answer.json["type"], "urn:statusjob:too-large")
        self.assertEqual(answer.json["error"], answer.json["detail"])
