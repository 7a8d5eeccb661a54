"""
C{kill -9} of the server, again and again, while workers report.

    python -m tests.soak.kill [rounds]

Eight workers create jobs, report on them and end them; every job has a webhook. The server is
killed at a random moment and started again on the same file. After each round every
acknowledged report must be there, and the terminal update of every job that ended must arrive.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react
from twisted.web.server import Site

from tests.process import Client, Receiver, ServerProcess, start

WORKERS = 8
ROUNDS = 20
REPORTS = 20

reactor: Any = _reactor


class Soak:
    """
    What the workers know.

    @ivar acknowledged: by job, the greatest version that was acknowledged.
    @ivar ended: by job, the terminal result that was acknowledged.
    @ivar created: by idempotency key, the job that was made.
    """

    def __init__(self, receiver: str) -> None:
        self.receiver = receiver
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
                await self._job(url, client, key)
            except Exception as error:
                # The server is gone in the middle of something; what was not acknowledged may
                # or may not have happened.
                if running:
                    raise error
                self.lost_answers += 1

    async def _job(self, url: str, client: Client, key: str) -> None:
        code, job = await client.ask(
            "POST",
            f"{url}/jobs",
            {"kind": "soak", "webhook": {"url": self.receiver}},
            {"Idempotency-Key": key},
        )
        assert code in (200, 201), (code, job)
        # The same key is the same job, also when the first answer was lost with a server.
        assert self.created.setdefault(key, job["id"]) == job["id"]
        self._note(job)
        path = f"{url}/jobs/{job['id']}"
        for step in range(1, REPORTS):
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


async def until(running: list[bool], seconds: float, server: ServerProcess) -> None:
    """Kill the server after some time."""
    await deferLater(reactor, seconds)
    running.clear()
    server.kill()
    await server.ended


async def main(_: object, rounds: str = str(ROUNDS)) -> None:
    """Print a line a round."""
    receiver = Receiver()
    site = Site(receiver)
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    soak = Soak(f"http://127.0.0.1:{port.getHost().port}/")
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        variables = {"STATUSJOB_RETRY_SCHEDULE": "0,1,1,1,1,1,1,1,1,1,1,1"}
        for number in range(int(rounds)):
            server = await start(directory, variables)
            running = [True]
            clients = [Client() for _ in range(WORKERS)]
            workers = [
                Deferred.fromCoroutine(soak.work(server.url, client, i, running))
                for i, client in enumerate(clients)
            ]
            await gatherResults(
                [
                    *workers,
                    Deferred.fromCoroutine(until(running, random.uniform(0.3, 2.0), server)),
                ],
                consumeErrors=True,
            )
            for client in clients:
                await client.close()
            begun = time.monotonic()
            server = await start(directory, variables)
            client = Client()
            await soak.check(server.url, client)
            await receiver.received(set(soak.ended)).addTimeout(60, reactor)
            wrong = {j for j, r in soak.ended.items() if receiver.results[j] != r}
            assert not wrong, wrong
            await client.close()
            server.kill()
            await server.ended
            print(
                f"round {number + 1}: {soak.reports} reports acknowledged on"
                f" {len(soak.acknowledged)} jobs, {soak.lost_answers} answers lost;"
                f" {len(soak.ended)} ended, all delivered; checked in"
                f" {time.monotonic() - begun:.1f} s",
                flush=True,
            )
    await port.stopListening()
    print("nothing acknowledged was lost")


if __name__ == "__main__":
    react(main, sys.argv[1:])
