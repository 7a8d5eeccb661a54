"""
Workers that a disturbed server must not lose: they repeat whatever was not acknowledged.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from statusjob.failures import ExchangeFailed
from tests.helpers.processes import Client, reactor

WORKERS = 6
REPORTS = 8
#: Seconds between two reports of a worker, and the longest silence that its job allows.
PAUSE, HEARTBEAT = 0.05, 5.0


class Workers:
    """
    Workers that repeat what was not acknowledged.

    @ivar acknowledged: by job, the greatest version that was acknowledged.
    @ivar ended: the jobs whose end was acknowledged.
    @ivar refused: how many requests were answered by an error of the server, or by none.
    @ivar lost: jobs that were ended although their workers reported.
    """

    def __init__(self, hook: str) -> None:
        self._hook = {"url": hook, "events": ["job.completed", "job.error"]}
        self.url = ""
        self.acknowledged: dict[str, int] = {}
        self.ended: set[str] = set()
        self.refused = 0
        self.lost: dict[str, Any] = {}
        self._working = False

    def begin(self, url: str) -> None:
        """Let them work, for the server at C{url}."""
        self.url = url
        self._working = True
        self._clients = [Client() for _ in range(WORKERS)]
        self._done = [
            Deferred.fromCoroutine(self._work(client, number))
            for number, client in enumerate(self._clients)
        ]

    async def finish(self) -> None:
        """Let them end what they have begun."""
        self._working = False
        await gatherResults(self._done)
        await gatherResults([client.close() for client in self._clients])

    async def _work(self, client: Client, number: int) -> None:
        while self._working:
            key = {"Idempotency-Key": f"{number}-{random.getrandbits(60):x}"}
            body = {"kind": "soak", "heartbeat": HEARTBEAT, "webhook": self._hook}
            _, job = await self._insist(client, "POST", "/jobs", body, key)
            path = f"/jobs/{job['id']}"
            for step in range(1, REPORTS):
                await deferLater(reactor, PAUSE)
                code, job = await self._insist(client, "PATCH", path, {"progress": step / REPORTS})
                if code != 200:
                    break
            else:
                code, job = await self._insist(client, "PATCH", path, {"result": "completed"})
                if code == 200:
                    self.ended.add(job["id"])

    async def _insist(
        self,
        client: Client,
        method: str,
        path: str,
        body: object,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Ask until the server answers something other than an error of its own."""
        while True:
            try:
                code, job = await client.ask(method, self.url + path, body, headers)
            except ExchangeFailed:
                code, job = 503, None
            if code in (200, 201):
                known = self.acknowledged.get(job["id"], 0)
                self.acknowledged[job["id"]] = max(known, job["version"])
                return code, job
            if code < 500:
                self.lost[path] = job
                return code, job
            self.refused += 1
            await deferLater(reactor, 0.2)

    async def check(self) -> tuple[int, list[str]]:
        """How many jobs are found as they were acknowledged, and those that are not."""
        client = Client()
        wrong = []
        for job_id, version in self.acknowledged.items():
            code, job = await client.ask("GET", f"{self.url}/jobs/{job_id}")
            ended = job_id not in self.ended or job.get("result") == "completed"
            if code != 200 or job["version"] < version or not ended:
                wrong.append(f"{job_id}: version {version} was acknowledged, found {job}")
        await client.close()
        return len(self.acknowledged) - len(wrong), wrong
