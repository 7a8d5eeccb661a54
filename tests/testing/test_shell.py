"""C{python -m statusjob.testing}: the hostile receiver as a command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from statusjob.client.http.bounded import BoundedEndpoints, HostEndpoints
from statusjob.client.http.exchange import Answer, BytesProducer, exchange
from statusjob.testing import modes
from statusjob.testing.__main__ import main
from tests.helpers.processes import ServerProcess
from tests.helpers.sockets import SocketTestCase, reactor

PROGRAM = (sys.executable, "-m", "statusjob.testing")


class ArgumentTests(SynchronousTestCase):
    """Arguments that are accepted or refused."""

    def ends(self, *arguments: str) -> tuple[object, str, str]:
        """The exit code and the output of a command that does not start to listen."""
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err), self.assertRaises(SystemExit) as ended:
            main(arguments)
        return ended.exception.code, out.getvalue(), err.getvalue()

    def test_help_lists_every_mode_in_one_line(self) -> None:
        code, printed, _ = self.ends("--help")
        self.assertEqual(code, 0)
        for mode in modes.ALL:
            self.assertIn(f"\n  {mode.__name__.replace('_', '-')} ", printed)
            self.assertIn(f" {mode.__doc__}\n", printed)

    def test_wrong_arguments_are_refused_in_one_line(self) -> None:
        for arguments, said in (
            ((), "the following arguments are required: mode"),
            (("no-mode",), "there is no mode 'no-mode'; --help lists them"),
            (("99",), "there is no mode '99'; --help lists them"),
            (("600",), "there is no mode '600'; --help lists them"),
            (("healthy", "--port", "x"), "argument --port: invalid int value: 'x'"),
            (("healthy", "--port", "70000"), "70000 is not a port (0 to 65535)"),
            (("healthy", "--to", "/"), "--retry-after and --to need a status code as a mode"),
        ):
            expected = (2, "", f"python -m statusjob.testing: {said}\n")
            self.assertEqual(self.ends(*arguments), expected)


class RunningTests(SocketTestCase):
    """The running command."""

    timeout = 60

    async def start(self, *arguments: str) -> ServerProcess:
        """Run the command until the test is over."""
        process = ServerProcess()
        reactor.spawnProcess(process, PROGRAM[0], [*PROGRAM, *arguments], os.environ)
        self.addCleanup(lambda: process.ended)
        self.addCleanup(process.kill)
        await process.listening
        return process

    def post(self, url: str) -> Deferred[Answer]:
        """Send a request."""
        endpoints = BoundedEndpoints(reactor, HostEndpoints(reactor), limit=10_000)
        agent = Agent.usingEndpointFactory(reactor, endpoints)
        return exchange(
            reactor,
            lambda: agent.request(b"POST", url.encode(), Headers(), BytesProducer(b"hello")),
            deadline=20,
            limit=1000,
        )

    async def test_it_answers_and_prints_a_line_per_request(self) -> None:
        to = "http://127.0.0.1:1/"
        process = await self.start("503", "307", "healthy", "--retry-after", "-5", "--to", to)
        answers = [await self.post(process.url + path) for path in ("/one", "/two", "/three")]
        self.assertEqual([each.code for each in answers], [503, 307, 204])
        self.assertEqual(answers[0].header("Retry-After"), "-5")
        self.assertEqual(answers[1].header("Location"), to)
        process.kill()
        await process.ended
        self.assertEqual(
            process.output.decode().splitlines(),
            [
                f"listening on {process.url}/",
                "1: POST /one HTTP/1.1, 5 bytes",
                "2: POST /two HTTP/1.1, 5 bytes",
                "3: POST /three HTTP/1.1, 5 bytes",
            ],
        )

    async def test_an_interrupt_stops_it_without_an_error(self) -> None:
        process = await self.start("endless-body")
        process.kill(signal.SIGINT)
        self.assertEqual((await process.ended, process.errors), (0, b""))

    async def test_an_error_is_reported_in_one_line(self) -> None:
        url, _ = self.misbehaving(modes.healthy)
        port = url.rpartition(":")[2]
        for argument, code, said in (
            ("--port", 2, "python -m statusjob.testing: argument --port: expected one argument"),
            (f"--port={port}", 1, f"cannot listen on port {port}: [^\n]+"),
        ):
            command = [*PROGRAM, "healthy", argument]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
            self.assertEqual((ended.returncode, ended.stdout), (code, ""), ended.stderr)
            self.assertRegex(ended.stderr, rf"\A{said}\n\Z")
