"""
Measures the server beside its peers.

    python -m tests.benchmarks.run [--seconds S] [--rounds N] [--only NAME] [SUITE...]

Without a suite, all of them are run, and what they found is written to C{figures.md}. What is
measured runs on one core, and what measures it on another one; contenders alternate, round by
round. Needs C{wrk}, nginx, node, npm and the extra C{bench}, and a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc
from pathlib import Path

from tests.benchmarks.bench import Bench, run
from tests.benchmarks.suites.jobs import jobs
from tests.benchmarks.suites.large import large
from tests.benchmarks.suites.memory import memory
from tests.benchmarks.suites.polls import cold, status
from tests.benchmarks.suites.posts import posts
from tests.benchmarks.suites.servers import find_nginx

FIGURES = Path(__file__).parent / "figures.md"
#: The longest that a benchmark with a program of its own may take, in seconds.
PROGRAM_TIMEOUT = 1_200.0
PACKAGES = ("Twisted", "klein", "msgspec", "httptools", "aiohttp", "fastapi", "uvicorn", "uvloop")
NODE_PACKAGES = ("express", "axios", "undici")


def program(name: str, bench: Bench) -> str:
    """Run a benchmark that has a program of its own; what it prints."""
    command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
    return f"```\n{run(command, set(bench.cores), PROGRAM_TIMEOUT).rstrip()}\n```"


#: The suites, and the benchmarks with programs of their own.
SUITES: dict[str, Callable[[Bench], str]] = {
    **{each.__name__: each for each in (status, cold, jobs, posts, memory, large)},
    **{name: partial(program, name) for name in ("store", "delivery", "fanout", "watchers")},
}


def describe(name: str) -> str:
    """What a suite measures, as Markdown."""
    suite = SUITES[name]
    if isinstance(suite, partial):
        return f"What `python -m tests.benchmarks.{name}` prints."
    return re.sub(r"C\{(.*?)\}", r"`\1`", " ".join(cleandoc(suite.__doc__ or "").split()))


def machine() -> str:
    """The processor, and what runs on it."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    processor = found[1] if found else platform.machine()
    return f"{os.cpu_count()} cores of {processor}, Linux {platform.release()}"


def versions(bench: Bench) -> list[str]:
    """All that takes part, with its version, as far as it is installed."""
    said = [
        f"statusjob {_output('git', 'describe', '--always', '--dirty')}",
        f"Python {platform.python_version()}",
        f"SQLite {sqlite3.sqlite_version}",
    ]
    for package in PACKAGES:
        try:
            said.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    for package in NODE_PACKAGES:
        described = json.loads((bench.node_modules / package / "package.json").read_text())
        said.append(f"{package} {described['version']}")
    nginx = _output(find_nginx(), "-v").rpartition("/")[2]
    wrk = _output("wrk", "-v").split()[1]
    return [*said, f"node {_output('node', '--version')}", f"nginx {nginx}", f"wrk {wrk}"]


def _output(*command: str) -> str:
    """What a program says of itself, wherever it says it and with whatever exit code."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20
    )
    return done.stdout.strip()


def write_figures(bench: Bench, sections: Sequence[str]) -> None:
    """Write down what was found, and on what."""
    head = f"""\
# Figures

Written by `python -m tests.benchmarks.run --seconds {bench.seconds:g} --rounds {bench.rounds}` on
{time.strftime("%Y-%m-%d", time.gmtime())}: {machine()}; {", ".join(versions(bench))}.

Medians over the rounds; a ratio is the median of the ratios of each round. CPU time is that of
all processes of a contender, in user and system mode (`/proc/PID/stat`).
"""
    FIGURES.write_text("\n".join([head, *sections]))


def main(arguments: Sequence[str]) -> None:
    """Run suites."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.run")
    parser.add_argument("suites", metavar="SUITE", nargs="*", help=f"any of {', '.join(SUITES)}")
    parser.add_argument("--seconds", type=float, default=4, help="per contender and round (4)")
    parser.add_argument("--rounds", type=int, default=5, help="how many there are (5)")
    parser.add_argument(
        "--only", action="append", default=[], help="only contenders whose names begin like this"
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.suites) - set(SUITES))
    if unknown:
        parser.error(f"no such suite: {', '.join(unknown)}")
    # What was started is ended, too, when this program is told to end.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        bench = Bench(options.seconds, options.rounds, options.only, Path(directory))
        sections = []
        for name in options.suites or SUITES:
            begun = time.monotonic()
            found = SUITES[name](bench)
            sections.append(f"## {name}\n\n{describe(name)}\n\n{found}\n")
            print(sections[-1], flush=True)
            print(f"{name} took {time.monotonic() - begun:.0f} s", file=sys.stderr)
            if not (options.suites or options.only):
                write_figures(bench, sections)


if __name__ == "__main__":
    main(sys.argv[1:])
