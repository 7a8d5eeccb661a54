"""
The estimates that the worker of one pending job has reported.
"""

from __future__ import annotations

from statusjob.server.forecast.outlook import Estimate

#: Most estimates that are remembered of one job.
ESTIMATES_PER_JOB = 8


class JobEstimates:
    """
    The estimates of the worker of one pending job.

    However many there are, at most L{ESTIMATES_PER_JOB} are kept, evenly spread over the job's
    life: a job that reports more often has no more to teach.

    @ivar eta_at: when the worker expects the job to end, in seconds since the epoch.
    @ivar since: when the worker reported that first, in seconds since the epoch.
    """

    __slots__ = ("_count", "_kept", "_stride", "eta_at", "since")

    def __init__(self) -> None:
        self.eta_at = self.since = 0.0
        self._kept: list[tuple[float, float]] = []
        self._count = 0
        self._stride = 1

    def add(self, at: float, eta_at: float) -> None:
        """
        Add an estimate. One that is reported again counts from its first time.

        @param at: when the worker reported, in seconds since the epoch.
        @param eta_at: when it expects the job to end, in seconds since the epoch.
        """
        if eta_at == self.eta_at:
            return
        self.since, self.eta_at = at, eta_at
        if self._count % self._stride == 0:
            if len(self._kept) == ESTIMATES_PER_JOB:
                del self._kept[1::2]
                self._stride *= 2
            self._kept.append((at, eta_at - at))
        self._count += 1

    def kept(self, created_at: float) -> list[Estimate]:
        """
        Give the estimates that are kept.

        @param created_at: when the job was created, in seconds since the epoch.
        @return: the estimates, the oldest first.
        """
        return [Estimate(at - created_at, left) for at, left in self._kept]
