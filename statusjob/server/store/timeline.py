"""
The timeline in SQL: the newest events of each job.
"""

from __future__ import annotations

from statusjob.jobs import Job
from statusjob.server.store.interface import Tx

#: A timeline holds at most this many events; older ones are deleted.
EVENTS_LIMIT = 100


def add_event(tx: Tx, job: Job) -> bool:
    """
    Write the event of a job's present version.

    @return: whether the version is new: a job that did not change has its event already.
    """
    added = tx.execute(
        "INSERT INTO events (job_id, version, at, result, progress, message)"
        " VALUES (:id, :version, :at, :result, :progress, :message)"
        " ON CONFLICT (job_id, version) DO NOTHING",
        id=job.id,
        version=job.version,
        at=job.updated_at,
        result=job.result.value,
        progress=job.progress,
        message=job.message,
    )
    if added and job.version > EVENTS_LIMIT:
        tx.execute(
            "DELETE FROM events WHERE job_id = :id AND version <= :version",
            id=job.id,
            version=job.version - EVENTS_LIMIT,
        )
    return added > 0
