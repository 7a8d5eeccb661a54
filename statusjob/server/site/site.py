"""
The site with all its connections, and their orderly end.

When the server stops, idle connections are closed, requests that are being answered may finish,
and every answer closes its connection.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web import http
from twisted.web.resource import IResource
from twisted.web.server import Site

from statusjob.server.limits import Limits
from statusjob.server.site.channels import BoundedChannel
from statusjob.server.site.fast_answers import FastAnswers, FastChannel
from statusjob.server.site.requests import Bodies, BoundedRequest
from statusjob.server.turns import Turns

#: Seconds that a connection may be idle between two requests.
IDLE_SECONDS = 60
#: Seconds that a client may take to send one request.
REQUEST_SECONDS = 60.0
#: Seconds that it may take when the server is stopping.
LAST_REQUEST_SECONDS = 1.5
#: Seconds between two looks for clients that take longer.
SWEEP_SECONDS = 5.0
#: Most connections at the same time.
CONNECTION_LIMIT = 25_000
#: Most connections that go on with pipelined requests in one iteration of the reactor.
TURNS_PER_ITERATION = 4


class BoundedSite(Site):
    """
    The site with all its connections.

    @ivar channels: the open connections.
    @ivar idle: those of them on which no whole request has arrived that is not answered yet, the
        one that has been so for the longest time first.
    @ivar connection_limit: most connections at the same time. Beyond, a new one takes the place of
        the one that has been idle for the longest time.
    @ivar bodies: the bodies that are being received.
    @ivar turns: the connections with pipelined requests that have arrived already.
    @ivar fast: answers some requests before they get to the resource; C{None} if none are.
    @ivar draining: whether the server is stopping.
    """

    # Not Twisted's proxy in front of the channel: that is needed for HTTP/2 only.
    protocol: Any = FastChannel
    noisy = False

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        limits: Limits | None = None,
        fast: FastAnswers | None = None,
    ) -> None:
        """
        @param limits: counts the connections that are refused or ended.
        @param fast: answers some requests before they get to the resource.
        """
        super().__init__(
            resource, requestFactory=BoundedRequest, timeout=IDLE_SECONDS, reactor=reactor
        )
        self.limits = limits or Limits(reactor)
        self.fast = fast
        self.connection_limit = CONNECTION_LIMIT
        self.channels: set[BoundedChannel] = set()
        self.idle: dict[BoundedChannel, None] = {}
        self.bodies = Bodies()
        self.turns: Turns[BoundedChannel] = Turns(
            reactor, lambda channel: channel.take_turn(), TURNS_PER_ITERATION, resting=True
        )
        self.draining = False
        self._drained: Deferred[None] | None = None
        self._sweep = LoopingCall(self._abort_slow)
        self._sweep.clock = reactor

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def startFactory(self) -> None:
        super().startFactory()
        self._sweep.start(SWEEP_SECONDS, now=False)

    def stopFactory(self) -> None:
        self._sweep.stop()
        self.turns.clear()
        super().stopFactory()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        if len(self.channels) >= self.connection_limit:
            if not self.idle:
                self.limits.note("connections-refused")
                return None
            self.limits.note("connections")
            longest = next(iter(self.idle))
            del self.idle[longest]
            longest.loseConnection()
        return super().buildProtocol(addr)

    def log(self, request: http.Request) -> None:
        """Write no access log: proxies write better ones, and polls would drown the rest."""

    def connection_made(self, channel: BoundedChannel) -> None:
        """Note that a connection has been made."""
        self.channels.add(channel)
        self.idle[channel] = None

    def connection_closed(self, channel: BoundedChannel) -> None:
        """Note that a connection has been closed."""
        self.channels.discard(channel)
        self.idle.pop(channel, None)
        self.bodies.remove(channel)
        self.turns.discard(channel)
        if not self.channels and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    async def drain(self, seconds: float) -> int:
        """
        Close idle connections at once, and the others as soon as they are answered. Abort those
        that are left when time is up; sooner, those whose clients have sent a part of a request
        only. All ports must have been closed before.

        @param seconds: how long answers may take.
        @return: how many connections were aborted when time was up.
        """
        self.draining = True
        for channel in tuple(self.channels):
            if not channel.requests:
                channel.loseConnection()
        if self.channels:
            self._drained = drained = Deferred[None]()
            timers = (
                self.reactor.callLater(seconds, drained.callback, None),
                self.reactor.callLater(LAST_REQUEST_SECONDS, self._abort_slow, 0.0),
            )
            await drained
            self._drained = None
            for timer in timers:
                if timer.active():
                    timer.cancel()
        self.turns.clear()
        rest = tuple(self.channels)
        for channel in rest:
            channel.transport.abortConnection()
        return len(rest)

    def _abort_slow(self, seconds: float = REQUEST_SECONDS) -> None:
        """
        Abort connections that have been sending one request for too long.

        @param seconds: more than so many seconds.
        """
        latest = self.reactor.seconds() - seconds
        for channel in tuple(self.channels):
            if channel.receiving_since is not None and channel.receiving_since < latest:
                channel.abort_slow_request()
