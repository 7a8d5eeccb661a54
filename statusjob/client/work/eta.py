"""
When a job will be done, told from its own progress.

Pure: times are arguments. As much again as has taken so long takes as long
again; what that says is drawn towards what was said before, so that one slow
piece of work does not make the end jump about.
"""

from __future__ import annotations

#: Less progress than this, or in less time (seconds), says nothing.
LEAST_PROGRESS = 0.02
LEAST_TIME = 1.0
#: The part of the way that an estimate goes towards the next one.
_PULL = 0.5
#: What would take longer than a year (seconds) will not be waited for.
_LONGEST = 31_536_000.0


class Extrapolation:
    """The progress of one job, and its end."""

    def __init__(self, now: float, progress: float) -> None:
        """
        @param progress: what was done already, 0 to 1.
        """
        self._from = self._last = (now, progress)
        self._end: float | None = None

    def told(self, now: float, progress: float) -> float | None:
        """
        How much longer it will take.

        @param progress: what is done now. If that is less than before, it began anew.
        @return: seconds; C{None} if there is no telling.
        """
        before, done = self._last
        self._last = (now, progress)
        if now < before or progress < done:
            self._from, self._end = self._last, None
        begun, had = self._from
        gained, took = progress - had, now - begun
        if gained < LEAST_PROGRESS or took < LEAST_TIME:
            return None
        end = now + (1 - progress) * took / gained
        self._end = end if self._end is None else self._end + _PULL * (end - self._end)
        left = max(0.0, self._end - now) if progress < 1 else 0.0
        return left if left <= _LONGEST else None
