"""A poster whose connections are in memory, on a clock."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.answer import ReceiverAnswer
from statusjob.server.delivery.poster import Poster, Target
from tests.helpers.wires import Network, Wire

ORIGIN = "http://receiver.example:80"
HEAD = b"POST /hook HTTP/1.1\r\nhost: receiver.example\r\n"


class PostingTestCase(SynchronousTestCase):
    """A poster whose connections are in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network()
        self.poster = Poster(cast(IReactorTime, self.clock), self.network.endpoint)

    def tearDown(self) -> None:
        self.successResultOf(self.poster.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def post(self, body: bytes = b"{}", origin: str = ORIGIN) -> Deferred[ReceiverAnswer]:
        return self.poster.post(Target(origin, HEAD), b"webhook-id: msg_1\r\n", body)

    @property
    def wire(self) -> Wire:
        """The newest connection."""
        return self.network.wires[-1]

    def status(self, posting: Deferred[ReceiverAnswer]) -> int:
        return self.successResultOf(posting).status

    def kind(self, posting: Deferred[ReceiverAnswer]) -> str:
        return cast(ExchangeFailed, self.failureResultOf(posting, ExchangeFailed).value).kind
