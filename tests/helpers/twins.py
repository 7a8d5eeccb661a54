"""Two servers that differ in one thing only: one gives fast answers, the other does not."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from twisted.web import server as twisted_server

from statusjob.contract.http_dates import write_date
from tests.helpers.memory_sockets import MemorySocket
from tests.helpers.servers import InMemoryServer, ServerTestCase

#: A day, in milliseconds: the demo job does not change while a test runs.
DAY = "86400000"

#: What happens on a connection: bytes that its client sends, or something else.
Step = bytes | Callable[[MemorySocket], object]


def get(target: str = "/status", *headers: str, host: str | None = "localhost") -> bytes:
    """The bytes of a GET."""
    lines = [f"GET {target} HTTP/1.1", *headers]
    if host is not None:
        lines.insert(1, f"Host: {host}")
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")


def post(body: bytes, *headers: str, method: str = "POST", target: str = "/jobs") -> bytes:
    """The bytes of a request with a body of JSON."""
    lines = [
        f"{method} {target} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *headers,
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + body


class Twin:
    """
    One of two servers.

    @ivar draws: the random numbers of its ids: both servers draw the same.
    """

    def __init__(self) -> None:
        self.draws = count(1)
        self.fake: InMemoryServer

    def connect(self) -> MemorySocket:
        """Connect to it."""
        return MemorySocket(self.fake.server.site, self.fake.clock)

    def play(self, steps: Sequence[Step]) -> bytes:
        """Play steps on a new connection, and return what its client has received."""
        connection = self.connect()
        for step in steps:
            if isinstance(step, bytes):
                connection.send(step)
            else:
                step(connection)
        connection.settle()
        received = connection.received
        connection.reset()
        return received


class TwinTestCase(ServerTestCase):
    """
    Tests that compare what clients of both servers receive, to the byte.

    @ivar quick: the server that gives fast answers.
    @ivar job: the id of a job that is pending, on both.
    """

    def setUp(self) -> None:
        self._present = Twin()
        self.patch(secrets, "randbits", lambda bits: next(self._present.draws))
        self.patch(
            twisted_server,
            "datetimeToString",
            lambda: write_date(int(self._present.fake.clock.seconds())),
        )
        self.begin()

    def begin(self, **variables: Any) -> None:
        """Start both servers, with one job each."""
        self.quick, self.plain = Twin(), Twin()
        token = {"Authorization": f"Bearer {variables.get('STATUSJOB_TOKEN')}"}
        for twin in (self.quick, self.plain):
            self._present = twin
            twin.fake = self.serve(**{"STATUS_DELAY": DAY, **variables})
            created = self.ask(twin.fake, "POST", "/jobs", body={"kind": "k"}, headers=token)
            self.job: str = created.json["id"]
        self.plain.fake.server.site.fast = None

    def given(self) -> int:
        """How many fast answers were given."""
        return self.quick.fake.server.fast.given

    def compare(self, *steps: Step) -> bytes:
        """Play the same steps on both servers, and return what both clients have received."""
        received = []
        for twin in (self.quick, self.plain):
            self._present = twin
            received.append(twin.play(steps))
        quick, plain = received
        self.assertEqual(quick, plain, steps)
        counted, expected = (twin.fake.server.api.answered for twin in (self.quick, self.plain))
        self.assertEqual(counted, expected, steps)
        return quick

    def warm_up(self, *targets: str) -> None:
        """Have both servers answer requests once, so that the answers to others are ready."""
        for target in targets:
            self.compare(get(target))


def wait(seconds: float) -> Step:
    """Let time pass."""

    def step(connection: MemorySocket) -> None:
        connection.pass_time(seconds)

    return step
