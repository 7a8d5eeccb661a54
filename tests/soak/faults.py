"""
Faults of machines and operators, while workers report.

    python -m tests.soak.faults [scenario ...]

Each scenario starts a server on a database of its own, lets workers create jobs, report on them
and end them, and disturbs the server meanwhile. Workers repeat what was not acknowledged. In the
end everything that was acknowledged must be found, every job that ended must have been told to its
webhook, and no healthy worker may have been declared lost. Printed is what was acknowledged,
found, told and lost. Some scenarios need root (they mount file systems) or Debian's libfaketime;
one that cannot run here says so.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from twisted.internet.task import deferLater, react
from twisted.web.server import Site

from tests.helpers.inbox import Inbox
from tests.helpers.processes import Client, ServerEnded, ServerProcess, reactor, start
from tests.soak.workers import Workers

#: Seconds before and after a disturbance, and for which a stopped server is stopped.
CALM, STOPPED = 1.5, 40.0
SETTINGS = {"STATUSJOB_RETRY_SCHEDULE": "0,1,1,1,1,1,1,1,1,1,1,1"}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class Impossible(Exception):
    """This scenario cannot run on this machine; the message says why."""


class World:
    """
    What a scenario disturbs.

    @ivar directory: the working directory of the server, with its database.
    """

    def __init__(self, directory: Path, workers: Workers) -> None:
        self.directory = directory
        self.workers = workers
        self.program: tuple[str, ...] = ("-m", "statusjob")
        self.settings = dict(SETTINGS)

    async def serve(self) -> ServerProcess:
        """Start the server; workers speak to it from now on."""
        self.server = await start(self.directory, self.settings, self.program)
        self.workers.url = self.server.url
        return self.server

    async def stop(self) -> None:
        """Stop the server in good order."""
        self.server.kill(signal.SIGTERM)
        await self.server.ended

    async def restart(self, number: signal.Signals) -> None:
        """End the server by a signal, and start it again."""
        self.server.kill(number)
        await self.server.ended
        await self.serve()

    @property
    def database(self) -> Path:
        """The file of the database."""
        return self.directory / "statusjob.sqlite"


Scenario = Callable[[World], Awaitable[str]]


async def kill(world: World) -> str:
    """C{kill -9} five times."""
    for _ in range(5):
        await deferLater(reactor, random.uniform(0.2, 1.0))
        await world.restart(signal.SIGKILL)
    return "killed 5 times"


async def stop_and_continue(world: World) -> str:
    """The process is stopped for a while, as a suspended virtual machine is."""
    world.server.kill(signal.SIGSTOP)
    await deferLater(reactor, STOPPED)
    world.server.kill(signal.SIGCONT)
    return f"stopped for {STOPPED:g} s"


async def clock(world: World) -> str:
    """The clock is set forward and back by a day, while the server runs and between two runs."""
    if not FAKETIME.exists():
        raise Impossible("libfaketime is not installed")
    offset = world.directory / "clock"

    def set_clock(text: str) -> None:
        fresh = offset.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(offset)

    set_clock("+0")
    variables = {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    world.program = _through(variables, [])
    await world.restart(signal.SIGTERM)
    for text in ("+1d", "-1d", "+0"):
        await deferLater(reactor, CALM)
        set_clock(text)
    await deferLater(reactor, CALM)
    await world.stop()
    set_clock("-1d")
    await world.serve()
    return "set by a day forward, back by two, forward by one; back by one between two runs"


async def disk_full(world: World) -> str:
    """The file system of the database is full for a while."""
    with _mounted(world.directory / "small", "6m") as small:
        world.settings["STATUSJOB_DATABASE"] = str(small / "statusjob.sqlite")
        await world.stop()
        shutil.copy(world.database, small)
        await world.serve()
        await deferLater(reactor, CALM)
        filler = small / "filler"
        _fill(filler)
        await deferLater(reactor, 2 * CALM)
        refused = world.workers.refused
        filler.unlink()
        await deferLater(reactor, CALM)
        await world.stop()
        for file in small.glob("statusjob.sqlite*"):
            shutil.copy(file, world.directory / file.name)
    del world.settings["STATUSJOB_DATABASE"]
    await world.serve()
    return f"{refused} requests were refused while it was full"


async def temporary_directory_full(world: World) -> str:
    """There is no room for temporary files."""
    with _mounted(world.directory / "tmp", "64k") as small:
        _fill(small / "filler")
        variables = {"TMPDIR": str(small), "SQLITE_TMPDIR": str(small)}
        world.program = _through(variables, [])
        await world.restart(signal.SIGTERM)
        before = world.workers.refused
        await deferLater(reactor, 2 * CALM)
        await _large_requests(world)
        refused = world.workers.refused - before
        world.program = ("-m", "statusjob")
        await world.restart(signal.SIGTERM)
    return f"{refused} requests were refused meanwhile"


async def read_only(world: World) -> str:
    """All but the database's directory is on a read-only file system."""
    if os.geteuid() != 0:
        raise Impossible("mounting needs root")
    script = (
        f"mount --bind {world.directory} {world.directory} &&"
        ' mount -o remount,ro,bind / && cd . && exec "$@"'
    )
    world.program = _through({}, ["unshare", "-m", "sh", "-c", script, "sh"])
    await world.restart(signal.SIGTERM)
    before = world.workers.refused
    await deferLater(reactor, 2 * CALM)
    await _large_requests(world)
    return f"{world.workers.refused - before} requests were refused meanwhile"


async def database_deleted(world: World) -> str:
    """The file of the database is moved away, and comes back."""
    aside = world.directory / "aside"
    aside.mkdir()
    files = list(world.directory.glob("statusjob.sqlite*"))
    for file in files:
        file.rename(aside / file.name)
    await deferLater(reactor, 0.5)
    acknowledged = sum(world.workers.acknowledged.values())
    await deferLater(reactor, CALM)
    after = sum(world.workers.acknowledged.values()) - acknowledged
    client = Client()
    ready, _ = await client.ask("GET", f"{world.workers.url}/readyz")
    await client.close()
    for file in files:
        (aside / file.name).rename(file)
    await world.restart(signal.SIGKILL)
    return f"{after} changes were acknowledged without a file, /readyz was {ready}"


async def hard_link(world: World) -> str:
    """A second server on a hard link of the database."""
    other = world.directory / "other"
    other.mkdir()
    os.link(world.database, other / world.database.name)
    return await _second(world, other, ("-m", "statusjob"))


async def bind_mount(world: World) -> str:
    """A second server on a bind mount of the database's directory, and of its file."""
    if os.geteuid() != 0:
        raise Impossible("mounting needs root")
    said = []
    for what in (world.directory, world.database):
        other = world.directory.parent / f"{world.directory.name}-other"
        other.mkdir()
        target = other / what.name if what == world.database else other
        if what == world.database:
            target.touch()
        script = f'mount --bind {what} {target} && cd {other} && exec "$@"'
        program = _through({}, ["unshare", "-m", "sh", "-c", script, "sh"])
        said.append(await _second(world, other, program))
        shutil.rmtree(other)
    return "; ".join(said)


SCENARIOS: dict[str, Scenario] = {
    each.__name__: each
    for each in (
        kill,
        stop_and_continue,
        clock,
        disk_full,
        temporary_directory_full,
        read_only,
        database_deleted,
        hard_link,
        bind_mount,
    )
}


async def _second(world: World, directory: Path, program: tuple[str, ...]) -> str:
    """Start a second server, which must be refused."""
    try:
        second = await start(directory, world.settings, program)
    except ServerEnded as error:
        return f"refused: {str(error).strip().splitlines()[-1]}"
    second.kill()
    await second.ended
    return "A SECOND SERVER STARTED"


async def _large_requests(world: World) -> None:
    """Create jobs whose bodies are large enough to make a server think of files."""
    client = Client()
    for _ in range(5):
        body = {"metadata": {"text": "x" * 16_000}}
        code, job = await client.ask("POST", f"{world.workers.url}/jobs", body)
        assert code == 201, (code, job)
        end = {"result": "completed", "output": "y" * 250_000}
        code, job = await client.ask("PATCH", f"{world.workers.url}/jobs/{job['id']}", end)
        assert code == 200, (code, job)
    await client.close()


def _through(variables: Mapping[str, str], command: list[str]) -> tuple[str, ...]:
    """A program that becomes the server, with variables set, by way of a command."""
    arguments = [*command, sys.executable, "-m", "statusjob"]
    return (
        "-c",
        f"import os; os.environ.update({dict(variables)!r});"
        f" os.execvp({arguments[0]!r}, {arguments!r})",
    )


@contextmanager
def _mounted(path: Path, size: str) -> Iterator[Path]:
    """A small file system of its own."""
    if os.geteuid() != 0:
        raise Impossible("mounting needs root")
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def _fill(path: Path) -> None:
    """Write a file until there is no more room."""
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


async def run(name: str) -> bool:
    """Run a scenario and print what came of it: whether nothing was lost."""
    inbox = Inbox()
    port = reactor.listenTCP(0, Site(inbox), interface="127.0.0.1")
    workers = Workers(f"http://127.0.0.1:{port.getHost().port}/")
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), workers)
        await world.serve()
        workers.begin(world.server.url)
        await deferLater(reactor, CALM)
        try:
            said = await SCENARIOS[name](world)
        except Impossible as error:
            said = f"DID NOT RUN: {error}"
        await deferLater(reactor, CALM)
        await workers.finish()
        begun = time.monotonic()
        found, wrong = await workers.check()
        received = inbox.received(set(workers.ended)).addTimeout(90, reactor)
        await received.addErrback(lambda _: None)
        untold = workers.ended - inbox.results.keys()
        world.server.kill()
        await world.server.ended
    await port.stopListening()
    lost = len(wrong) + len(untold) + len(workers.lost)
    print(
        f"{name}: {said}; {sum(workers.acknowledged.values())} changes of"
        f" {len(workers.acknowledged)} jobs acknowledged, {found} jobs found;"
        f" {len(workers.ended)} ended, {len(workers.ended) - len(untold)} told;"
        f" {workers.refused} requests refused; lost: {lost}"
        f" (checked in {time.monotonic() - begun:.1f} s)",
        flush=True,
    )
    for each in [*wrong, *untold, *workers.lost.values()][:3]:
        print(f"  {str(each)[:300]}", flush=True)
    return not lost


async def main(_: object, *names: str) -> None:
    """Run all scenarios, or those named."""
    results = [await run(name) for name in names or SCENARIOS]
    print("nothing was lost" if all(results) else "SOMETHING WAS LOST")


if __name__ == "__main__":
    react(main, sys.argv[1:])
