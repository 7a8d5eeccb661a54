"""
C{kill -9} of the server, again and again, while workers report.

    python -m tests.soak.kill [rounds]

Eight workers create jobs, report on them and end them; every job has a webhook for all that
happens. The server is killed at a random moment and started again on the same file. After each
round every acknowledged report must be there, and the terminal update of every job that ended must
have arrived. Of a job no version may arrive after a newer one, and nothing again that the file
called delivered when a server was killed.
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
#: Seconds between two reports of a worker that takes its time: every other one does.
PAUSE = 0.1
#: Seconds until the receiver answers: long enough that every kill finds attempts under way.
ANSWER = 0.05

EVENTS = ["job.progress", "job.completed", "job.error"]
VARIABLES = {"STATUSJOB_RETRY_SCHEDULE": "0,1,1,1,1,1,1,1,1,1,1,1"}


class Soak:
    """
    What the workers know.

    @ivar acknowledged: by job, the greatest version that was acknowledged.
    @ivar ended: by job, the terminal result that was acknowledged.
    @ivar created: by idempotency key, the job that was made.
    """

    def __init__(self, receiver: str) -> None:
        self.webhook = {"url": receiver, "events": EVENTS, "secret": SECRET}
        self.acknowledged: dict[str, int] = {}
        self.ended: dict[str, str] = {}
        self.created: dict[str, str] = {}
        self.reports = 0
        self.lost_answers = 0

    async def work(self, url: str, client: Client, number: int, running: list[bool]) -> None:
        """One worker: jobs, one after the other, until the server goes away."""
        while running:
            key = f"worker-{number}-{len(self.created)}-{random.getrandbits(32)}"
            try:
                await self._job(url, client, key, number % 2 * PAUSE)
            except Exception as error:
                # The server is gone in the middle of something; what was not acknowledged may
                # or may not have happened.
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
        # The same key is the same job, also when the first answer was lost with a server.
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
        """Everything that was acknowledged is there."""
        for job_id, version in self.acknowledged.items():
            code, job = await client.ask("GET", f"{url}/jobs/{job_id}")
            assert code == 200, (job_id, code, job)
            assert job["version"] >= version, (job_id, version, job)
            assert self.ended.get(job_id, job["result"]) == job["result"], job


class Deliveries:
    """
    What the receiver knows.

    @ivar settled: ids of deliveries that are never to come again.
    @ivar repeated: attempts that were made because a server was killed before it settled them.
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
        Judge what came since the last time; then, the server being dead, see what it settled.
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
        # Only to be read: the next server is to find it as the last one left it.
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT id FROM deliveries WHERE state = 'delivered'")
            return {row[0] for row in rows}
        finally:
            connection.close()


async def until(running: list[bool], seconds: float, server: ServerProcess) -> None:
    """Kill the server after some time."""
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
    """Start a server, check that all is there and wait for all that is to be delivered."""
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
    """Print a line a round."""
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
