"""
Jobs and their events in SQL.

Every change of a job goes through L{record} or L{change}: the job's row, its
event and the deliveries that it causes are written in one transaction, and
announced. That a terminal job changes no more is enforced by the very statement
that changes it, never by reading first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from msgspec import json

from statusjob.jobs import DEMO_KIND, Job, JobError, Status
from statusjob.server.errors import UnknownJob
from statusjob.server.store.interface import Row, Tx, Update
from statusjob.server.store.outbox_write import write_deliveries

#: A page of a list ends after this many bytes of what workers wrote; jobs read at a time for it.
PAGE_BYTES = 512 * 1024
_PAGE_STEP = 8

#: A job's timeline holds at most this many events: the newest.
EVENTS_LIMIT = 100

_COLUMNS = (
    "id, kind, result, version, progress, message, eta_at, output, error_code, error_message,"
    " metadata, deadline, heartbeat, simulated_delay, created_at, updated_at, finished_at, due_at"
)

_POLL = "SELECT id, kind, result, eta_at, created_at, updated_at, finished_at FROM jobs"

#: Columns that a change may name, and that make a new version when they change.
CHANGEABLE = frozenset(
    {"result", "progress", "message", "eta_at", "output", "error_code", "error_message"}
)


def failure(error: JobError) -> dict[str, object]:
    """The columns that end a job as C{error}, for L{change}."""
    return {
        "result": Status.ERROR.value,
        "error_code": error.code,
        "error_message": error.message,
    }


def _text(value: object) -> str | None:
    return None if value is None else json.encode(value).decode()


def _job(row: Row) -> Job:
    # By position, in the order of _COLUMNS: every report comes through here, and looking up 18
    # columns by name took longer than the update itself.
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
        output=None if output is None else json.decode(output),
        error=None if error_code is None else JobError(error_code, error_message),
        metadata=None if metadata is None else json.decode(metadata),
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

    @param key: its idempotency key, if it has one, and C{key_hash} what was asked with it.
    @param simulated: for a simulated job, the age in seconds at which it ends, and as what;
        C{step_at} when it moves next.
    @return: C{None} if the key is taken; nothing is written then. Else what to announce with
        L{record}, once its webhook is registered.
    """
    row = tx.one(
        "INSERT INTO jobs (id, kind, result, version, metadata, deadline, heartbeat,"
        " simulated_delay, simulated_result, step_at, idempotency_key, idempotency_hash,"
        " created_at, updated_at)"
        " VALUES (:id, :kind, :result, :version, :metadata, :deadline, :heartbeat,"
        " :delay, :outcome, :step_at, :key, :key_hash, :created_at, :updated_at)"
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
    new = tx.execute(
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
    deliveries = 0
    if new:
        if job.version > EVENTS_LIMIT:
            tx.execute(
                "DELETE FROM events WHERE job_id = :id AND version <= :version",
                id=job.id,
                version=job.version - EVENTS_LIMIT,
            )
        deliveries = write_deliveries(tx, job)
    tx.announce(Update(job=job, changed=bool(new), due_at=update.due_at, deliveries=deliveries))


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
    Change a pending job, in one statement that does nothing to a terminal one.

    @param members: columns (of L{CHANGEABLE}) and their new values. If none differs, there is
        no new version.
    @param versions: the job must be at one of these; if there are none, at any.
    @param heard: whether a worker spoke, which renews the heartbeat.
    @param step_at: when a simulated job moves next.
    @return: the job as it is now, or C{None} if nothing was changed because there is no such
        job, it is terminal, or it is at another version.
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
    job = _job(row)
    record(tx, Update(job=job, due_at=row["due_at"]))
    return job


@lru_cache
def _update(names: tuple[str, ...], versions: int, ends: bool, heard: bool, steps: bool) -> str:
    """The statement of L{change}, for the columns named."""
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
        f" RETURNING {_COLUMNS}"
    )


def find(tx: Tx, job_id: str) -> Job | None:
    """The job of that id."""
    row = tx.one(f"SELECT {_COLUMNS} FROM jobs WHERE id = :id", id=job_id)
    return None if row is None else _job(row)


def get(tx: Tx, job_id: str | None) -> Job:
    """
    A job by its id, or the demo job for C{None}.

    @raise UnknownJob: if there is none.
    """
    wanted = demo_id(tx) if job_id is None else job_id
    job = None if wanted is None else find(tx, wanted)
    if job is None:
        raise UnknownJob
    return job


def find_by_key(tx: Tx, key: str) -> tuple[Job, str] | None:
    """The job that was created with an idempotency key, and what was asked with it (a hash)."""
    row = tx.one(
        f"SELECT {_COLUMNS}, idempotency_hash FROM jobs WHERE idempotency_key = :key", key=key
    )
    return None if row is None else (_job(row), row["idempotency_hash"])


def demo_id(tx: Tx) -> str | None:
    """The id of the newest demo job."""
    row = tx.one("SELECT MAX(id) AS id FROM jobs WHERE kind = :kind", kind=DEMO_KIND)
    return None if row is None else row["id"]


class Poll(NamedTuple):
    """What the answer to a poll is made of; each as in L{Job}."""

    id: str
    kind: str
    result: Status
    eta_at: float | None
    created_at: float
    updated_at: float
    finished_at: float | None


def poll(tx: Tx, job_id: str | None) -> Poll | None:
    """
    What a poll needs of a job.

    @param job_id: C{None} for the newest demo job.
    """
    if job_id is None:
        row = tx.one(f"{_POLL} WHERE kind = :kind ORDER BY id DESC LIMIT 1", kind=DEMO_KIND)
    else:
        row = tx.one(f"{_POLL} WHERE id = :id", id=job_id)
    if row is None:
        return None
    found_id, kind, result, *times = row
    return Poll(found_id, kind, Status(result), *times)


def newest(
    tx: Tx, *, limit: int, before: str | None, result: Status | None, kind: str | None
) -> tuple[list[Job], bool]:
    """
    Jobs, the newest first and the demo job left out.

    @param before: an id to go on from.
    @return: at most C{limit} of them, fewer if they are large (L{PAGE_BYTES}), and whether there
        are more.
    """
    conditions = ["kind <> :demo"]
    if kind is not None:
        conditions.append("kind = :kind")
    if result is not None:
        conditions.append("result = :result")
    jobs: list[Job] = []
    size = 0
    while True:
        # A few at a time: each may be large, and most pages are not.
        later = [*conditions, *(["id < :before"] if before is not None else [])]
        rows = tx.all(
            f"SELECT {_COLUMNS} FROM jobs WHERE {' AND '.join(later)}"
            " ORDER BY id DESC LIMIT :limit",
            kind=kind,
            demo=DEMO_KIND,
            result=None if result is None else result.value,
            before=before,
            limit=_PAGE_STEP,
        )
        for row in rows:
            if len(jobs) == limit or size > PAGE_BYTES:
                return jobs, True
            size += sum(len(row[name] or "") for name in ("output", "metadata", "message"))
            jobs.append(_job(row))
        if len(rows) < _PAGE_STEP:
            return jobs, False
        before = jobs[-1].id


def missing(tx: Tx, job_ids: Iterable[str]) -> list[str]:
    """Those ids of which there is no job."""
    sql = "SELECT 1 AS one FROM jobs WHERE id = :id"
    return [each for each in job_ids if tx.one(sql, id=each) is None]


def newest_ids(tx: Tx, *, limit: int, kind: str | None) -> list[str]:
    """The ids of jobs, the newest first and the demo job left out."""
    of_kind = "" if kind is None else " AND kind = :kind"
    rows = tx.all(
        f"SELECT id FROM jobs WHERE kind <> :demo{of_kind} ORDER BY id DESC LIMIT :limit",
        demo=DEMO_KIND,
        kind=kind,
        limit=limit,
    )
    return [row["id"] for row in rows]


def remove_demos(tx: Tx, after: str) -> None:
    """
    Forget demo jobs that an earlier server left pending, with their registrations, and those with
    an id above C{after}: they are from a clock that was set back, and the newest is the one that
    counts.
    """
    tx.execute(
        "DELETE FROM jobs WHERE kind = :kind AND (result = 'pending' OR id > :after)",
        kind=DEMO_KIND,
        after=after,
    )
