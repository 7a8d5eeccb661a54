"""One server behind one intermediary, and how a test asks it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from statusjob import CreatedJob, StatusClient, WorkerClient
from tests.end_to_end.intermediaries.proxies import Intermediary, Logged
from tests.helpers.processes import MODULE, ServerProcess, reactor, start

TOKEN = "a-token-for-the-bench"
#: Seconds between two looks at what is waited for.
LOOK = 0.05
#: Seconds in which anything must happen that no intermediary delays.
PROMPT = 10.0


class Reply(NamedTuple):
    """
    What curl was answered.

    @ivar headers: by names in lower case; of several of one name, the last.
    """

    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Curl(ProcessProtocol):
    """
    One run of curl.

    @ivar output: the headers and the body that have arrived.
    @ivar ended: fires when curl has ended well.
    """

    def __init__(self) -> None:
        self.output = b""
        self.ended: Deferred[None] = Deferred()
        self._errors = b""

    def outReceived(self, data: bytes) -> None:
        self.output += data

    def errReceived(self, data: bytes) -> None:
        self._errors += data

    def processEnded(self, reason: Failure) -> None:
        ended: Any = reason.value
        if ended.exitCode == 0:
            self.ended.callback(None)
        else:
            self.ended.errback(AssertionError(f"curl: {self._errors.decode()}"))

    def reply(self) -> Reply:
        """What has arrived, without interim answers."""
        head, _, body = self.output.partition(b"\r\n\r\n")
        while head.split(None, 2)[1].startswith(b"1"):
            head, _, body = body.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Reply(int(first.split()[1]), headers, body)


class Setup:
    """
    One server behind one intermediary.

    @ivar name: for people.
    @ivar proxy: the intermediary.
    @ivar url: where clients reach the server, through the intermediary.
    @ivar token: what clients need.
    """

    def __init__(self, proxy: Intermediary) -> None:
        self.proxy = proxy
        self.name = self.name_of(proxy)
        self.url = proxy.url
        self.token = TOKEN if proxy.recommended else None
        self._certificate = str(proxy.directory.parent / "certificate.pem")
        self._server: ServerProcess | None = None
        self._variables = {"PORT": str(proxy.upstream)}
        if proxy.recommended:
            self._variables = {
                "STATUSJOB_TOKEN": TOKEN,
                "STATUSJOB_ENDPOINT": f"tcp:{proxy.upstream}:interface=127.0.0.1",
                "STATUSJOB_PUBLIC_URL": proxy.url,
            }

    @staticmethod
    def name_of(proxy: Intermediary) -> str:
        """The name of a setup with that intermediary."""
        return f"{proxy.name}, {'recommended' if proxy.recommended else 'plain'}"

    async def start(self, directory: Path) -> None:
        """
        Start both, and wait until a request gets through.

        @param directory: an empty directory for the server.
        """
        self._directory = directory
        await self.start_server()
        self.proxy.start()
        await until(self.proxy.accepts)

    async def stop(self) -> None:
        """End both."""
        self.proxy.stop()
        await self.stop_server(signal.SIGKILL)

    async def start_server(self) -> None:
        """Start the server, where it was before."""
        self._server = await start(self._directory, self._variables, MODULE)

    async def stop_server(self, number: signal.Signals) -> None:
        """Stop the server, and wait until it has ended."""
        server, self._server = self._server, None
        if server is not None:
            server.kill(number)
            await server.ended

    def worker(self) -> WorkerClient:
        """A client that reports."""
        return WorkerClient(self.url, token=self.token)

    def watcher(self, job: CreatedJob) -> StatusClient:
        """A client that watches, and knows no more than the job's URL."""
        return StatusClient(job.url, token=self.token, max_interval=5.0)

    def logged(self, job: CreatedJob) -> list[Logged]:
        """What clients were answered to requests about a job."""
        return self.proxy.logged(job.id)

    def begin_curl(self, path: str, *options: str, **headers: str) -> Curl:
        """
        Start curl.

        @param headers: further headers, with underscores for dashes.
        """
        given = {"Accept-Encoding": "gzip", **headers}
        if self.token is not None:
            given["Authorization"] = f"Bearer {self.token}"
        arguments = ["curl", "-sSiN", "--compressed", "--cacert", self._certificate, *options]
        for name, value in given.items():
            arguments += ["-H", f"{name.replace('_', '-')}: {value}"]
        curl = Curl()
        reactor.spawnProcess(curl, "curl", [*arguments, self.url + path], env=None)
        return curl

    async def curl(self, path: str, *options: str, **headers: str) -> Reply:
        """Ask by curl, which takes compressed answers."""
        curl = self.begin_curl(path, *options, **headers)
        await curl.ended.addTimeout(PROMPT, reactor)
        return curl.reply()

    async def send(self, method: str, path: str, body: object, **headers: str) -> Reply:
        """Send JSON by curl."""
        file = self.proxy.directory.parent / f"body-{self.proxy.port}.json"
        file.write_text(json.dumps(body))
        options = ("-X", method, "--data-binary", f"@{file}")
        return await self.curl(path, *options, Content_Type="application/json", **headers)


async def until(condition: Callable[[], bool], seconds: float = PROMPT) -> None:
    """
    Wait until something is the case.

    @raise TimeoutError: if that takes longer.
    """
    give_up_at = reactor.seconds() + seconds
    while not condition():
        if reactor.seconds() > give_up_at:
            raise TimeoutError(f"not within {seconds:g} s")
        await deferLater(reactor, LOOK)
