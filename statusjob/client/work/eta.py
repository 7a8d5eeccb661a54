"""
When a job will be done, estimated from its own progress.

Pure: times are arguments. The estimate assumes that the rest of the work goes
as fast as the work so far. It is smoothed, so that one slow piece of work does
not make it jump.
"""

from __future__ import annotations

#: Less progress than this says nothing about the end.
LEAST_PROGRESS = 0.02
#: Progress made in fewer seconds than this says nothing about the end.
LEAST_TIME = 1.0
#: The part of the way by which the estimate moves towards each new one.
_SMOOTHING = 0.5
#: No estimate is longer than a year (in seconds).
_LONGEST = 31_536_000.0


class EtaEstimate:
    """The estimated end of one job."""

    def __init__(self, now: float, progress: float) -> None:
        """
        @param progress: the progress made already, from 0 to 1.
        """
        self._begun = self._last = (now, progress)
        self._end: float | None = None

    def update(self, now: float, progress: float) -> float | None:
        """
        Take note of progress, and estimate how much longer the job will take.

        @param progress: the progress made by now, from 0 to 1. If it is less than before, the job
            has begun anew.
        @return: seconds from now; C{None} if there is no estimate.
        """
        last_time, last_progress = self._last
        self._last = (now, progress)
        if now < last_time or progress < last_progress:
            self._begun, self._end = self._last, None
        begun_time, begun_progress = self._begun
        gained, took = progress - begun_progress, now - begun_time
        if gained < LEAST_PROGRESS or took < LEAST_TIME:
            return None
        end = now + (1 - progress) * took / gained
        self._end = end if self._end is None else self._end + _SMOOTHING * (end - self._end)
        left = max(0.0, self._end - now) if progress < 1 else 0.0
        return left if left <= _LONGEST else None
