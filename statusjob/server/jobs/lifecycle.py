"""
The life of a job: created, reported on, cancelled, ended by an alarm, forgotten.

Decides what a request means; the store enforces that nothing happens twice.
Holds no state of its own: truth lives in the store, and what follows from a
change is announced in its transaction. Knows nothing of HTTP.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from random import SystemRandom

from msgspec import UNSET
from twisted.internet.defer import Deferred

from statusjob.contract.jobs import NewJob, Report, Simulation
from statusjob.jobs import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    DEMO_KIND,
    FAILED,
    SIMULATED,
    WORKER_LOST,
    Job,
    JobError,
    Status,
    new_job_id,
    simulated_progress,
)
from statusjob.server.errors import JobFinished, KeyReused, UnknownJob, VersionMismatch
from statusjob.server.store import jobs, webhooks
from statusjob.server.store.interface import Row, Store, Tx
from statusjob.server.store.jobs import Poll
from statusjob.server.store.retention import expire, forget_origins, forget_removed, forget_secrets
from statusjob.server.webhooks import registry
from statusjob.server.webhooks.registry import CheckAddress, Registered

_system_random = SystemRandom().random

#: Jobs whose alarms are dealt with in one transaction, and expired jobs deleted in one.
ALARM_BATCH = 100
EXPIRY_BATCH = 20


@dataclass(frozen=True, slots=True)
class Created:
    """
    What came of a request to create a job.

    @ivar replayed: whether an earlier request with the same key had created it.
    """

    job: Job
    webhook: Registered | None = None
    replayed: bool = False


class Lifecycle:
    """
    All that happens to jobs.

    @ivar delay: seconds that simulated jobs take unless they say otherwise, and
    @ivar error_rate: the probability that they fail.
    """

    def __init__(
        self,
        store: Store,
        *,
        delay: float = 15.0,
        error_rate: float = 0.2,
        check_address: CheckAddress,
        random: Callable[[], float] = _system_random,
    ) -> None:
        self._store = store
        self._check_address = check_address
        self._random = random
        self.delay = delay
        self.error_rate = error_rate

    def create(
        self, new: NewJob, *, key: str | None = None, key_hash: str | None = None
    ) -> Deferred[Created]:
        """
        Create a job, or find it if C{key} created it before.

        @raise statusjob.contract.codec.BadInput: if its webhook is not acceptable.

        The Deferred fails with L{KeyReused}, L{registrations.WebhookConflict}, or
        L{statusjob.contract.codec.BadInput} if its webhook may not be reached.
        """
        if new.webhook is None:
            return self._store.write(lambda tx: self._create(tx, new, key, key_hash))
        registry.check(new.webhook)
        return Deferred.fromCoroutine(self._create_checked(new, new.webhook.url, key, key_hash))

    def report(
        self, job_id: str, report: Report, *, versions: Collection[int] = ()
    ) -> Deferred[Job]:
        """
        A worker's word on its job. A terminal report may be repeated.

        @param versions: only if the job is at one of these.

        The Deferred fails with L{UnknownJob}, L{JobFinished} or L{VersionMismatch}.
        """

        def work(tx: Tx) -> Job:
            members = _members(report, tx.now)
            job = jobs.change(tx, job_id, members, versions=versions, heard=True)
            return job or _unchanged(tx, job_id, versions, lambda job: _repeats(report, job))

        return self._store.write(work)

    def cancel(self, job_id: str, *, versions: Collection[int] = ()) -> Deferred[Job]:
        """
        End a job as C{error}, code C{cancelled}; its worker learns of it when it next reports.

        The Deferred fails with L{UnknownJob}, L{JobFinished} or L{VersionMismatch}.
        """

        def work(tx: Tx) -> Job:
            members = _failure(JobError(CANCELLED))
            job = jobs.change(tx, job_id, members, versions=versions)
            return job or _unchanged(
                tx, job_id, versions, lambda job: job.error == JobError(CANCELLED)
            )

        return self._store.write(work)

    def get(self, job_id: str | None) -> Deferred[Job]:
        """The job, or the demo job for C{None}; fails with L{UnknownJob}."""
        return self._store.read(lambda tx: jobs.get(tx, job_id))

    def poll(self, job_id: str | None) -> Deferred[Poll]:
        """
        What a poll asks for; fails with L{UnknownJob}.

        @param job_id: C{None} for the demo job.
        """

        def work(tx: Tx) -> Poll:
            found = jobs.poll(tx, job_id)
            if found is None:
                raise UnknownJob
            return found

        return self._store.read(work)

    def list(
        self, *, limit: int, before: str | None, result: Status | None, kind: str | None
    ) -> Deferred[tuple[list[Job], bool]]:
        """
        Jobs, the newest first; C{before} an id to go on from. A page of large ones is shorter.

        @return: fires with the page, and whether there are more.
        """
        return self._store.read(
            lambda tx: jobs.newest(tx, limit=limit, before=before, result=result, kind=kind)
        )

    def missing(self, job_ids: Collection[str]) -> Deferred[Sequence[str]]:
        """Those ids of which there is no job."""
        return self._store.read(lambda tx: jobs.missing(tx, job_ids))

    def ids(self, *, limit: int, kind: str | None) -> Deferred[Sequence[str]]:
        """The ids of jobs, of one kind or all, the newest first."""
        return self._store.read(lambda tx: jobs.newest_ids(tx, limit=limit, kind=kind))

    def begin_demo(self, tx: Tx) -> None:
        """Begin the demo job anew; one that an earlier start left pending is forgotten."""
        jobs.remove_demos(tx, new_job_id(tx.now, 0))
        self._add(tx, NewJob(), kind=DEMO_KIND, simulation=Simulation())

    def ring(self, tx: Tx) -> float | None:
        """
        Deal with alarms that are due, at most L{ALARM_BATCH}.

        @return: when the next one rings: in the past if some are left.
        """
        for row in jobs.due(tx, ALARM_BATCH):
            self._alarm(tx, row)
        return jobs.next_due(tx)

    def expire(self, tx: Tx, retention: float) -> bool:
        """
        Forget a batch of jobs that ended longer than C{retention} seconds ago.

        @return: whether there may be more.
        """
        gone = expire(tx, tx.now - retention, EXPIRY_BATCH)
        forgotten = forget_removed(tx, EXPIRY_BATCH)
        forget_origins(tx, EXPIRY_BATCH)
        forget_secrets(tx)
        return max(gone, forgotten) == EXPIRY_BATCH

    async def _create_checked(
        self, new: NewJob, url: str, key: str | None, key_hash: str | None
    ) -> Created:
        if key is not None:
            # What was created is told again even if its webhook could not be reached now.
            known = await self._store.read(lambda tx: _known(tx, new, key, key_hash))
            if known is not None:
                return known
        await self._check_address(url)
        return await self._store.write(lambda tx: self._create(tx, new, key, key_hash))

    def _create(self, tx: Tx, new: NewJob, key: str | None, key_hash: str | None) -> Created:
        job, webhook = self._add(
            tx, new, kind=new.kind, simulation=new.simulate, key=key, key_hash=key_hash
        )
        if job is not None:
            return Created(job, webhook)
        assert key is not None
        known = _known(tx, new, key, key_hash)
        assert known is not None
        return known

    def _add(
        self,
        tx: Tx,
        new: NewJob,
        *,
        kind: str,
        simulation: Simulation | None,
        key: str | None = None,
        key_hash: str | None = None,
    ) -> tuple[Job | None, Registered | None]:
        """Add a job with its webhook, unless its key is taken."""
        now = tx.now
        job = Job(
            id=new_job_id(now, secrets.randbits(74)),
            kind=kind,
            metadata=new.metadata,
            deadline=new.deadline,
            heartbeat=new.heartbeat,
            simulated=simulation is not None,
            created_at=now,
            updated_at=now,
        )
        simulated, step_at = None, None
        if simulation is not None:
            delay = self.delay if simulation.delay is None else simulation.delay
            rate = self.error_rate if simulation.error_rate is None else simulation.error_rate
            simulated = (delay, Status.ERROR if self._random() < rate else Status.COMPLETED)
            step_at = now + simulated_progress(0, delay)[1]
        update = jobs.add(
            tx, job, key=key, key_hash=key_hash, simulated=simulated, step_at=step_at
        )
        if update is None:
            return None, None
        webhook = None
        if new.webhook is not None:
            webhook = registry.register(tx, new.webhook, job_id=job.id)
        jobs.record(tx, update)
        return job, webhook

    def _alarm(self, tx: Tx, row: Row) -> None:
        """One job's alarm: of all that has ended it by now, what was first is what happens."""
        ends = [
            (at, _failure(JobError(code, message)))
            for at, code, message in (
                (row["deadline_at"], DEADLINE_EXCEEDED, "it was not done by its deadline"),
                (row["lost_at"], WORKER_LOST, "its worker fell silent"),
            )
            if at is not None and at <= tx.now
        ]
        members: dict[str, object] = {}
        step_at = None
        if row["simulated_delay"] is not None:
            progress, next_age = simulated_progress(
                tx.now - row["created_at"], row["simulated_delay"]
            )
            members["progress"] = progress
            step_at = row["created_at"] + next_age
            if progress == 1:
                ends.append((step_at, _simulated_end(row["simulated_result"])))
        if ends:
            _, members = min(ends, key=itemgetter(0))
        jobs.change(tx, row["id"], members, step_at=step_at)


def _known(tx: Tx, new: NewJob, key: str, key_hash: str | None) -> Created | None:
    """
    What an earlier request with this key created, if one did.

    @raise KeyReused: if that was with another body.
    """
    found = jobs.find_by_key(tx, key)
    if found is None:
        return None
    job, hash_then = found
    if hash_then != key_hash:
        raise KeyReused
    webhook = None
    if new.webhook is not None:
        # A replay gives the whole answer again: the first may never have arrived.
        row = webhooks.find(tx, new.webhook.url, job_id=job.id)
        webhook = None if row is None else Registered(row["id"], row["secret"])
    return Created(job, webhook, replayed=True)


def _failure(error: JobError) -> dict[str, object]:
    return {
        "result": Status.ERROR.value,
        "error_code": error.code,
        "error_message": error.message,
    }


def _simulated_end(result: str) -> dict[str, object]:
    if result == Status.ERROR:
        return _failure(JobError(SIMULATED, "simulated to fail"))
    return {"result": result, "progress": 1.0}


def _reported_error(report: Report) -> JobError:
    if report.error is UNSET or report.error is None:
        return JobError(FAILED)
    return JobError(report.error.code, report.error.message)


def _members(report: Report, now: float) -> dict[str, object]:
    """What a report sets, by column."""
    members: dict[str, object] = {}
    if report.result is Status.ERROR:
        members |= _failure(_reported_error(report))
    elif report.result is Status.COMPLETED:
        members["result"] = report.result.value
        if report.output is not UNSET:
            members["output"] = report.output
    if report.progress is not UNSET:
        members["progress"] = report.progress
    if report.message is not UNSET:
        members["message"] = report.message
    if report.eta is not UNSET and "result" not in members:
        members["eta_at"] = None if report.eta is None else round(now + report.eta, 3)
    return members


def _repeats(report: Report, job: Job) -> bool:
    """Whether a report would leave a terminal job just as it is."""
    return (
        report.result is job.result
        and (report.progress is UNSET or report.progress == job.progress)
        and (report.message is UNSET or report.message == job.message)
        and (report.output is UNSET or report.output == job.output)
        and (job.error is None or job.error == _reported_error(report))
    )


def _unchanged(
    tx: Tx, job_id: str, versions: Collection[int], accept: Callable[[Job], bool]
) -> Job:
    """
    Say why a change was not made.

    @param accept: whether a terminal job is just what the change would have made of it.
    @return: the job, if so.
    """
    job = jobs.get(tx, job_id)
    if job.result.terminal and accept(job):
        return job
    if versions and job.version not in versions:
        raise VersionMismatch(job)
    raise JobFinished(job)
