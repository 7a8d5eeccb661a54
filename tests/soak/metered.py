"""
A whole server that says on standard error, every second, how late its reactor was: p50, p99 and
the longest, in milliseconds.
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

#: What runs it, from whatever directory.
PROGRAM = (
    "-c",
    f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r});"
    f" from {__name__} import run; run()",
)


def run() -> None:
    """Serve."""
    meter = Meter(reactor)

    def say() -> None:
        lag = meter.stop()
        # Not sys.stderr, which is part of the log by then.
        print(lag.p50, lag.p99, lag.longest, file=sys.__stderr__, flush=True)
        meter.start()

    def begin() -> None:
        meter.start()
        LoopingCall(say).start(1.0, now=False)

    reactor.callWhenRunning(begin)
    runpy.run_module("statusjob", run_name="__main__", alter_sys=True)


def worst(said: bytes) -> Lag:
    """Of what such a server said, the worst second."""
    seconds = [Lag(*map(float, line.split())) for line in said.splitlines()]
    return max(seconds, key=lambda lag: lag.longest)
