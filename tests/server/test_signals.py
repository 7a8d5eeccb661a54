"""Signals that would kill the process by default."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.signals import Signals

NUMBERS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class DirectReactor:
    """A reactor that does at once what it is asked to do from elsewhere."""

    def callFromThread(self, call: Callable[..., object], *arguments: object) -> None:
        call(*arguments)


class SignalTests(SynchronousTestCase):
    """Signals that are sent to this very process."""

    def setUp(self) -> None:
        for number in NUMBERS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_DFL)
        reactor: Any = DirectReactor()
        self.reloads = 0
        self.signals = Signals(reactor, self.reload)

    def reload(self) -> None:
        self.reloads += 1

    def test_none_of_them_kills_the_process_and_a_hangup_reloads(self) -> None:
        self.signals.start()
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(os.getpid(), number)
        self.assertEqual(self.reloads, 0)
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.reloads, 1)

    def test_a_handler_of_somebody_else_stays(self) -> None:
        def rotate(*_: object) -> None: ...

        signal.signal(signal.SIGUSR1, rotate)
        self.signals.start()
        self.assertIs(signal.getsignal(signal.SIGUSR1), rotate)

    def test_after_the_end_all_is_as_before(self) -> None:
        self.signals.start()
        self.successResultOf(Deferred.fromCoroutine(self.signals.stop(0.0)))
        self.assertEqual(
            [signal.getsignal(number) for number in NUMBERS], [signal.SIG_DFL] * len(NUMBERS)
        )
