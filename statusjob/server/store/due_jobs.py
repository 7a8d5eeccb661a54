"""
Alarms of jobs in SQL: which jobs are due for a deadline, a heartbeat or a simulated step.
"""

from __future__ import annotations

from typing import NamedTuple

from statusjob.server.store.interface import Tx


class DueJob(NamedTuple):
    """
    A job whose alarm is due, with everything that can make it due. Times are seconds since the
    epoch.

    @ivar begun_at: when it was created. If the clock was set back since then, this has moved along
        with it.
    @ivar deadline_at: when its deadline ends; C{None} if it has none.
    @ivar heartbeat: seconds of silence after which its worker counts as lost; C{None} for any.
    @ivar heard_at: when its worker was heard last, or when a server that could not hear counts as
        having heard it; C{None} before its first report.
    @ivar simulated_delay: the age in seconds at which a simulated job ends; C{None} for others.
    @ivar simulated_result: how a simulated job ends; C{None} for others.
    """

    id: str
    begun_at: float
    deadline_at: float | None
    heartbeat: float | None
    heard_at: float | None
    simulated_delay: float | None
    simulated_result: str | None


_DUE_JOB = (
    "SELECT id, begun_at, begun_at + deadline, heartbeat, heard_at, simulated_delay,"
    " simulated_result FROM jobs WHERE due_at <= :now"
)


def due(tx: Tx, limit: int) -> list[DueJob]:
    """Jobs whose alarm is due, the earliest first."""
    rows = tx.all(f"{_DUE_JOB} ORDER BY due_at LIMIT :limit", now=tx.now, limit=limit)
    return [DueJob(*row) for row in rows]


def due_ids(tx: Tx, limit: int) -> list[str]:
    """The ids of jobs whose alarm is due, the earliest first. Nothing else of them is read."""
    rows = tx.all(
        "SELECT id FROM jobs WHERE due_at <= :now ORDER BY due_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [row["id"] for row in rows]


def find_due(tx: Tx, job_id: str) -> DueJob | None:
    """One job, if its alarm is due."""
    row = tx.one(f"{_DUE_JOB} AND id = :id", now=tx.now, id=job_id)
    return None if row is None else DueJob(*row)


def next_due(tx: Tx) -> float | None:
    """When the next alarm is due, in seconds since the epoch; C{None} if no job has one."""
    row = tx.one("SELECT MIN(due_at) AS due_at FROM jobs WHERE due_at IS NOT NULL")
    return None if row is None else row["due_at"]


def count_as_heard(tx: Tx, job_id: str, heard_at: float) -> None:
    """Let a job's worker count as heard at a time, in seconds since the epoch."""
    tx.execute("UPDATE jobs SET heard_at = :heard_at WHERE id = :id", heard_at=heard_at, id=job_id)


def set_aside(tx: Tx, job_id: str, seconds: float) -> None:
    """Let no alarm of a job be due for so many seconds."""
    tx.execute(
        "UPDATE jobs SET set_aside_until = :until WHERE id = :id",
        until=tx.now + seconds,
        id=job_id,
    )
