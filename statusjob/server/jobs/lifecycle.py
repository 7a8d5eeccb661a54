"""
The life of a job: it is created, reported on, cancelled and read.

Decides what a request means; the store enforces that nothing happens twice. Holds no state of its
own: the truth is in the store, and what follows from a change is announced in its transaction.
Knows nothing of HTTP. What becomes due with time is in L{statusjob.server.jobs.due}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from msgspec import UNSET
from twisted.internet.defer import Deferred

from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import CANCELLED, FAILED, Job, JobError, Status
from statusjob.server.errors import JobFinished, VersionMismatch
from statusjob.server.jobs.creation import Created, Simulator, create, find_created
from statusjob.server.store import job_lists, jobs
from statusjob.server.store.interface import Store, Tx
from statusjob.server.store.jobs import Poll
from statusjob.server.webhooks import registry
from statusjob.server.webhooks.registry import CheckAddress


class Lifecycle:
    """What may be asked of jobs: to create, report on, cancel and read them."""

    def __init__(
        self,
        store: Store,
        *,
        check_address: CheckAddress,
        simulator: Simulator,
    ) -> None:
        self._store = store
        self._check_address = check_address
        self._simulator = simulator

    def create(
        self, new: NewJob, *, key: str | None = None, key_hash: str | None = None
    ) -> Deferred[Created]:
        """
        Create a job, or find it if C{key} created it before.

        The Deferred fails with L{KeyReused}, L{statusjob.server.errors.WebhookConflict}, or with
        L{statusjob.contract.codec.BadInput} if its webhook is not acceptable.

        @param key_hash: a hash of the request's body.
        """
        return Deferred.fromCoroutine(self._create(new, key, key_hash))

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
            members = jobs.failure(JobError(CANCELLED))
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
        return self._store.read(lambda tx: jobs.poll(tx, job_id))

    def list(
        self, *, limit: int, before: str | None, result: Status | None, kind: str | None
    ) -> Deferred[tuple[list[Job], bool]]:
        """
        Jobs, the newest first; C{before} an id to go on from. A page of large ones is shorter.

        @return: fires with the page, and whether there are more.
        """
        return self._store.read(
            lambda tx: job_lists.page(tx, limit=limit, before=before, result=result, kind=kind)
        )

    def missing(self, job_ids: Collection[str]) -> Deferred[Sequence[str]]:
        """Those ids of which there is no job."""
        return self._store.read(lambda tx: job_lists.unknown_ids(tx, job_ids))

    def ids(self, *, limit: int, kind: str | None) -> Deferred[Sequence[str]]:
        """The ids of jobs, of one kind or all, the newest first."""
        return self._store.read(lambda tx: job_lists.ids(tx, limit=limit, kind=kind))

    async def _create(self, new: NewJob, key: str | None, key_hash: str | None) -> Created:
        if new.webhook is not None:
            registry.check(new.webhook)
            if key is not None:
                # A replay is answered even if the webhook could not be reached now.
                found = await self._store.read(lambda tx: find_created(tx, new, key, key_hash))
                if found is not None:
                    return found
            await self._check_address(new.webhook.url)
        return await self._store.write(
            lambda tx: create(tx, new, self._simulator, key=key, key_hash=key_hash)
        )


def _reported_error(report: Report) -> JobError:
    if report.error is UNSET or report.error is None:
        return JobError(FAILED)
    return JobError(report.error.code, report.error.message)


def _members(report: Report, now: float) -> dict[str, object]:
    """What a report sets, by column."""
    members: dict[str, object] = {}
    if report.result is Status.ERROR:
        members |= jobs.failure(_reported_error(report))
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
