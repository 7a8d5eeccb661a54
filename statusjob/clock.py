"""
A reactor's timers by a clock that nobody sets.

Twisted's timers run by the machine's wall clock: when that is set back by an hour, no timer
fires for an hour; when it is set forward, all of them fire at once.
"""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_clock(reactor: Any) -> None:
    """
    Let the timers of C{reactor} run by the monotonic clock, from now on.

    The reactor's own C{callLater} reads C{reactor.seconds}, so handing a clock to the parts of a
    program would not be enough: the method itself is replaced, here and nowhere else. Its value
    still begins at the present wall-clock time. Our server calls this; an application that
    embeds the client may.
    """
    ahead = reactor.seconds() - time.monotonic()
    reactor.seconds = lambda: time.monotonic() + ahead
