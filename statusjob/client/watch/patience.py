"""
How many failures in a row a run tolerates.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from statusjob.client.errors import RetriesExhausted, Transient, Unreachable

#: What can hardly get better by itself, while nothing was ever answered: a name that does not
#: exist, or a certificate that is not trusted. It is tolerated for so many tries and so many
#: seconds: a container's name, for example, appears once the container runs.
_HOPELESS = frozenset(("dns", "tls"))
HOPELESS_TRIES = 5
HOPELESS_TIME = 30.0


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
        is_hopeless = (
            isinstance(problem, Unreachable)
            and problem.kind in _HOPELESS
            and not answered
            and self.failures >= HOPELESS_TRIES
            and now - self._since >= HOPELESS_TIME
        )
        if is_hopeless or self.failures > self._max_retries:
            raise RetriesExhausted(self.failures, problem)
