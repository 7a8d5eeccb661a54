"""Servers in processes of their own: started, stopped and killed."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import sys

from twisted.internet.utils import getProcessOutputAndValue
from twisted.web.resource import Resource
from twisted.web.server import Site

from statusjob.failures import ExchangeFailed
from tests.helpers.inbox import disordered
from tests.helpers.processes import (
    MODULE,
    TWIST,
    TWISTD,
    Client,
    InboxTestCase,
    ProcessTestCase,
    ServerEnded,
    ServerProcess,
    Worker,
    reactor,
    spawn,
    together,
)


class ServeTests(ProcessTestCase):
    """Servers that start."""

    async def _serves(self, program: tuple[str, ...], name: str) -> None:
        process = await self.start(program, self.place(name), STATUSJOB_DATABASE="my.sqlite")
        code, answer = await self.client.ask("GET", f"{process.url}/status")
        self.assertEqual((code, answer), (200, {"result": "pending"}))
        self.assertTrue((self.directory / name / "my.sqlite").exists())
        mode = (self.directory / name / "my.sqlite").stat().st_mode & 0o777
        self.assertEqual(mode, 0o600)
        await self.client.close()
        await self.stop(process)
        for words in (
            b"listening on",
            b"created the database",
            b"my.sqlite",
            b"not open to the net",
        ):
            self.assertIn(words, process.output)
        self.assertNotIn(b"Traceback", process.output)

    async def test_every_way_to_run_the_server_serves_and_stops(self) -> None:
        ways = {"module": MODULE, "twist": TWIST, "twistd": TWISTD}
        await together(*(self._serves(program, name) for name, program in ways.items()))

    async def test_a_start_waits_until_the_server_before_it_has_stopped(self) -> None:
        first = await self.start()
        second = self.watch(spawn(self.directory, {}, TWISTD))
        await second.wrote(b"for its end")
        self.assertEqual(second.url, "")
        await self.stop(first)
        await second.listening
        code, answer = await self.client.ask("GET", f"{second.url}/readyz")
        self.assertEqual((code, answer), (200, {"status": "ready"}))
        await self.client.close()
        await self.stop(second)


class RefusalTests(ProcessTestCase):
    """A server that cannot start says why in one line, and ends with exit code 1."""

    async def _refuses(self, name: str, reason: str, **variables: str) -> None:
        process = self.watch(spawn(self.directory / name, variables))
        await self.assertFailure(process.listening, ServerEnded)
        self.assertEqual(await process.ended, 1, process.output)
        (line,) = process.errors.decode().splitlines()
        self.assertTrue(line.startswith("statusjob: "), line)
        self.assertIn(reason, line)
        self.assertNotIn(b"Traceback", process.output)

    async def test_each_reason_not_to_start_is_one_line(self) -> None:
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        (self.place("directory") / "jobs").mkdir()
        newer = sqlite3.connect(self.place("newer") / "statusjob.sqlite")
        newer.execute("CREATE TABLE schema_version (version INTEGER, compatible INTEGER)")
        newer.execute("INSERT INTO schema_version VALUES (99, 99)")
        newer.commit()
        newer.close()
        self.place("port")
        await together(
            self._refuses("port", f"cannot listen on 127.0.0.1:{port}", PORT=port),
            self._refuses("directory", "cannot use the database jobs", STATUSJOB_DATABASE="jobs"),
            self._refuses("newer", "newer statusjob"),
        )

    async def test_under_twistd_the_reason_is_a_line_of_the_log(self) -> None:
        process = self.watch(spawn(self.directory, {"STATUSJOB_ENDPOINT": "bogus"}, TWISTD))
        await self.assertFailure(process.listening, ServerEnded)
        self.assertEqual(await process.ended, 1)
        (line,) = [line for line in process.output.splitlines() if b"bogus" in line]
        self.assertIn(b"statusjob: cannot listen on", line)
        self.assertNotIn(b"Traceback", process.output + process.errors)

    async def test_a_daemon_that_cannot_start_says_why_and_leaves_nothing(self) -> None:
        port = reactor.listenTCP(0, Site(Resource()), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number = str(port.getHost().port)
        program = [*TWISTD[:2], "--pidfile", "pid", "statusjob", "--port", number]
        output, errors, code = await getProcessOutputAndValue(
            sys.executable, program, os.environ, str(self.directory)
        )
        self.assertEqual(code, 1, errors)
        self.assertIn(f"cannot listen on 127.0.0.1:{number}".encode(), output + errors)
        self.assertEqual(list(self.directory.glob("*pid*")), [])

    async def test_a_bad_setting_is_named_and_a_token_is_never_shown(self) -> None:
        self.place("port"), self.place("token")
        await together(
            self._refuses("port", "PORT 'nonsense': ", PORT="nonsense"),
            self._refuses("token", "STATUSJOB_TOKEN: must", STATUSJOB_TOKEN="sword fish"),
        )


class GuardTests(InboxTestCase):
    """Webhooks of a server that is open to the network."""

    async def test_webhooks_go_to_hosts_of_an_allowed_network_and_to_no_other(self) -> None:
        process = await self.start(
            STATUSJOB_ENDPOINT="tcp:0:interface=127.0.0.1",
            STATUSJOB_TOKEN="x",
            STATUSJOB_ALLOW_NET="127.0.0.0/8,::1/128",
        )
        bearer = {"Authorization": "Bearer x", "Content-Type": "application/json"}
        codes, created = [], ""
        # The host is a name, so that it is looked up.
        for url in ("http://10.0.0.1/", self.webhook.replace("127.0.0.1", "localhost")):
            body = {"webhook": {"url": url}, "simulate": {"delay": 0, "error_rate": 0}}
            code, answer = await self.client.ask("POST", f"{process.url}/jobs", body, bearer)
            codes.append(code)
            created = answer.get("id", "")
        self.assertEqual(codes, [400, 201])
        await self.inbox.received({created}).addTimeout(30, reactor)
        await self.client.close()
        await self.stop(process)


class EndTests(InboxTestCase):
    """Servers that are ended while workers report, and started again on the same file."""

    def workers(self, number: int) -> list[Worker]:
        return [Worker(self.client, f"w{n}", self.webhook) for n in range(number)]

    async def poll(self, url: str) -> None:
        """Poll over one connection, without a pause, until the server has ended."""
        client = Client()
        client.pool.maxPersistentPerHost = 1
        try:
            while True:
                code, _ = await client.ask("GET", f"{url}/status")
                self.assertEqual(code, 200)
        except ExchangeFailed:
            pass
        finally:
            await client.close()

    async def end(self, process: ServerProcess, workers: list[Worker], reports: int) -> None:
        """Kill a server as soon as so many reports were acknowledged."""
        while sum(worker.reports for worker in workers) < reports:
            await self.client.ask("GET", f"{process.url}/status")
        process.kill()

    async def assert_nothing_is_lost(self, url: str, workers: list[Worker]) -> None:
        """Check that acknowledged reports are kept, and that repetitions make no second job."""
        for worker in workers:
            for job, (version, result) in list(worker.acknowledged.items()):
                code, shown = await self.client.ask("GET", f"{url}/jobs/{job}")
                self.assertEqual(code, 200)
                self.assertGreaterEqual(shown["version"], version)
                if result != "pending":
                    self.assertEqual(shown["result"], result)
            job = await worker.create(url)
            if worker.acknowledged[job][1] == "pending":
                await worker.report(url, job, {"result": "completed"})
        jobs: set[str] = set()
        cursor = ""
        while cursor is not None:
            _, page = await self.client.ask("GET", f"{url}/jobs?limit=100&cursor={cursor}")
            jobs |= {job["id"] for job in page["jobs"]}
            self.assertEqual({job["result"] for job in page["jobs"]}, {"completed"})
            cursor = page["next"]
        self.assertEqual(len(jobs), sum(len(worker.keys) for worker in workers))
        await self.inbox.received(jobs).addTimeout(30, reactor)
        self.assertEqual(disordered(self.inbox.arrivals), [])

    async def test_a_kill_during_reports_loses_none_that_was_acknowledged(self) -> None:
        workers = self.workers(8)
        process = await self.start()
        await together(
            self.end(process, workers, 200), *(worker.work(process.url) for worker in workers)
        )
        self.assertEqual(await process.ended, -signal.SIGKILL)
        process = await self.start()
        await self.assert_nothing_is_lost(process.url, workers)
        await self.client.close()
        await self.stop(process)

    async def test_sigterm_ends_in_good_order_although_pollers_never_pause(self) -> None:
        workers = self.workers(4)
        process = await self.start(STATUSJOB_DRAIN="20")

        async def terminate() -> float:
            while sum(worker.reports for worker in workers) < 50:
                await self.client.ask("GET", f"{process.url}/status")
            begun: float = reactor.seconds()
            process.kill(signal.SIGTERM)
            await self.assert_stopped(process)
            return float(reactor.seconds()) - begun

        took, *_ = await together(
            terminate(),
            *(self.poll(process.url) for _ in range(8)),
            *(worker.work(process.url) for worker in workers),
        )
        self.assertLess(took, 20)
        self.assertNotIn(b"aborted", process.output)
        process = await self.start()
        await self.assert_nothing_is_lost(process.url, workers)
        await self.client.close()
        await self.stop(process)
