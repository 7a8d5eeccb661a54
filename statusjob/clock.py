"""
Timers that do not depend on the machine's wall clock.

Twisted's timers run by the wall clock. When that is set back by an hour, no timer fires for an
hour. When it is set forward by an hour, all timers of the next hour fire at once.
"""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_clock(reactor: Any) -> None:
    """
    Let the timers of a reactor run by the monotonic clock from now on.

    The server calls this. An application that uses the client may call it, too.

    C{reactor.seconds} is replaced, here and nowhere else: C{callLater} reads it, so it would not
    be enough to give another clock to the parts of a program. Its value goes on from the present
    wall-clock time.
    """
    ahead = reactor.seconds() - time.monotonic()
    reactor.seconds = lambda: time.monotonic() + ahead
