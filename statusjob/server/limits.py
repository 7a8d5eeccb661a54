"""
Limits: how often each one was reached, counted, and logged at a bounded rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Least seconds between two lines of the log about the same limit.
LOG_SECONDS = 60.0

#: What happens when a limit is reached, by its name.
LIMITS: Mapping[str, str] = {
    "bodies": "too many bodies were being received: the oldest was refused",
    "connections": "too many connections: the one that had waited longest was closed",
    "connections-refused": "too many connections: a new one was refused",
    "job-watchers": "too many clients watch one job, kind, or all jobs: one may not wait",
    "slow-requests": "a client took too long to send a request: it was cut off",
    "slow-streams": "a client did not read its stream: it was cut off",
    "store": "the database had too much to do, or failed: a request was refused",
    "unread-answers": "a client did not read its answer: it was cut off",
    "watchers": "too many clients watch: one may not wait",
}


class Limits:
    """
    The limits of one server.

    @ivar reached: how often each limit was reached, by its name.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self.reached: Counter[str] = Counter()
        # How often each was reached, and when, as of its last line in the log.
        self._logged: dict[str, tuple[int, float]] = {}

    def note(self, name: str) -> None:
        """
        Note that a limit was reached.

        @param name: one of L{LIMITS}.
        """
        self.reached[name] += 1
        count, now = self.reached[name], self._reactor.seconds()
        last_count, last_time = self._logged.get(name, (0, -LOG_SECONDS))
        if not 0 <= now - last_time < LOG_SECONDS:
            self._logged[name] = count, now
            self._log.warn(
                "{what} ({count} times since this was last logged)",
                limit=name,
                what=LIMITS[name],
                count=count - last_count,
            )
