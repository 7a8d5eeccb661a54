"""
Signals other than those that stop the server.

By default SIGHUP, SIGUSR1 and SIGUSR2 would kill the process at once, without finishing what is in
flight. A closed terminal, a reload by systemd or a rotation of logs must not do that.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Signals:
    """Handles the signals that nobody else handles, from its start to its stop."""

    _log = Logger()

    def __init__(self, reactor: IReactorFromThreads, reload: Callable[[], object]) -> None:
        """
        @param reload: called on SIGHUP. The other signals are only logged.
        """
        self._reactor = reactor
        self._reload = reload
        self._replaced: dict[signal.Signals, Any] = {}

    def start(self) -> None:
        """Handle those signals that would kill the process. C{twistd} may handle SIGUSR1."""
        for number in _SIGNALS:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._replaced[number] = signal.signal(number, self._arrived)

    async def stop(self, seconds: float) -> None:
        """Restore what was there before."""
        for number, handler in self._replaced.items():
            signal.signal(number, handler)
        self._replaced.clear()

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self._reactor.callFromThread(self._handle, signal.Signals(number))

    def _handle(self, number: signal.Signals) -> None:
        self._log.info("received {signal}", signal=number.name)
        if number is signal.SIGHUP:
            self._reload()
