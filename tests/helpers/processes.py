"""Servers in processes of their own, and clients and workers that send them requests."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.server import Site

from statusjob.client.http.exchange import BytesProducer, exchange
from statusjob.contract.codec import BODY_LIMIT
from statusjob.failures import ExchangeFailed
from statusjob.server.settings import SETTINGS
from tests.helpers.inbox import Inbox
from tests.helpers.servers import directory

reactor: Any = _reactor

#: The arguments of Python for each way to run a server in the foreground.
MODULE = ("-m", "statusjob")
TWIST = ("-m", "twisted", "--log-format=text", "statusjob")
TWISTD = ("-c", "from twisted.scripts.twistd import run; run()", "-n", "statusjob")

#: The URL in the line that says where a server listens, in any format of the log.
_LISTENING = re.compile(rb"(http://127\.0\.0\.1:[0-9]+)")


class ServerEnded(Exception):
    """A server has ended before it listened."""


class ServerProcess(ProcessProtocol):
    """
    A server.

    @ivar url: the URL at which it listens; empty before it does.
    @ivar output: everything that it has written to standard output.
    @ivar errors: everything that it has written to standard error.
    @ivar listening: fires when it listens; fails with L{ServerEnded} if it ends before.
    @ivar ended: fires when it has ended, with its exit code or the negative number of the signal
        that ended it.
    """

    url = ""

    def __init__(self) -> None:
        self.output, self.errors = b"", b""
        self.running = True
        self.listening: Deferred[None] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self._awaited: dict[bytes, Deferred[None]] = {}

    def wrote(self, words: bytes) -> Deferred[None]:
        """Fires when the server has written these words to standard output."""
        waiting: Deferred[None] = Deferred()
        self._awaited[words] = waiting
        self.outReceived(b"")
        return waiting

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, unless the process has ended."""
        if self.running:
            transport: Any = self.transport
            transport.signalProcess(number)

    def outReceived(self, data: bytes) -> None:
        self.output += data
        match = _LISTENING.search(self.output)
        # The port is complete only if something follows it.
        if match is not None and match.end() < len(self.output) and not self.url:
            self.url = match[1].decode()
            self.listening.callback(None)
        for words in [words for words in self._awaited if words in self.output]:
            self._awaited.pop(words).callback(None)

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        ended: Any = reason.value
        code = -ended.signal if ended.exitCode is None else ended.exitCode
        if not self.url:
            said = (self.output + self.errors).decode(errors="replace")
            self.listening.errback(ServerEnded(f"exit code {code}: {said}"))
        self.ended.callback(code)


def spawn(
    directory: Path, variables: Mapping[str, str], program: tuple[str, ...] = TWIST
) -> ServerProcess:
    """
    Start a server on a free port.

    @param directory: the working directory, which also holds the database.
    @param variables: the settings, which are written to C{.env}.
    @param program: the arguments of Python.
    """
    given = {"PORT": "0", **variables}
    (directory / ".env").write_text("".join(f"{k}='{v}'\n" for k, v in given.items()))
    ours = {setting.variable for setting in SETTINGS}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    process = ServerProcess()
    arguments = [sys.executable, *program]
    reactor.spawnProcess(process, sys.executable, arguments, environment, str(directory))
    return process


async def start(
    directory: Path, variables: Mapping[str, str], program: tuple[str, ...] = TWIST
) -> ServerProcess:
    """
    Start a server as L{spawn} does and wait until it listens.

    @raise ServerEnded: if it ends before it listens.
    """
    process = spawn(directory, variables, program)
    await process.listening
    return process


class Client:
    """Sends requests to a server, over connections that it keeps."""

    def __init__(self) -> None:
        self.pool = HTTPConnectionPool(reactor)
        self._agent = Agent(reactor, pool=self.pool)

    async def ask(
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send a request; return the status code and the JSON of the answer."""
        producer = None
        given = Headers({name: [value] for name, value in (headers or {}).items()})
        if body is not None:
            producer = BytesProducer(json.dumps(body).encode())
            given.setRawHeaders("Content-Type", ["application/json"])
        answer = await exchange(
            reactor,
            lambda: self._agent.request(method.encode(), url.encode(), given, producer),
            deadline=20,
            limit=BODY_LIMIT,
        )
        return answer.code, json.loads(answer.body)

    def close(self) -> Deferred[None]:
        """Close the connections that are kept."""
        closed: Deferred[None] = self.pool.closeCachedConnections()
        return closed


class Worker:
    """
    Reports until its server is gone.

    @ivar acknowledged: the last version and result that the server confirmed, by the id of the
        job.
    @ivar keys: the idempotency keys of its jobs. The last job may not have been created yet.
    @ivar reports: how many answers have come.
    """

    def __init__(self, client: Client, name: str, webhook: str | None = None) -> None:
        self._client = client
        self._name = name
        self._members = {} if webhook is None else {"webhook": {"url": webhook}}
        self.acknowledged: dict[str, tuple[int, str]] = {}
        self.keys: list[str] = []
        self.reports = 0

    async def work(self, url: str) -> None:
        """Create jobs, report three times on each and complete it, until the server is gone."""
        with suppress(ExchangeFailed):
            while True:
                self.keys.append(f"{self._name}-{len(self.keys)}")
                job = await self.create(url)
                for done in (0.25, 0.5, 0.75):
                    await self.report(url, job, {"progress": done})
                await self.report(url, job, {"result": "completed"})

    async def create(self, url: str) -> str:
        """Create the job with the newest key, or find it if that was done before."""
        headers = {"Idempotency-Key": self.keys[-1]}
        return await self._ask("POST", f"{url}/jobs", self._members, headers)

    async def report(self, url: str, job: str, report: dict[str, Any]) -> None:
        """Send one report on a job."""
        await self._ask("PATCH", f"{url}/jobs/{job}", report, {})

    async def _ask(self, method: str, url: str, body: Any, headers: dict[str, str]) -> str:
        code, job = await self._client.ask(method, url, body, headers)
        assert code in (200, 201), (code, job)
        self.acknowledged[job["id"]] = (job["version"], job["result"])
        self.reports += 1
        return str(job["id"])


def together(*jobs: Coroutine[Deferred[Any], Any, Any]) -> Deferred[list[Any]]:
    """Run coroutines at the same time, and return their results."""
    return gatherResults([Deferred.fromCoroutine(job) for job in jobs], consumeErrors=True)


class ProcessTestCase(TestCase):
    """Tests that start servers, which end with the test at the latest."""

    timeout = 60

    def setUp(self) -> None:
        self.client = Client()
        self.addCleanup(self.client.close)
        self.directory = directory(self)

    def watch(self, process: ServerProcess) -> ServerProcess:
        self.addCleanup(process.kill)
        return process

    async def start(
        self, program: tuple[str, ...] = TWIST, where: Path | None = None, **variables: str
    ) -> ServerProcess:
        return self.watch(await start(where or self.directory, variables, program))

    async def stop(self, process: ServerProcess) -> None:
        process.kill(signal.SIGTERM)
        await self.assert_stopped(process)

    async def assert_stopped(self, process: ServerProcess) -> None:
        """Check that a server ends in good order. Twisted ends by the signal that stops it."""
        self.assertIn(await process.ended, (0, -signal.SIGTERM), process.output + process.errors)
        self.assertIn(b"every acknowledged change is on disk", process.output)
        self.assertEqual(process.errors, b"")

    def place(self, name: str) -> Path:
        place = self.directory / name
        place.mkdir()
        return place


class InboxTestCase(ProcessTestCase):
    """Tests with a receiver of webhooks on this machine."""

    def setUp(self) -> None:
        super().setUp()
        self.inbox = Inbox()
        site = Site(self.inbox)
        site.noisy = False
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.webhook = f"http://127.0.0.1:{port.getHost().port}/"
