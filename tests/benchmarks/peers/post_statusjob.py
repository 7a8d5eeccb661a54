"""
Our own delivery, from an outbox on a file.

    python -m tests.benchmarks.peers.post_statusjob PORT SECONDS
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

from twisted.internet.task import react

from tests.benchmarks.outbox import Outbox

#: How many deliveries are due at the start, for each second.
DUE = 25_000


async def main(reactor: Any, port: str, seconds: str) -> None:
    """Print what was done."""
    with tempfile.TemporaryDirectory() as directory:
        box = Outbox(reactor, directory, int(port))
        await box.fill(int(DUE * max(1.0, float(seconds))))
        begun, before = time.perf_counter(), time.process_time()
        rate = await box.deliver(float(seconds))
        taken, cpu = time.perf_counter() - begun, time.process_time() - before
    print(json.dumps({"requests": round(rate * taken), "seconds": taken, "cpu": cpu}))


if __name__ == "__main__":
    react(main, sys.argv[1:])
