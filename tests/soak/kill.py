"""
C{kill -9} of the server, again and again, while workers report.

    python -m tests.soak.kill [rounds]

Eight workers create jobs, report on them and end them. Every job has a webhook for all its events.
The server is killed at a random moment, and started again with the same database. After each
round, every acknowledged report must be in the database, and the terminal update of every job that
has ended must have arrived. No version of a job may arrive after a newer one, and no delivery may
arrive again that was settled in the database when the server was killed.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.web.server import Site

from tests.helpers.inbox import Inbox, disordered
from tests.helpers.processes import Client, ServerProcess, reactor, start
from tests.helpers.secrets import SECRET

WORKERS = 8
ROUNDS = 20
REPORTS = 20
#: Seconds between two reports of a slow worker. Every other worker is slow.
PAUSE = 0.1
#: Seconds until the receiver answers. There are attempts under way at every kill.
ANSWER = 0.05

EVENTS = ["job.progress", "job.completed", "job.error"]
VARIABLES = {"STATUSJOB_RETRY_SCHEDULE": "0,1,1,1,1,1,1,1,1,1,1,1"}


class Soak:
    """
    What the workers know.

    @ivar acknowledged: the greatest acknowledged version of each job, by the id of the job.
    @ivar ended: the result of each job whose end was acknowledged, by the id of the job.
    @ivar created: the id of the job that was created with each idempotency key.
    @ivar reports: how many reports were acknowledged.
    @ivar lost_answers: how many requests a kill left without an answer.
    """

    def __init__(self, receiver: str) -> None:
        self.webhook = {"url": receiver, "events": EVENTS, "secret": SECRET}
        self.acknowledged: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.created: dict[str, str] = {}
        self.reports = 0
        self.lost_answers = 0

    async def work(self, url: str, client: Client, number: int, running: list[bool]) -> None:
        """Work on one job after the other, until the server is gone."""
        while running:
            key = f"worker-{number}-{len(self.created)}-{random.getrandbits(32)}"
            try:
                await self._job(url, client, key, number % 2 * PAUSE)
            except Exception as error:
                # The server was killed during a request. A report without an answer may have
                # been recorded or not.
                if running:
                    raise error
                self.lost_answers += 1

    async def _job(self, url: str, client: Client, key: str, pause: float) -> None:
        code, job = await client.ask(
            "POST",
            f"{url}/jobs",
            {"kind": "soak", "webhook": self.webhook},
            {"Idempotency-Key": key},
        )
        assert code in (200, 201), (code, job)
        # One key makes one job, also if the first answer was lost.
        assert self.created.setdefault(key, job["id"]) == job["id"]
        self._note(job)
        path = f"{url}/jobs/{job['id']}"
        for step in range(1, REPORTS):
            await deferLater(reactor, pause)
            code, job = await client.ask("PATCH", path, {"progress": step / REPORTS})
            assert code == 200, (code, job)
            self._note(job)
        code, job = await client.ask("PATCH", path, {"result": "completed", "output": key})
        assert code == 200, (code, job)
        self._note(job)
        self.ended[job["id"]] = job["result"]

    def _note(self, job: dict[str, Any]) -> None:
        self.reports += 1
        assert job["version"] > self.acknowledged.get(job["id"], 0), job
        self.acknowledged[job["id"]] = job["version"]

    async def check(self, url: str, client: Client) -> None:
        """Check that a server still has everything that was acknowledged."""
        for job_id, version in self.acknowledged.items():
            code, job = await client.ask("GET", f"{url}/jobs/{job_id}")
            assert code == 200, (job_id, code, job)
            assert job["version"] >= version, (job_id, version, job)
            assert self.ended.get(job_id, job["result"]) == job["result"], job


class Deliveries:
    """
    What the receiver knows.

    @ivar settled: the ids of deliveries that must not come again.
    @ivar repeated: how many attempts were repeated because the server was killed before it had
        settled them.
    """

    def __init__(self, inbox: Inbox, directory: Path) -> None:
        self._inbox = inbox
        self._directory = directory
        self._checked = 0
        self._seen: set[str] = set()
        self.settled: set[str] = set()
        self.repeated = 0

    def check(self) -> None:
        """
        Check the attempts that have come since the last call, and read which deliveries are
        settled now. The server must not run.
        """
        arrivals = self._inbox.arrivals[self._checked :]
        self._checked += len(arrivals)
        again = [arrival for arrival in arrivals if arrival.id in self.settled]
        assert not again, again
        late = disordered(self._inbox.arrivals)
        assert not late, late
        for arrival in arrivals:
            assert arrival.verified(SECRET).id == arrival.id
            self.repeated += arrival.id in self._seen
            self._seen.add(arrival.id)
        self.settled |= self._delivered()

    def _delivered(self) -> set[str]:
        path = self._directory / "statusjob.sqlite"
        if not path.exists():
            return set()
        # It is opened read-only, so that the next server finds it as the last one left it.
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT id FROM deliveries WHERE state = 'delivered'")
            return {row[0] for row in rows}
        finally:
            connection.close()


async def until(running: list[bool], seconds: float, server: ServerProcess) -> None:
    """Kill the server after so many seconds."""
    await deferLater(reactor, seconds)
    running.clear()
    server.kill()
    await server.ended


async def disturb(soak: Soak, directory: Path) -> None:
    """Let workers work until their server is killed."""
    server = await start(directory, VARIABLES)
    running = [True]
    clients = [Client() for _ in range(WORKERS)]
    working = [soak.work(server.url, client, i, running) for i, client in enumerate(clients)]
    await gatherResults(
        [
            Deferred.fromCoroutine(each)
            for each in [*working, until(running, random.uniform(0.3, 2.0), server)]
        ],
        consumeErrors=True,
    )
    for client in clients:
        await client.close()


async def recover(soak: Soak, directory: Path, inbox: Inbox) -> None:
    """Start a server, check that nothing is lost, and wait until everything is delivered."""
    server = await start(directory, VARIABLES)
    client = Client()
    await soak.check(server.url, client)
    await inbox.received(set(soak.ended)).addTimeout(60, reactor)
    wrong = {j for j, r in soak.ended.items() if inbox.results[j] != r}
    assert not wrong, wrong
    await client.close()
    server.kill()
    await server.ended


async def main(_: object, rounds: str = str(ROUNDS)) -> None:
    """Run the rounds, and print a line for each."""
    inbox = Inbox(ANSWER)
    site = Site(inbox)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    soak = Soak(f"http://127.0.0.1:{port.getHost().port}/")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        deliveries = Deliveries(inbox, directory)
        for number in range(int(rounds)):
            await disturb(soak, directory)
            deliveries.check()
            begun = time.monotonic()
            await recover(soak, directory, inbox)
            deliveries.check()
            print(
                f"round {number + 1}: {soak.reports} reports acknowledged on"
                f" {len(soak.acknowledged)} jobs, {soak.lost_answers} answers lost;"
                f" {len(soak.ended)} ended, all delivered; {len(inbox.arrivals)} attempts,"
                f" {deliveries.repeated} of them repetitions, none of what was settled;"
                f" checked in {time.monotonic() - begun:.1f} s",
                flush=True,
            )
    await port.stopListening()
    print("nothing acknowledged was lost, nothing came out of order")


if __name__ == "__main__":
    react(main, sys.argv[1:])
