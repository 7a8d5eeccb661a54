"""C{GET} of a job's status, and of a whole job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.bench import Bench, Program, Server, free_port
from tests.benchmarks.figures import Goal, Sample, compare
from tests.benchmarks.peers import JOB_ID
from tests.benchmarks.suites.servers import TOKEN, fill_database, new_job, nginx, statusjob
from tests.helpers.client_heads import CLIENTS

#: How many jobs are asked for in turn: more than the ready answers that are kept.
MANY = 100_000

STATUS_GOALS = [
    Goal("statusjob", "nginx", 1.5),
    Goal("statusjob", "Express", 1 / 8),
    Goal("statusjob", "aiohttp, uvloop", 1 / 2),
]
COLD_GOALS = [
    Goal("statusjob", "Express", 1.0),
    Goal("statusjob, many jobs", "Express, many jobs", 1.0),
]


@dataclass(frozen=True)
class Poll:
    """
    What is asked for.

    @ivar server: whom, by a name in the table of servers.
    @ivar path: what follows C{/jobs/} and the job's id.
    @ivar headers: the header fields besides Host; C{ETAG} stands for the job's tag.
    @ivar script: a file of L{LOADS} and its arguments.
    """

    server: str
    path: str = ""
    headers: Sequence[str] = ()
    script: Sequence[str] = ()


def status(bench: Bench) -> str:
    """C{GET /jobs/ID/status} of a pending job, as programs poll it."""
    servers: dict[str, Callable[[int], Program]] = {
        "statusjob": statusjob,
        "statusjob with a token": lambda port: statusjob(port, token=TOKEN),
        "nginx": lambda port: nginx(bench, port),
        "node": lambda port: bench.node("node_http.js", port),
        "Express": lambda port: bench.node("express.js", port),
        "FastAPI": lambda port: bench.python("fastapi_app", port),
        "aiohttp": lambda port: bench.python("aiohttp_app", port),
        "Klein": lambda port: bench.python("klein_app", port),
    }
    path = "/status"
    polls = {
        "statusjob": Poll("statusjob", path),
        "statusjob, 304": Poll("statusjob", path, ["If-None-Match: ETAG"]),
        "statusjob, token": Poll(
            "statusjob with a token", path, [f"Authorization: Bearer {TOKEN}"]
        ),
        **{
            f"statusjob, {client}": Poll("statusjob", path, CLIENTS[client])
            for client in ("curl", "axios", "requests", "treq")
        },
        "nginx": Poll("nginx", path),
        "node http": Poll("node", path),
        "Express": Poll("Express", path),
        "FastAPI, uvicorn": Poll("FastAPI", path),
        "aiohttp, uvloop": Poll("aiohttp", path),
        "minimal Klein": Poll("Klein", path),
    }
    return compare(_measure(bench, servers, polls), STATUS_GOALS)


def cold(bench: Bench) -> str:
    """C{GET /jobs/ID} through Klein, and of many jobs, one after the other."""
    here = bench.new_directory("many")
    database, ours, theirs = (here / name for name in ("statusjob.sqlite", "ours", "theirs"))
    _write_lines(ours, fill_database(bench, database, MANY, 0, 0))
    _write_lines(theirs, (f"job-{number}" for number in range(MANY)))
    servers: dict[str, Callable[[int], Program]] = {
        "statusjob": lambda port: statusjob(port, database),
        "Express": lambda port: bench.node("express.js", port, MANY),
        "Klein": lambda port: bench.python("klein_app", port),
    }
    # No server answers in parts; with this field, none of ours answers fast.
    slow = ["Range: bytes=0-"]
    polls = {
        "statusjob": Poll("statusjob", headers=slow),
        "statusjob, many jobs": Poll("statusjob", script=["many_jobs.lua", str(ours)]),
        "Express": Poll("Express", headers=slow),
        "Express, many jobs": Poll("Express", script=["many_jobs.lua", str(theirs)]),
        "minimal Klein": Poll("Klein", headers=slow),
    }
    return compare(_measure(bench, servers, polls), COLD_GOALS)


def _measure(
    bench: Bench, programs: Mapping[str, Callable[[int], Program]], polls: Mapping[str, Poll]
) -> dict[str, list[Sample]]:
    """Start those servers that are asked, and measure all polls in turn."""
    chosen = bench.choose(polls)
    with ExitStack() as stack:
        servers: dict[str, tuple[Server, str]] = {}
        for name in dict.fromkeys(poll.server for poll in chosen.values()):
            port = free_port()
            server = stack.enter_context(
                bench.running(programs[name](port), port, bench.server_core)
            )
            ours = name.startswith("statusjob")
            servers[name] = (server, new_job(server, TOKEN) if ours else JOB_ID)

        def measure(poll: Poll, seconds: float) -> Sample:
            server, job = servers[poll.server]
            headers = [each.replace("ETAG", f'"{job}.pending"') for each in poll.headers]
            path = f"/jobs/{job}{poll.path}"
            return bench.load(server, path, seconds, headers=headers, script=poll.script)

        return bench.alternate({name: partial(measure, poll) for name, poll in chosen.items()})


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
