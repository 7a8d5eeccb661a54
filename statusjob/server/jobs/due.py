"""
What becomes due with time: deadlines, heartbeats and simulated steps of jobs, and the deletion of
old ones; and the demo job, which begins at each start.

Each function is the work of one transaction. When it runs is decided by
L{statusjob.server.alarms} and the service.
"""

from __future__ import annotations

from operator import itemgetter

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
from statusjob.server.store import due_jobs, jobs, retention
from statusjob.server.store.due_jobs import DueJob
from statusjob.server.store.interface import Tx

#: Jobs whose alarms are handled in one transaction.
ALARM_BATCH = 100
#: Old jobs that are deleted in one transaction, and the pause in seconds until the next one, so
#: that writers hardly notice.
RETENTION_BATCH = 20
RETENTION_PAUSE = 0.1


def handle_due_alarms(tx: Tx) -> float | None:
    """
    Handle the alarms of jobs that are due, at most L{ALARM_BATCH}.

    @return: when the next alarm is due, in seconds since the epoch: in the past if some are left,
        C{None} if no job has an alarm.
    """
    for job in due_jobs.due(tx, ALARM_BATCH):
        _handle_alarm(tx, job)
    return due_jobs.next_due(tx)


def _handle_alarm(tx: Tx, job: DueJob) -> None:
    """Change one job. Of all that should have ended it by now, the earliest counts."""
    ends = [
        (at, jobs.failure(JobFailure(code, message)))
        for at, code, message in (
            (job.deadline_at, DEADLINE_EXCEEDED, "it was not done by its deadline"),
            (job.lost_at, WORKER_LOST, "its worker fell silent"),
        )
        if at is not None and at <= tx.now
    ]
    members: dict[str, object] = {}
    step_at = None
    if job.simulated_delay is not None:
        progress, next_age = simulated_progress(tx.now - job.created_at, job.simulated_delay)
        members["progress"] = progress
        step_at = job.created_at + next_age
        if progress == 1:
            ends.append((step_at, _simulated_end(job)))
    if ends:
        _, members = min(ends, key=itemgetter(0))
    jobs.change(tx, job.id, members, step_at=step_at)


def _simulated_end(job: DueJob) -> dict[str, object]:
    if job.simulated_result == Status.ERROR:
        return jobs.failure(JobFailure(SIMULATED, "simulated to fail"))
    return {"result": job.simulated_result, "progress": 1.0}


def begin_demo(tx: Tx, simulator: Simulator) -> None:
    """Begin a new demo job. One that an earlier start left pending is deleted."""
    jobs.remove_demos(tx, new_job_id(tx.now, 0))
    creation.add(tx, NewJob(), kind=DEMO_KIND, simulated=simulator.draw(Simulation()))


def delete_expired(tx: Tx, seconds: float) -> float | None:
    """
    Delete a batch of jobs that ended longer than so many seconds ago, and a batch of everything
    else that nobody needs any more.

    @return: when to go on, in seconds since the epoch; C{None} if all of it is deleted.
    """
    more = retention.delete_batch(tx, tx.now - seconds, RETENTION_BATCH)
    return tx.now + RETENTION_PAUSE if more else None
