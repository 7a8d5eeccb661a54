"""
What becomes due with time: deadlines, heartbeats and simulated steps of jobs; and the demo job,
which begins at each start.

When this runs is decided by L{statusjob.server.alarms} and the service.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter

from twisted.logger import Logger

from statusjob.contract.jobs import NewJob, Simulation
from statusjob.jobs import (
    DEADLINE_EXCEEDED,
    DEMO_KIND,
    SIMULATED,
    WORKER_LOST,
    JobFailure,
    Status,
    new_job_id,
    simulated_progress,
)
from statusjob.server.jobs import creation
from statusjob.server.jobs.creation import Simulator
from statusjob.server.jobs.listening import Listening
from statusjob.server.store import due_jobs, jobs
from statusjob.server.store.due_jobs import DueJob
from statusjob.server.store.interface import Store, StoreUnavailable, Tx

#: Jobs whose alarms are handled in one transaction.
ALARM_BATCH = 100
#: A job whose alarm cannot be handled is set aside for so many seconds.
SET_ASIDE = 3600.0
#: Once the server listens again, a worker has the time of its job's heartbeat to be heard, but at
#: most so many seconds: a server that is restarted often would never miss it otherwise.
LONGEST_GRACE = 300.0


class DueJobs:
    """Handles the alarms of jobs that are due."""

    _log = Logger()

    def __init__(self, store: Store, listening: Listening) -> None:
        self._store = store
        self._listening = listening

    async def handle(self) -> float | None:
        """
        Handle the alarms that are due, at most L{ALARM_BATCH}. A job whose alarm cannot be handled
        is logged and set aside, and holds up no other.

        @return: when the next alarm is due, in seconds since the epoch: in the past if some are
            left, C{None} if no job has an alarm.
        @raise StoreUnavailable: if nothing can be stored.
        """
        handle = partial(handle_due_alarms, listened=self._listening.seconds)
        try:
            return await self._store.write(handle)
        except StoreUnavailable:
            # What workers reported meanwhile could not be stored, either.
            self._listening.interrupt()
            raise
        except Exception:
            # One of these jobs, and what had been done for the others is undone.
            await self._handle_singly()
            return await self._store.read(due_jobs.next_due)

    async def _handle_singly(self) -> None:
        bad = []
        for job_id in await self._store.read(lambda tx: due_jobs.due_ids(tx, ALARM_BATCH)):
            try:
                await self._store.write(partial(self._handle_one, job_id=job_id))
            except StoreUnavailable:
                raise
            except Exception:
                self._log.failure(
                    "the alarm of job {id} cannot be handled: it is set aside for {seconds:.0f} s",
                    id=job_id,
                    seconds=SET_ASIDE,
                )
                bad.append(job_id)
        for job_id in bad:
            await self._store.write(partial(due_jobs.set_aside, job_id=job_id, seconds=SET_ASIDE))

    def _handle_one(self, tx: Tx, job_id: str) -> None:
        job = due_jobs.find_due(tx, job_id)
        if job is not None:
            _handle_alarm(tx, job, self._listening.seconds())


def handle_due_alarms(tx: Tx, listened: Callable[[], float]) -> float | None:
    """
    Handle the alarms of jobs that are due, at most L{ALARM_BATCH}.

    @param listened: gives the seconds for which the server has been able to hear workers.
    @return: as that of L{DueJobs.handle}.
    """
    for job in due_jobs.due(tx, ALARM_BATCH):
        _handle_alarm(tx, job, listened())
    return due_jobs.next_due(tx)


def _handle_alarm(tx: Tx, job: DueJob, listened: float) -> None:
    """Change one job. Of all that should have ended it by now, the earliest counts."""
    ends = [
        (at, jobs.failure(JobFailure(code, message)))
        for at, code, message in (
            (job.deadline_at, DEADLINE_EXCEEDED, "it was not done by its deadline"),
            (_lost_at(tx, job, listened), WORKER_LOST, "its worker fell silent"),
        )
        if at is not None and at <= tx.now
    ]
    members: dict[str, object] = {}
    step_at = None
    if job.simulated_delay is not None:
        progress, next_age = simulated_progress(tx.now - job.begun_at, job.simulated_delay)
        members["progress"] = progress
        step_at = job.begun_at + next_age
        if progress == 1:
            ends.append((step_at, _simulated_end(job)))
    if ends:
        _, members = min(ends, key=itemgetter(0))
    elif job.simulated_delay is None:
        return
    jobs.change(tx, job.id, members, step_at=step_at)


def _lost_at(tx: Tx, job: DueJob, listened: float) -> float | None:
    """
    When a job's worker counts as lost, in seconds since the epoch; C{None} if it never does.

    If the server has not listened for long enough to tell, that is later than it was, and the
    job's alarm is moved on.
    """
    if job.heartbeat is None or job.heard_at is None:
        return None
    lost_at = job.heard_at + job.heartbeat
    told_at = tx.now - listened + min(job.heartbeat, LONGEST_GRACE)
    if lost_at <= tx.now < told_at:
        due_jobs.count_as_heard(tx, job.id, told_at - job.heartbeat)
    return max(lost_at, told_at)


def _simulated_end(job: DueJob) -> dict[str, object]:
    if job.simulated_result == Status.ERROR:
        return jobs.failure(JobFailure(SIMULATED, "simulated to fail"))
    return {"result": job.simulated_result, "progress": 1.0}


def begin_demo(tx: Tx, simulator: Simulator) -> None:
    """Begin a new demo job. One that an earlier start left pending is deleted."""
    jobs.remove_demos(tx, new_job_id(tx.now, 0))
    creation.add(tx, NewJob(), kind=DEMO_KIND, simulated=simulator.draw(Simulation()))
