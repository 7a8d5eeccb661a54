"""A server with 1,000,000 jobs, beside an empty one."""

from __future__ import annotations

import http.client
import statistics
import time
from functools import partial

from tests.benchmarks.bench import Bench, Server, free_port
from tests.benchmarks.figures import Goal, Sample, compare, table
from tests.benchmarks.suites.servers import fill_database, new_job, statusjob
from tests.helpers.large_database import DELIVERIES, JOBS, ORIGINS

#: How often a page is asked for, and the largest one that there is.
PAGES, PAGE = 100, "/jobs?limit=100"
#: The longest that the start may take, in seconds, and a page, in milliseconds.
START_GOAL, PAGE_GOAL = 3.0, 20.0
GOALS = [Goal("GET, large", "GET, empty", 1.2), Goal("PATCH, large", "PATCH, empty", 1.2)]


def large(bench: Bench) -> str:
    """
    1,000,000 jobs, 400,000 deliveries and 5,000 origins in the database of one server, and nothing
    in that of the other: how long the start takes, a C{GET} that reads the store, a C{PATCH}, and
    a page of 100 jobs.
    """
    here = bench.new_directory("large")
    full = here / "full.sqlite"
    fill_database(bench, full, JOBS, DELIVERIES, ORIGINS)
    ports = [free_port(), free_port()]
    core = bench.server_core
    with (
        bench.running(statusjob(ports[0], here / "empty.sqlite"), ports[0], core) as empty,
        bench.running(statusjob(ports[1], full), ports[1], core) as loaded,
    ):
        pages = [_page_time(server) for server in (empty, loaded)]

        def get(server: Server, job: str, seconds: float) -> Sample:
            return bench.load(server, f"/jobs/{job}", seconds, headers=["Range: bytes=0-"])

        def patch(server: Server, job: str, seconds: float) -> Sample:
            return bench.load(server, f"/jobs/{job}", seconds, script=["report.lua"])

        jobs = {server: new_job(server) for server in (empty, loaded)}
        measured = bench.alternate(
            {
                f"{name}, {size}": partial(measure, server, jobs[server])
                for name, measure in (("GET", get), ("PATCH", patch))
                for size, server in (("empty", empty), ("large", loaded))
            }
        )
    rows = [
        ["start, s", f"{empty.started:.2f}", f"{loaded.started:.2f}", f"{START_GOAL:.0f}"],
        ["page, ms", *(f"{each * 1000:.1f}" for each in pages), f"{PAGE_GOAL:.0f}"],
    ]
    return f"{table(['', 'empty', 'large', 'at most'], rows)}\n\n{compare(measured, GOALS)}"


def _page_time(server: Server) -> float:
    """The median time that a page takes, in seconds."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    times = []
    for _ in range(PAGES):
        begun = time.perf_counter()
        connection.request("GET", PAGE)
        connection.getresponse().read()
        times.append(time.perf_counter() - begun)
    connection.close()
    return statistics.median(times)
