"""
How many failures in a row a run tolerates.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from statusjob.client.errors import RetriesExhausted, Transient
from statusjob.client.http.hopeless import is_hopeless


class Patience:
    """
    Counts the failures of one run.

    @ivar failures: how many there were in a row.
    """

    def __init__(self, clock: IReactorTime, max_retries: int) -> None:
        """
        @param max_retries: how many failures in a row are tolerated.
        """
        self.failures = 0
        self._clock = clock
        self._max_retries = max_retries
        self._since = 0.0

    def succeeded(self) -> None:
        """Take note of a request that did not fail."""
        self.failures = 0

    def failed(self, problem: Transient, *, answered: bool) -> None:
        """
        Take note of a failure.

        @param answered: whether any answer ever came.
        @raise RetriesExhausted: if there is no use in trying again.
        """
        now = self._clock.seconds()
        self.failures += 1
        if self.failures == 1 or now < self._since:
            self._since = now
        hopeless = is_hopeless(
            problem, failures=self.failures, seconds=now - self._since, answered=answered
        )
        if hopeless or self.failures > self._max_retries:
            raise RetriesExhausted(self.failures, problem)
