"""What the server has in memory."""

from __future__ import annotations

from tests.benchmarks.bench import Bench, Server, free_port
from tests.benchmarks.figures import table
from tests.benchmarks.suites.servers import new_job, statusjob

#: The names of the requests, their headers, and how many there are before the first look and
#: before the second one.
LOADS = [
    ("fast", [], 50_000, 1_000_000),
    ("slow", ["Range: bytes=0-"], 20_000, 100_000),
]


def memory(bench: Bench) -> str:
    """Resident memory of an idle server, and of the same server after many requests."""
    port = free_port()
    with bench.running(statusjob(port), port, bench.server_core) as server:
        rows = [["idle", f"{server.memory():.1f}"]]
        path = f"/jobs/{new_job(server)}/status"
        for name, headers, *counts in LOADS:
            done = 0
            for count in counts:
                done += _send(bench, server, path, headers, count - done)
                rows.append([f"after {done:,} {name} requests", f"{server.memory():.1f}"])
    return table(["", "MiB"], rows)


def _send(bench: Bench, server: Server, path: str, headers: list[str], count: int) -> int:
    """Send at least so many requests; how many were sent."""
    done = 0
    while done < count:
        done += bench.load(server, path, bench.seconds, headers=headers).requests
    return done
