"""
Reading jobs for many streams: those that ask at the same time share what is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from statusjob.jobs import Job

#: Most jobs for which one stream asks at a time.
PAGE = 64
#: Reads are put together until there are as many jobs.
SHARED_PAGE = 256

#: The states of jobs by id; C{None} of a job that is not there any more. Jobs that were asked for
#: and are missing must be asked for again: the page was full.
States = Mapping[str, Job | None]


class JobReader:
    """
    Reads jobs, one page at a time. Whoever asks meanwhile gets the next page, which has all jobs
    that were asked for: a hundred streams that begin together cost little more than one.
    """

    def __init__(self, read: Callable[[Sequence[str]], Deferred[States]]) -> None:
        """
        @param read: reads the jobs with these ids.
        """
        self._read = read
        self._asked: deque[tuple[Sequence[str], Deferred[States]]] = deque()
        self._reading = False

    def read(self, job_ids: Sequence[str]) -> Deferred[States]:
        """
        Read jobs.

        @param job_ids: at most L{PAGE}.
        @return: a Deferred of their states, and perhaps those of other jobs. Each is as it was
            after this call, or later.
        """
        asked: Deferred[States] = Deferred()
        self._asked.append((job_ids, asked))
        if not self._reading:
            self._read_next()
        return asked

    def _read_next(self) -> None:
        self._reading = True
        wanted: dict[str, None] = {}
        askers = []
        while self._asked and len(wanted) < SHARED_PAGE:
            job_ids, asked = self._asked.popleft()
            wanted.update(dict.fromkeys(job_ids))
            askers.append(asked)
        self._read(tuple(wanted)).addBoth(self._tell, askers)

    def _tell(self, outcome: States | Failure, askers: Sequence[Deferred[States]]) -> None:
        self._reading = False
        if self._asked:
            self._read_next()
        for asked in askers:
            # A failure goes to every one of them.
            asked.callback(outcome)
