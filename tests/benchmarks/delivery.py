"""
Durable deliveries a second, beside what posts without keeping anything: axios and aiohttp.

    python -m tests.benchmarks.delivery [rounds]

Needs node, npm and the extra C{bench}. Everybody posts the same body to the same sink, 64 at a
time, in a process of its own on one core (the sink has another), in alternating rounds. Ours
claims each delivery in the database, signs it, checks the address it dials, posts it and commits
the outcome; the others post.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.outbox import ORIGINS, Outbox

ROUNDS = 5
SECONDS = 4.0
CONCURRENCY = 64
BODY = json.dumps({"result": "completed", "job": {"id": "x" * 36, "metadata": "y" * 500}}).encode()

SINK = """
const http = require('http')
const server = http.createServer((request, response) => {
  request.resume()
  request.on('end', () => { response.writeHead(200, {'Content-Length': 2}); response.end('ok') })
})
server.keepAliveTimeout = 60000
server.listen(0, '0.0.0.0', () => console.log(server.address().port))
"""

AXIOS = """
const axios = require('axios')
const http = require('http')
const [port, concurrency, seconds, origins, body] = process.argv.slice(2)
const client = axios.create({httpAgent: new http.Agent({keepAlive: true})})
const headers = {'Content-Type': 'application/json'}
let done = 0
const begun = Date.now()
async function worker (number) {
  const url = `http://127.0.0.${1 + number % origins}:${port}/`
  while (Date.now() - begun < seconds * 1000) { await client.post(url, body, {headers}); done++ }
}
Promise.all(Array.from({length: +concurrency}, (_, number) => worker(number))).then(() => {
  console.log(done / (Date.now() - begun) * 1000)
  process.exit()
})
"""


async def with_aiohttp(port: int) -> float:
    """Posts a second through aiohttp."""
    import aiohttp

    done = 0
    begun = time.perf_counter()

    async def worker(number: int) -> None:
        nonlocal done
        url = f"http://127.0.0.{1 + number % ORIGINS}:{port}/"
        while time.perf_counter() - begun < SECONDS:
            headers = {"Content-Type": "application/json"}
            async with session.post(url, data=BODY, headers=headers) as response:
                await response.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*[worker(number) for number in range(CONCURRENCY)])
    return done / (time.perf_counter() - begun)


async def with_statusjob(reactor: Any, port: int) -> float:
    """Durable deliveries a second: as many as are made while there are always more."""
    with tempfile.TemporaryDirectory() as directory:
        box = Outbox(reactor, directory, port)
        await box.fill(60_000)
        return await box.deliver(SECONDS)


@contextmanager
def sink() -> Iterator[int]:
    """What answers 200; the port."""
    with subprocess.Popen(
        ["node", "-e", SINK], stdout=subprocess.PIPE, preexec_fn=lambda: _pin(1)
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _pin(core: int) -> None:
    os.sched_setaffinity(0, {core % (os.cpu_count() or 1)})


def _run(command: list[str], directory: str | None = None) -> float:
    done = subprocess.run(
        command,
        check=True,
        capture_output=True,
        cwd=directory,
        preexec_fn=lambda: _pin(0),
    )
    return float(done.stdout.split()[-1])


def main(rounds: int) -> None:
    """Print a line a round, then the medians and the ratios."""
    with tempfile.TemporaryDirectory() as directory, sink() as port:
        subprocess.run(["npm", "install", "axios"], check=True, capture_output=True, cwd=directory)
        (Path(directory) / "axios.js").write_text(AXIOS)
        numbers = [port, CONCURRENCY, SECONDS, ORIGINS]
        peers = {
            "statusjob": lambda: _run(
                [sys.executable, "-m", __spec__.name, "statusjob", str(port)]
            ),
            "axios": lambda: _run(
                ["node", "axios.js", *map(str, numbers), BODY.decode()], directory
            ),
            "aiohttp": lambda: _run([sys.executable, "-m", __spec__.name, "aiohttp", str(port)]),
        }
        measured: dict[str, list[float]] = {name: [] for name in peers}
        for number in range(rounds):
            for name, run in peers.items():
                measured[name].append(run())
            said = ", ".join(f"{name} {rates[-1]:,.0f}/s" for name, rates in measured.items())
            print(f"round {number + 1}: {said}", flush=True)
    medians = {name: statistics.median(rates) for name, rates in measured.items()}
    for peer in ("axios", "aiohttp"):
        print(
            f"statusjob {medians['statusjob']:,.0f}/s, {peer} {medians[peer]:,.0f}/s:"
            f" ratio {medians['statusjob'] / medians[peer]:.2f}"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["aiohttp"]:
        print(asyncio.run(with_aiohttp(int(sys.argv[2]))))
    elif sys.argv[1:2] == ["statusjob"]:
        from twisted.internet.task import react

        async def measure(reactor: Any) -> None:
            """Print the rate."""
            print(await with_statusjob(reactor, int(sys.argv[2])))

        react(measure, [])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else ROUNDS)
