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

    @ivar deadline_at: when its deadline ends; C{None} if it has none.
    @ivar lost_at: when its worker counts as lost; C{None} without a heartbeat or a report.
    @ivar simulated_delay: the age in seconds at which a simulated job ends; C{None} for others.
    @ivar simulated_result: how a simulated job ends; C{None} for others.
    """

    id: str
    created_at: float
    deadline_at: float | None
    lost_at: float | None
    simulated_delay: float | None
    simulated_result: str | None


def due(tx: Tx, limit: int) -> list[DueJob]:
    """Jobs whose alarm is due, the earliest first."""
    rows = tx.all(
        "SELECT id, created_at, created_at + deadline, heard_at + heartbeat,"
        " simulated_delay, simulated_result"
        " FROM jobs WHERE due_at <= :now ORDER BY due_at LIMIT :limit",
        now=tx.now,
        limit=limit,
    )
    return [DueJob(*row) for row in rows]


def next_due(tx: Tx) -> float | None:
    """When the next alarm is due, in seconds since the epoch; C{None} if no job has one."""
    row = tx.one("SELECT MIN(due_at) AS due_at FROM jobs WHERE due_at IS NOT NULL")
    return None if row is None else row["due_at"]
