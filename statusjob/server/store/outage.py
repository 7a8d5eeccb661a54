"""
Saying in the log when the database begins to fail, and when it works again.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

#: Seconds without a failure after which the database counts as working again.
CALM_SECONDS = 10.0


class Outage:
    """
    The outages of a database, for reads or for writes. An outage is logged once when it begins and
    once when it is over, however many calls fail in between.
    """

    _log = Logger()

    def __init__(self, what: str, monotonic: Callable[[], float]) -> None:
        """
        @param what: what fails, in words for people.
        @param monotonic: gives the seconds of a clock that nobody sets.
        """
        self._what = what
        self._monotonic = monotonic
        self._failed_at: float | None = None
        self._failures = 0

    def note_failure(self, error: BaseException) -> None:
        """Note that the database failed, for one or more calls."""
        if self._failed_at is None:
            self._failures = 0
            self._log.error("{what} fails: {error}", what=self._what, error=error)
        self._failed_at = self._monotonic()
        self._failures += 1

    def note_success(self) -> None:
        """Note that the database works."""
        if self._failed_at is None or self._monotonic() < self._failed_at + CALM_SECONDS:
            return
        self._failed_at = None
        self._log.info(
            "{what} works again, after {failures} failures",
            what=self._what,
            failures=self._failures,
        )
