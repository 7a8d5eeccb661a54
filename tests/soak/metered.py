"""
A server that writes to standard error, every second, how late its reactor was: p50, p99 and the
maximum, in milliseconds.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IReactorCore
from twisted.internet.task import LoopingCall

from tests.helpers.meter import Lag, Meter

reactor: IReactorCore = _reactor

#: The arguments of Python that run it in any directory.
PROGRAM = (
    "-c",
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
    f" from {__name__} import run; run()",
)


def run() -> None:
    """Run the server."""
    meter = Meter(reactor)

    def say() -> None:
        lag = meter.stop()
        # Twisted has replaced sys.stderr by a part of the log.
        print(lag.p50, lag.p99, lag.longest, file=sys.__stderr__, flush=True)
        meter.start()

    def begin() -> None:
        meter.start()
        LoopingCall(say).start(1.0, now=False)

    reactor.callWhenRunning(begin)
    runpy.run_module("statusjob", run_name="__main__", alter_sys=True)


def worst(said: bytes) -> Lag:
    """Return the worst second that such a server has written."""
    seconds = [Lag(*map(float, line.split())) for line in said.splitlines()]
    return max(seconds, key=lambda lag: lag.longest)
