"""
Receivers of all kinds, as they are deployed, around their idle time-outs and while they restart.

    python -m tests.soak.receivers [name ...]

The servers are installed into a temporary directory: those in Python by pip, express by npm; node,
nginx and HAProxy are the machine's, and what is missing is left out. Each of them closes idle
connections after about a second, as far as it can be told to.

To each are sent deliveries one after the other and together; then pairs, of which the second comes
just before, at or just after the idle time-out, when a kept connection may close at any moment;
then a steady flow, while it is restarted. Printed is how many attempts were made, how many kept
connections brought no answer and were replaced, and how many attempts were wasted: failed although
the server was there. Those that fail while it is gone do not count, but a
reload, which leaves it there, must waste none. Whoever wastes an attempt makes the exit code 1.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater, react

from statusjob.server.delivery.attempt import make_attempt
from statusjob.server.delivery.guard import Guard, GuardedEndpoints
from statusjob.server.delivery.poster import Poster
from statusjob.server.delivery.resolver import Resolver
from statusjob.server.store.outbox_settle import Outcome
from tests.helpers.core import a_claim
from tests.soak.receiver_kinds import APPS, KINDS, Kind, Place

#: Seconds between the two deliveries of each pair; the idle time-outs are about 1.
GAPS = [0.8 + n * 0.01 for n in range(60)]
#: Deliveries one after the other, and together.
STEADY, TOGETHER = 40, 20
#: Seconds between two deliveries of the flow, for how long it lasts around a restart, and most
#: seconds until a server listens or ends.
FLOW_EVERY, AROUND, PATIENCE = 0.01, 1.0, 20.0
LOOPBACK = ip_network("127.0.0.0/8")


class Running:
    """
    A receiver that runs.

    @ivar url: the URL of its webhook.
    @ivar there: whether it can be expected to answer.
    """

    def __init__(self, reactor: Any, place: Place, kind: Kind) -> None:
        self._reactor = reactor
        self._place = place
        self._kind = kind
        self._ports = [free_port(), free_port()]
        self._commands = kind.commands(place, self._ports)
        self._port = self._ports[len(self._commands) - 1]
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"{'https' if kind.tls else 'http'}://127.0.0.1:{self._port}/hook"
        self.there = False

    async def start(self) -> None:
        """Start all processes, and wait until they listen."""
        for command, port in zip(self._commands, self._ports, strict=False):
            self._processes.append(self._run(command))
            await self._listens(port)
        self.there = True

    def _run(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self._place.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self._place.directory,
                env={**os.environ, "PYTHONPATH": str(APPS), "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def restart(self) -> None:
        """Reload the last process, if it can, or else end it and start it again."""
        if self._kind.reload is not None:
            self._processes[-1].send_signal(self._kind.reload)
            await deferLater(self._reactor, AROUND)
            return
        self.there = False
        await self._end(self._processes.pop())
        self._processes.append(self._run(self._commands[-1]))
        await self._listens(self._port)
        self.there = True

    async def stop(self) -> None:
        """End all processes."""
        while self._processes:
            await self._end(self._processes.pop())

    async def _listens(self, port: int) -> None:
        give_up_at = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if time.monotonic() > give_up_at:
                    raise
            await deferLater(self._reactor, 0.01)

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        give_up_at = time.monotonic() + PATIENCE
        while process.poll() is None:
            if time.monotonic() > give_up_at:
                process.kill()
            await deferLater(self._reactor, 0.01)


def free_port() -> int:
    """A port on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class CountingPoster(Poster):
    """
    Counts the kept connections that brought no answer and were replaced.

    @ivar replaced: how many there were.
    """

    replaced = 0

    def distrust(self, origin: str) -> None:
        """Count one more."""
        CountingPoster.replaced += 1
        super().distrust(origin)


class Trial:
    """
    What was sent to one receiver.

    @ivar attempts: how many attempts were made, and how many of them while it was gone.
    @ivar wasted: the attempts that failed although it was there, each with when and why.
    """

    def __init__(self, reactor: Any, place: Place, kind: Kind) -> None:
        self._reactor = reactor
        self._kind = kind
        self._running = Running(reactor, place, kind)
        guard = Guard(reactor, Resolver(lambda name: succeed([name])), [LOOPBACK])
        policy = place.policy if kind.tls else None
        self._endpoints = GuardedEndpoints(reactor, guard, policy=policy)
        self.attempts = {"idle": 0, "restart": 0, "gone": 0}
        self.wasted: list[str] = []

    async def run(self) -> None:
        """Send everything."""
        await self._running.start()
        try:
            poster = self._poster()
            for _ in range(STEADY):
                await self._send(poster, "idle")
            await gatherResults([self._begin(poster, "idle") for _ in range(TOGETHER)])
            await gatherResults([Deferred.fromCoroutine(self._pair(gap)) for gap in GAPS])
            await self._restart(poster)
            await poster.stop()
        finally:
            await self._running.stop()

    def _poster(self) -> Poster:
        return CountingPoster(self._reactor, self._endpoints.endpoint)

    async def _pair(self, gap: float) -> None:
        poster = self._poster()
        await self._send(poster, "idle")
        await deferLater(self._reactor, gap)
        await self._send(poster, "idle")
        await poster.stop()

    async def _restart(self, poster: Poster) -> None:
        flowing = True
        sending: list[Deferred[None]] = []

        async def flow() -> None:
            while flowing:
                sending.append(self._begin(poster, "restart"))
                await deferLater(self._reactor, FLOW_EVERY)

        flow_ended = Deferred.fromCoroutine(flow())
        await deferLater(self._reactor, AROUND)
        await self._running.restart()
        await deferLater(self._reactor, AROUND)
        flowing = False
        await flow_ended
        await gatherResults(sending)

    def _begin(self, poster: Poster, phase: str) -> Deferred[None]:
        return Deferred.fromCoroutine(self._send(poster, phase))

    async def _send(self, poster: Poster, phase: str) -> None:
        there = self._running.there
        claim = a_claim(self._running.url)
        outcome: Outcome = await make_attempt(claim, poster=poster, now=self._reactor.seconds)
        self.attempts[phase] += 1
        if outcome.ok:
            return
        if there and self._running.there:
            self.wasted.append(f"{phase}: {outcome.kind}, {outcome.detail}")
        else:
            self.attempts["gone"] += 1


async def main(reactor: Any, place: Place, names: Sequence[str]) -> None:
    """Try all receivers, and print the table."""
    wasted = 0
    print(f"{'receiver':<18}{'idle':>8}{'restart':>9}{'gone':>7}{'replaced':>10}{'wasted':>8}")
    for kind in KINDS:
        if names and kind.name not in names:
            continue
        if kind.needs and not shutil.which(kind.needs):
            print(f"{kind.name:<18}  {kind.needs} is not installed")
            continue
        CountingPoster.replaced = 0
        trial = Trial(reactor, place, kind)
        await trial.run()
        idle, restart, gone = trial.attempts.values()
        print(
            f"{kind.name:<18}{idle:>8}{restart:>9}{gone:>7}{CountingPoster.replaced:>10}"
            f"{len(trial.wasted):>8}",
            flush=True,
        )
        for reason in sorted(set(trial.wasted)):
            print(f"    {trial.wasted.count(reason)} times {reason}")
        wasted += len(trial.wasted)
    if wasted:
        raise SystemExit(1)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        installed = Place(Path(directory))
        installed.install()
        react(lambda reactor: Deferred.fromCoroutine(main(reactor, installed, sys.argv[1:])))
