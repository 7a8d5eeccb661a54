"""
Jobs in SQL: they are added, changed and read here.

Every change of a job goes through L{record} or L{change}: the job's row, its event and the
deliveries that it causes are written in one transaction, and announced. A terminal job never
changes again: the statement that changes a job sees to that, and nothing is read before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import DecodeError, json

from statusjob.jobs import DEMO_KIND, Job, JobFailure, Status
from statusjob.server.errors import UnknownJob
from statusjob.server.store.interface import Row, Tx, UnreadableRow, Update
from statusjob.server.store.outbox_write import write_deliveries
from statusjob.server.store.timeline import add_event

#: The columns that L{job_of} needs, in their order.
COLUMNS = (
    "id, kind, result, version, progress, message, eta_at, output, error_code, error_message,"
    " metadata, deadline, heartbeat, simulated_delay, created_at, updated_at, finished_at, due_at"
)

_POLL = "SELECT id, version, kind, result, eta_at, created_at, updated_at, finished_at FROM jobs"

#: Columns that L{change} may set. A new value makes a new version.
CHANGEABLE = frozenset(
    {"result", "progress", "message", "eta_at", "output", "error_code", "error_message"}
)


def failure(error: JobFailure) -> dict[str, object]:
    """The columns that end a job as C{error}, for L{change}."""
    return {
        "result": Status.ERROR.value,
        "error_code": error.code,
        "error_message": error.message,
    }


def _text(value: object) -> str | None:
    return None if value is None else json.encode(value).decode()


def _value(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.decode(text)
    except DecodeError:
        raise UnreadableRow("the output or the metadata of a job is not JSON") from None


def job_of(row: Row) -> Job:
    """
    The job in a row that begins with L{COLUMNS}.

    @raise UnreadableRow: if its output or its metadata cannot be read.
    """
    # By position: every report comes through here, and looking up 18 columns by name took longer
    # than the update itself.
    (
        job_id,
        kind,
        result,
        version,
        progress,
        message,
        eta_at,
        output,
        error_code,
        error_message,
        metadata,
        deadline,
        heartbeat,
        simulated_delay,
        created_at,
        updated_at,
        finished_at,
        *_,
    ) = row
    return Job(
        id=job_id,
        kind=kind,
        result=Status(result),
        version=version,
        progress=progress,
        message=message,
        eta_at=eta_at,
        output=_value(output),
        error=None if error_code is None else JobFailure(error_code, error_message),
        metadata=_value(metadata),
        deadline=deadline,
        heartbeat=heartbeat,
        simulated=simulated_delay is not None,
        created_at=created_at,
        updated_at=updated_at,
        finished_at=finished_at,
    )


def add(
    tx: Tx,
    job: Job,
    *,
    key: str | None = None,
    key_hash: str | None = None,
    simulated: tuple[float, Status] | None = None,
    step_at: float | None = None,
) -> Update | None:
    """
    Write a new job.

    @param key: its idempotency key, if it has one.
    @param key_hash: a hash of the request that came with the key.
    @param simulated: the age in seconds at which a simulated job ends, and its result.
    @param step_at: when a simulated job changes next, in seconds since the epoch.
    @return: the update for L{record}, which must follow once the job's webhook is registered;
        C{None} if the key is taken, and then nothing is written.
    """
    row = tx.one(
        "INSERT INTO jobs (id, kind, result, version, metadata, deadline, heartbeat,"
        " simulated_delay, simulated_result, step_at, idempotency_key, idempotency_hash,"
        " created_at, begun_at, updated_at)"
        " VALUES (:id, :kind, :result, :version, :metadata, :deadline, :heartbeat,"
        " :delay, :outcome, :step_at, :key, :key_hash, :created_at, :created_at, :updated_at)"
        " ON CONFLICT (idempotency_key) DO NOTHING RETURNING due_at",
        id=job.id,
        kind=job.kind,
        result=job.result.value,
        version=job.version,
        metadata=_text(job.metadata),
        deadline=job.deadline,
        heartbeat=job.heartbeat,
        delay=None if simulated is None else simulated[0],
        outcome=None if simulated is None else simulated[1].value,
        step_at=step_at,
        key=key,
        key_hash=key_hash,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )
    return None if row is None else Update(job=job, due_at=row["due_at"])


def record(tx: Tx, update: Update) -> None:
    """Write the event of an update and the deliveries that it causes, and announce it."""
    job = update.job
    assert job is not None
    new = add_event(tx, job)
    deliveries = write_deliveries(tx, job) if new else 0
    tx.announce(Update(job=job, changed=new, due_at=update.due_at, deliveries=deliveries))


def change(
    tx: Tx,
    job_id: str,
    members: Mapping[str, object],
    *,
    versions: Collection[int] = (),
    heard: bool = False,
    step_at: float | None = None,
) -> Job | None:
    """
    Change a pending job, and record that. A terminal job is left as it is.

    @param members: columns of L{CHANGEABLE}, with their new values. If no value differs, there is
        no new version.
    @param versions: the job must be at one of these versions; any version will do if there are
        none.
    @param heard: whether the job's worker reports, which renews the heartbeat.
    @param step_at: when a simulated job changes next, in seconds since the epoch.
    @return: the job as it is now; C{None} if there is no such job, if it is terminal or if it is
        at another version.
    """
    ends = members.get("result", Status.PENDING) != Status.PENDING
    values = {f"version_{i}": version for i, version in enumerate(versions)}
    row = tx.one(
        _update(tuple(members), len(versions), ends, heard, step_at is not None),
        id=job_id,
        now=tx.now,
        step_at=step_at,
        **{name: _text(v) if name == "output" else v for name, v in members.items()},
        **values,
    )
    if row is None:
        return None
    job = job_of(row)
    record(tx, Update(job=job, due_at=row["due_at"]))
    return job


@lru_cache
def _update(names: tuple[str, ...], versions: int, ends: bool, heard: bool, steps: bool) -> str:
    """The statement of L{change} for these columns."""
    assert set(names) <= CHANGEABLE, names
    differs = " OR ".join(f"{name} IS DISTINCT FROM :{name}" for name in names) or "FALSE"
    assignments = [f"{name} = :{name}" for name in names]
    assignments += [
        f"version = CASE WHEN {differs} THEN version + 1 ELSE version END",
        f"updated_at = CASE WHEN {differs} THEN :now ELSE updated_at END",
    ]
    if ends:
        assignments += ["finished_at = :now", "eta_at = NULL"]
    if heard:
        assignments.append("heard_at = :now")
    if steps:
        assignments.append("step_at = :step_at")
    conditions = ["id = :id", "result = 'pending'"]
    if versions:
        places = ", ".join(f":version_{i}" for i in range(versions))
        conditions.append(f"version IN ({places})")
    return (
        f"UPDATE jobs SET {', '.join(assignments)} WHERE {' AND '.join(conditions)}"
        f" RETURNING {COLUMNS}"
    )


def get(tx: Tx, job_id: str | None) -> Job:
    """
    A job by its id, or the demo job for C{None}.

    @raise UnknownJob: if there is none.
    """
    wanted = demo_id(tx) if job_id is None else job_id
    row = tx.one(f"SELECT {COLUMNS} FROM jobs WHERE id = :id", id=wanted)
    if row is None:
        raise UnknownJob
    return job_of(row)


def find_by_key(tx: Tx, key: str) -> tuple[Job, str] | None:
    """The job that was created with an idempotency key, and the hash of that request."""
    row = tx.one(
        f"SELECT {COLUMNS}, idempotency_hash FROM jobs WHERE idempotency_key = :key", key=key
    )
    return None if row is None else (job_of(row), row["idempotency_hash"])


def demo_id(tx: Tx) -> str | None:
    """The id of the newest demo job, if there is one."""
    row = tx.one("SELECT MAX(id) AS id FROM jobs WHERE kind = :kind", kind=DEMO_KIND)
    return None if row is None else row["id"]


class Poll(NamedTuple):
    """The part of a job that answers a poll; each member is as in L{Job}."""

    id: str
    version: int
    kind: str
    result: Status
    eta_at: float | None
    created_at: float
    updated_at: float
    finished_at: float | None

    @classmethod
    def of(cls, job: Job) -> Poll:
        """This part of a job that is known already."""
        return cls(
            job.id,
            job.version,
            job.kind,
            job.result,
            job.eta_at,
            job.created_at,
            job.updated_at,
            job.finished_at,
        )


def poll(tx: Tx, job_id: str | None) -> Poll:
    """
    The part of a job that answers a poll.

    @param job_id: C{None} for the newest demo job.
    @raise UnknownJob: if there is none.
    """
    if job_id is None:
        row = tx.one(f"{_POLL} WHERE kind = :kind ORDER BY id DESC LIMIT 1", kind=DEMO_KIND)
    else:
        row = tx.one(f"{_POLL} WHERE id = :id", id=job_id)
    if row is None:
        raise UnknownJob
    found_id, version, kind, result, *times = row
    return Poll(found_id, version, kind, Status(result), *times)


def remove_demos(tx: Tx, after: str) -> None:
    """
    Delete demo jobs that an earlier start left pending, with their webhooks.

    @param after: demo jobs with a greater id are deleted, too. They are from before the clock was
        set back, and would count as the newest.
    """
    deleted = tx.all(
        "DELETE FROM jobs WHERE kind = :kind AND (result = 'pending' OR id > :after) RETURNING id",
        kind=DEMO_KIND,
        after=after,
    )
    for row in deleted:
        tx.announce(Update(deleted=row["id"]))
