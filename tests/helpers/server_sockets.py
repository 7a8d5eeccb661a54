"""A whole server in this process, which listens on a real socket."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from statusjob.contract.jobs import NewJob
from statusjob.server.service import Server
from statusjob.server.settings import resolve
from tests.helpers.messages import request_bytes
from tests.helpers.servers import directory
from tests.helpers.sockets import reactor, until


class Client(Protocol):
    """
    A client's connection.

    @ivar received: all bytes that have arrived.
    @ivar lost: fires when the connection is closed.
    """

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[None] = Deferred()
        self._awaited: tuple[bytes, Deferred[None]] | None = None

    def ask(self, first_line: str, *headers: str, body: bytes = b"") -> None:
        """Send a request."""
        if body:
            headers = (*headers, "Content-Type: application/json")
        self.transport.write(request_bytes(first_line, *headers, body=body))

    def until(self, words: bytes) -> Deferred[None]:
        """A Deferred that fires when these words have arrived. One can be awaited at a time."""
        arrived: Deferred[None] = Deferred()
        if words in self.received:
            arrived.callback(None)
        else:
            self._awaited = (words, arrived)
        return arrived

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self._awaited is not None and self._awaited[0] in self.received:
            (_, arrived), self._awaited = self._awaited, None
            arrived.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class ServerSocketTestCase(TestCase):
    """Tests of a server with a database file and threads, in this process."""

    timeout = 60

    def setUp(self) -> None:
        variables = {
            "STATUSJOB_DATABASE": str(directory(self) / "jobs.sqlite"),
            "STATUSJOB_ENDPOINT": "tcp:0:interface=127.0.0.1",
        }
        self.server = Server(reactor, resolve({}, variables, {}))
        self.server.startService()
        self.addCleanup(self.stop)

    def stop(self) -> Deferred[None] | None:
        """Stop the server, unless the test has done it."""
        return self.server.stopService() if self.server.running else None

    async def connect(self) -> Client:
        """Open a connection, which is closed at the end of the test."""
        address: Any = self.server.ports[0].getHost()
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", address.port)
        client: Client = await connectProtocol(endpoint, Client())
        self.addCleanup(self.close, client)
        return client

    def close(self, client: Client) -> Deferred[None]:
        client.transport.abortConnection()
        return client.lost

    async def new_job(self, **members: Any) -> str:
        created = await self.server.lifecycle.create(NewJob(**members))
        return created.job.id

    @staticmethod
    def ways(job: str) -> list[tuple[str, ...]]:
        """One request of each kind that waits for changes."""
        return [
            (f"GET /jobs/{job}", "Prefer: wait=45"),
            ("GET /status", "Prefer: wait=45"),
            (f"GET /jobs/{job}/events",),
            ("GET /events",),
        ]

    async def watch(self, asked: list[tuple[str, ...]]) -> list[Client]:
        """Send these requests, on a connection each, and wait until all are watching."""
        clients = []
        for request in asked:
            client = await self.connect()
            client.ask(*request)
            clients.append(client)
        await self.watched(len(clients))
        return clients

    async def watched(self, count: int = 1) -> None:
        """Wait until so many are watching."""
        await until(lambda: len(self.server.watchers) >= count)

    async def gone(self, count: int = 0) -> None:
        """Wait until at most so many are watching."""
        await until(lambda: len(self.server.watchers) <= count)
