"""Outgoing posts."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from tests.benchmarks.bench import START, Bench, Program, run
from tests.benchmarks.delivery import BODY, CONCURRENCY, sink
from tests.benchmarks.figures import Goal, Sample, compare
from tests.benchmarks.outbox import ORIGINS

GOALS = [Goal("statusjob", "aiohttp, SQLite outbox", 1.0), Goal("statusjob", "axios", 1.0)]


def posts(bench: Bench) -> str:
    """
    Posts of the same body to the same sink, 64 at a time. statusjob claims each delivery in the
    database, signs it, checks the address and commits the outcome; the outbox of aiohttp selects,
    posts and commits; the others keep nothing.
    """
    node = (CONCURRENCY, ORIGINS, BODY.decode())
    programs: dict[str, Callable[[int, float], Program]] = {
        "statusjob": lambda port, seconds: bench.python("post_statusjob", port, seconds),
        "aiohttp, SQLite outbox": lambda port, seconds: bench.python(
            "post_aiohttp", port, seconds, bench.new_directory("outbox") / "outbox.sqlite"
        ),
        "aiohttp": lambda port, seconds: bench.python("post_aiohttp", port, seconds),
        "axios": lambda port, seconds: bench.node("post_axios.js", port, seconds, *node),
        "undici": lambda port, seconds: bench.node("post_undici.js", port, seconds, *node),
    }
    with sink() as port:

        def measure(make: Callable[[int, float], Program], seconds: float) -> Sample:
            command, environment = make(port, seconds)
            # Filling an outbox takes time, too.
            timeout = 10 * seconds + START
            printed = run(command, bench.server_core, timeout, environment)
            return Sample(**json.loads(printed.splitlines()[-1]))

        chosen = bench.choose(programs)
        return compare(
            bench.alternate({name: partial(measure, make) for name, make in chosen.items()}), GOALS
        )
