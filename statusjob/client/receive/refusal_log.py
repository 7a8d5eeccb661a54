"""
Logs why deliveries are refused: at a bounded rate, because anybody may send any number of them.
"""

from __future__ import annotations

from http import HTTPStatus

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: Fewest seconds between two lines about refusals with the same status code.
LOG_INTERVAL = 10.0


class RefusalLog:
    """The refusals of one receiver."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: measures the time between two lines.
        """
        self._clock = clock
        # By status code: when the last line was written, and how many refusals came since.
        self._lines: dict[HTTPStatus, tuple[float, int]] = {}

    def note(self, code: HTTPStatus, reason: str) -> None:
        """
        Log a refusal, or count it for the next line.

        @param reason: must not contain a secret.
        """
        now = self._clock.seconds()
        last, unlogged = self._lines.get(code, (now - LOG_INTERVAL, 0))
        if 0 <= now - last < LOG_INTERVAL:
            self._lines[code] = last, unlogged + 1
            return
        self._lines[code] = now, 0
        self._log.warn(
            "webhook refused with {code}: {reason!r} ({unlogged} more since the last such line)",
            code=int(code),
            reason=reason,
            unlogged=unlogged,
        )
