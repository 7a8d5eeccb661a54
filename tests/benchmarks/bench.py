"""How the suites measure: contenders in processes of their own, on cores of their own, in turn."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from tests.benchmarks.figures import Failed, Sample, parse_wrk

#: Where the programs of the peers and the scripts of C{wrk} are.
PEERS, LOADS = (Path(__file__).parent / name for name in ("peers", "loads"))
CONNECTIONS = 64
#: The seconds that a program may take to start, and to end.
START, END = 60.0, 20.0
_TICKS = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")
#: A program to start: its arguments, and variables of its environment.
Program = tuple[Sequence[str], Mapping[str, str]]


@dataclass(frozen=True)
class Server:
    """
    A server that runs, in a process group of its own.

    @ivar group: the id of its first process and its group.
    @ivar url: the URL at which it listens.
    @ivar started: the seconds that it took until it answered.
    """

    group: int
    url: str
    started: float

    def cpu(self) -> float:
        """The seconds of CPU time that its processes have taken, and their children that ended."""
        return sum(sum(map(int, fields[11:15])) for fields in self._processes()) / _TICKS

    def memory(self) -> float:
        """What its processes have in memory, in MiB."""
        page = os.sysconf("SC_PAGE_SIZE")
        return sum(int(fields[21]) for fields in self._processes()) * page / 2**20

    def _processes(self) -> Iterator[list[str]]:
        """The fields of C{/proc/PID/stat} of each process, from the third one on."""
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit():
                try:
                    fields = (directory / "stat").read_text().rpartition(")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    # It has ended since.
                    continue
                if int(fields[2]) == self.group:
                    yield fields

    def ask(self, method: str, path: str, body: object = None, token: str = "") -> Any:
        """Send one request; the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=START) as answer:
            return json.load(answer)


@dataclass(frozen=True)
class Bench:
    """
    What all suites are given.

    @ivar seconds: how long a contender is measured in each round.
    @ivar rounds: how many rounds there are.
    @ivar only: the beginnings of the names of those that are measured; all, if it is empty.
    @ivar directory: an empty directory for files.
    @ivar cores: those that may be used.
    """

    seconds: float
    rounds: int
    only: Sequence[str]
    directory: Path
    cores: Sequence[int] = field(default_factory=lambda: sorted(os.sched_getaffinity(0)))

    @property
    def server_core(self) -> set[int]:
        """The core for what is measured."""
        return {self.cores[0]}

    @property
    def load_core(self) -> set[int]:
        """The core for what measures it."""
        return {self.cores[-1]}

    @cached_property
    def node_modules(self) -> Path:
        """The packages of npm, installed for this run."""
        here = self.new_directory("npm")
        shutil.copy(PEERS / "package.json", here)
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=here, check=True, capture_output=True, timeout=300)
        return here / "node_modules"

    def new_directory(self, name: str) -> Path:
        """Make a directory of a name that is not taken."""
        taken = sum(each.name.startswith(f"{name}-") for each in self.directory.iterdir())
        made = self.directory / f"{name}-{taken}"
        made.mkdir()
        # nginx has a user of its own.
        made.chmod(0o755)
        return made

    def node(self, script: str, *arguments: object) -> Program:
        """A program of the peers for node."""
        environment = {"NODE_ENV": "production", "NODE_PATH": str(self.node_modules)}
        return ["node", str(PEERS / script), *map(str, arguments)], environment

    def python(self, module: str, *arguments: object) -> Program:
        """A program of the peers for this Python."""
        command = [sys.executable, "-m", f"tests.benchmarks.peers.{module}"]
        return [*command, *map(str, arguments)], {}

    def choose(self, contenders: Mapping[str, T]) -> dict[str, T]:
        """
        Leave those that are to be measured.

        @raise Failed: if there are none.
        """
        chosen = {
            name: contender
            for name, contender in contenders.items()
            if not self.only or name.startswith(tuple(self.only))
        }
        if not chosen:
            raise Failed(f"none of {', '.join(contenders)} is to be measured")
        return chosen

    def alternate(
        self, measures: Mapping[str, Callable[[float], Sample]]
    ) -> dict[str, list[Sample]]:
        """
        Measure all, one after the other, round by round, after a shorter round of warming up.

        @param measures: by the name of the contender, what measures for so many seconds.
        """
        samples: dict[str, list[Sample]] = {name: [] for name in measures}
        for measure in measures.values():
            measure(min(self.seconds, 2))
        for number in range(self.rounds):
            for name, measure in measures.items():
                sample = measure(self.seconds)
                samples[name].append(sample)
                print(
                    f"round {number + 1}: {name} {sample.rate:,.0f}/s, {sample.cost:.1f} µs",
                    file=sys.stderr,
                )
        return samples

    @contextmanager
    def running(self, program: Program, port: int, cores: set[int]) -> Iterator[Server]:
        """
        Start a server and end it afterwards.

        @param port: where it listens.
        @raise Failed: if it does not answer.
        """
        command, environment = program
        here = self.new_directory("server")
        with (here / "log").open("wb") as log:
            begun = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=here,
                env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        url = f"http://127.0.0.1:{port}"
        try:
            if not _answers(process, url):
                raise Failed(f"{command} does not answer:\n{(here / 'log').read_text()}")
            yield Server(process.pid, url, time.perf_counter() - begun)
        finally:
            end(process)

    def load(
        self,
        server: Server,
        path: str,
        seconds: float,
        *,
        headers: Sequence[str] = (),
        script: Sequence[str] = (),
        cores: set[int] | None = None,
    ) -> Sample:
        """
        Send as many requests as are answered, with C{wrk}.

        @param script: a file of L{LOADS} and its arguments.
        @param cores: those on which C{wrk} runs; the L{load_core} if it is C{None}.
        """
        lua = [f"-s{LOADS / script[0]}"] if script else []
        command = [
            *["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *lua],
            *[part for header in headers for part in ("-H", header)],
            server.url + path,
            *(["--", *script[1:]] if script[1:] else []),
        ]
        before = server.cpu()
        output = run(command, cores or self.load_core, timeout=seconds + START)
        requests, taken = parse_wrk(output)
        return Sample(requests, taken, server.cpu() - before)


def run(
    command: Sequence[str],
    cores: set[int],
    timeout: float,
    environment: Mapping[str, str] | None = None,
) -> str:
    """
    Run a program to its end.

    @return: what it has written to standard output.
    @raise Failed: if it fails or takes too long.
    """
    process = subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    try:
        output, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{command} takes longer than {timeout} s") from error
    finally:
        end(process)
    if process.returncode:
        raise Failed(f"{command} ended with {process.returncode}")
    return output


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def end(process: subprocess.Popen[Any]) -> None:
    """End a process and its whole group."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(END)
        except subprocess.TimeoutExpired:
            process.kill()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        # Nothing of the group was left.
        return
    finally:
        process.wait()


def _answers(process: subprocess.Popen[Any], url: str) -> bool:
    """Whether a server answers before it ends and before the time is up."""
    until = time.monotonic() + START
    while process.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=START).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
