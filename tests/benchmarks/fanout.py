"""
One update to a thousand webhooks on a hundred origins: when the last one has it, and how late the
server's reactor is meanwhile.

    python -m tests.benchmarks.fanout [rounds]

The server runs here, on a file, with all that it has but HTTP between it and the worker; the sink
in a process of its own, at a hundred loopback addresses.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as _reactor
from twisted.internet.task import deferLater, react
from twisted.internet.threads import deferToThread

from statusjob.contract.webhooks import NewScopedWebhook
from statusjob.server.service import Server
from statusjob.server.tap import Options, makeService
from tests.helpers.core import a_report, new_job
from tests.helpers.meter import Lag, Meter

ROUNDS = 7
ORIGINS = 100
WEBHOOKS = 1000

reactor: Any = _reactor

#: Answers 200, and says once every webhook of a round has come: when the last did, by the clock
#: that all processes share.
SINK = """
import asyncio, sys, time
from httptools import HttpRequestParser

class Sink(asyncio.Protocol):
    received = 0

    def connection_made(self, transport):
        self.transport = transport
        self.parser = HttpRequestParser(self)

    def data_received(self, data):
        self.parser.feed_data(data)

    def on_message_complete(self):
        self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
        Sink.received += 1
        if Sink.received % int(sys.argv[1]) == 0:
            print(time.monotonic(), flush=True)

async def serve():
    server = await asyncio.get_running_loop().create_server(Sink, "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(serve())
"""


@contextmanager
def sink() -> Iterator[subprocess.Popen[bytes]]:
    """A process that receives; what it says first is its port."""
    command = [sys.executable, "-c", SINK, str(WEBHOOKS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def fan_out(server: Server, process: subprocess.Popen[bytes]) -> tuple[float, float, Lag]:
    """
    Let a job end: seconds until its worker was answered and until the last webhook had it, and
    the reactor's lag.
    """
    assert process.stdout is not None
    job = (await server.lifecycle.create(new_job(b'{"kind":"wide"}'))).job
    last = deferToThread(process.stdout.readline)
    meter = Meter(reactor)
    meter.start()
    begun = time.monotonic()
    await server.lifecycle.report(job.id, a_report(b'{"result":"completed"}'))
    answered = time.monotonic() - begun
    received = float(await last) - begun
    # What is still to be settled counts, too.
    while await server.store.read(
        lambda tx: tx.one("SELECT 1 FROM deliveries WHERE state <> 'delivered'")
    ):
        await deferLater(reactor, 0.02)
    return answered, received, meter.stop()


async def measure(server: Server, process: subprocess.Popen[bytes], rounds: int) -> None:
    """Print a line a round, then the medians."""
    meter = Meter(reactor)
    meter.start()
    await deferLater(reactor, 2.0)
    print(f"idle: lag {meter.stop()}")
    lasts, lags = [], []
    for number in range(rounds):
        answered, last, lag = await fan_out(server, process)
        lasts.append(last)
        lags.append(lag)
        print(
            f"round {number + 1}: answered in {answered * 1000:.0f} ms, the last received in"
            f" {last * 1000:.0f} ms; lag {lag}",
            flush=True,
        )
        # Until connections are kept no more: every round opens its own.
        await deferLater(reactor, 5.0)
    lag = Lag(
        statistics.median(each.p50 for each in lags),
        statistics.median(each.p99 for each in lags),
        statistics.median(each.longest for each in lags),
    )
    print(
        f"median: the last of {WEBHOOKS} received in {statistics.median(lasts) * 1000:.0f} ms;"
        f" lag {lag}"
    )


async def main(_: object, rounds: str = str(ROUNDS)) -> None:
    """Set up a server and its webhooks, and measure."""
    with tempfile.TemporaryDirectory() as directory, sink() as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        options = Options()
        options.parseOptions(["--port", "0", "--database", str(Path(directory) / "fanout.sqlite")])
        server = cast(Server, makeService(options))
        server.startService()
        try:
            for number in range(WEBHOOKS):
                url = f"http://127.0.0.{1 + number % ORIGINS}:{port}/{number}"
                await server.api.registrations.add(NewScopedWebhook(url=url, kind="wide"))
            await measure(server, process, int(rounds))
        finally:
            await server.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
