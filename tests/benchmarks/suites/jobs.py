"""Jobs that are created and completed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from tests.benchmarks.bench import Bench, Program, Server, free_port
from tests.benchmarks.figures import Goal, Sample, compare
from tests.benchmarks.suites.servers import statusjob

GOALS = [Goal("statusjob", "Express, in memory", 1.0)]


def jobs(bench: Bench) -> str:
    """
    C{POST /jobs}, then C{PATCH} to completed: durable, but for Express, which keeps jobs in
    memory. A request is either of both. Servers and C{wrk} may use all cores.
    """
    programs: dict[str, Callable[[int], Program]] = {
        "statusjob": statusjob,
        "Express, in memory": lambda port: bench.node("express.js", port),
        "aiohttp, SQLite": lambda port: bench.python("aiohttp_app", port, "jobs.sqlite"),
    }
    cores = set(bench.cores)
    with ExitStack() as stack:

        def start(make: Callable[[int], Program]) -> Server:
            port = free_port()
            return stack.enter_context(bench.running(make(port), port, cores))

        def measure(server: Server, seconds: float) -> Sample:
            script = ["create_and_finish.lua"]
            return bench.load(server, "/jobs", seconds, script=script, cores=cores)

        chosen = bench.choose(programs)
        measures = {name: partial(measure, start(make)) for name, make in chosen.items()}
        return compare(bench.alternate(measures), GOALS)
