"""
The life of a job: it is created, reported on, cancelled and read.

Decides what a request means; the store enforces that nothing happens twice. Holds no state of its
own: the truth is in the store, and what follows from a change is announced in its transaction.
Knows nothing of HTTP. What becomes due with time is in L{statusjob.server.jobs.due}.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import UNSET
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.contract.codec import same_json
from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import CANCELLED, FAILED, Job, JobFailure, Status
from statusjob.server.errors import JobFinished, VersionMismatch
from statusjob.server.jobs.creation import Created, Simulator, create, find_created
from statusjob.server.store import job_lists, jobs
from statusjob.server.store.interface import Store, StoreUnavailable, Tx
from statusjob.server.store.job_lists import JobPage, States
from statusjob.server.store.jobs import Poll
from statusjob.server.webhooks import registry
from statusjob.server.webhooks.registry import DEFAULT_LIMITS, CheckAddress, WebhookLimits


class Lifecycle:
    """What may be asked of jobs: to create, report on, cancel and read them."""

    _log = Logger()

    def __init__(
        self,
        store: Store,
        *,
        check_address: CheckAddress,
        simulator: Simulator,
        limits: WebhookLimits = DEFAULT_LIMITS,
        unheard: Callable[[], None] = lambda: None,
    ) -> None:
        """
        @param unheard: is called whenever a report cannot be stored.
        """
        self._store = store
        self._check_address = check_address
        self._simulator = simulator
        self._limits = limits
        self._unheard = unheard

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
        Change a job as its worker reports. A terminal report may be repeated.

        The Deferred fails with L{UnknownJob}, L{JobFinished} or L{VersionMismatch}.

        @param versions: the job must be at one of these versions; any version will do if there
            are none.
        @return: fires with the job after the report.
        """

        def work(tx: Tx) -> Job:
            members = _members(report, tx.now)
            job = jobs.change(tx, job_id, members, versions=versions, heard=True)
            return job or _unchanged(tx, job_id, versions, lambda job: _repeats(report, job))

        return self._store.write(work).addErrback(self._not_stored)

    def cancel(self, job_id: str, *, versions: Collection[int] = ()) -> Deferred[Job]:
        """
        End a job as C{error}, with the code C{cancelled}. Its worker learns of it when it reports
        next. A cancellation may be repeated.

        The Deferred fails with L{UnknownJob}, L{JobFinished} or L{VersionMismatch}.

        @param versions: as for L{report}.
        @return: fires with the job after its cancellation.
        """

        def work(tx: Tx) -> Job:
            members = jobs.failure(JobFailure(CANCELLED))
            job = jobs.change(tx, job_id, members, versions=versions)
            return job or _unchanged(
                tx, job_id, versions, lambda job: job.error == JobFailure(CANCELLED)
            )

        return self._store.write(work)

    def get(self, job_id: str | None) -> Deferred[Job]:
        """
        Read a job. The Deferred fails with L{UnknownJob}.

        @param job_id: C{None} for the demo job.
        """
        return self._store.read(lambda tx: jobs.get(tx, job_id))

    def poll(self, job_id: str | None) -> Deferred[Poll]:
        """
        Read the part of a job that answers a poll. The Deferred fails with L{UnknownJob}.

        @param job_id: C{None} for the demo job.
        """
        return self._store.read(lambda tx: jobs.poll(tx, job_id))

    def list(
        self, *, limit: int, before: str | None, result: Status | None, kind: str | None
    ) -> Deferred[tuple[list[Job], str | None]]:
        """
        List jobs, the newest first. One that cannot be read is logged and left out.

        @param before: go on after the job of this id.
        @param result: only jobs with this result.
        @param kind: only jobs of this kind.
        @return: fires with at most C{limit} jobs, fewer if they are large, and the id after which
            the next page begins, if there is one.
        """

        def listed(page: JobPage) -> tuple[list[Job], str | None]:
            self._log_unreadable(page.unreadable)
            return page.jobs, page.after

        reading = self._store.read(
            lambda tx: job_lists.page(tx, limit=limit, before=before, result=result, kind=kind)
        )
        return reading.addCallback(listed)

    def get_many(self, job_ids: Collection[str]) -> Deferred[Mapping[str, Job | None]]:
        """
        Read jobs by their ids; C{None} for an id that belongs to no job. One that cannot be read
        is logged, and as if it was not there.

        @return: a Deferred of fewer than were asked for if they are large.
        """

        def found(states: States) -> Mapping[str, Job | None]:
            self._log_unreadable(states.unreadable)
            return states.by_id

        return self._store.read(lambda tx: job_lists.states(tx, job_ids)).addCallback(found)

    def unknown_ids(self, job_ids: Collection[str]) -> Deferred[Sequence[str]]:
        """Find those of the ids that belong to no job."""
        return self._store.read(lambda tx: job_lists.unknown_ids(tx, job_ids))

    def ids(self, *, limit: int, kind: str | None) -> Deferred[Sequence[str]]:
        """
        List ids of jobs, the newest first.

        @param kind: only of jobs of this kind.
        """
        return self._store.read(lambda tx: job_lists.ids(tx, limit=limit, kind=kind))

    def _log_unreadable(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            self._log.error("the job {id} cannot be read: lists leave it out", id=job_id)

    def _not_stored(self, failure: Failure) -> Failure:
        if failure.check(StoreUnavailable) is not None:
            self._unheard()
        return failure

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
            lambda tx: create(tx, new, self._simulator, self._limits, key=key, key_hash=key_hash)
        )


def _reported_error(report: Report) -> JobFailure:
    if report.error is UNSET or report.error is None:
        return JobFailure(FAILED)
    return JobFailure(report.error.code, report.error.message)


def _members(report: Report, now: float) -> dict[str, object]:
    """The columns that a report sets, with their new values."""
    members: dict[str, object] = {}
    if report.result is Status.ERROR:
        members |= jobs.failure(_reported_error(report))
    elif report.result is Status.COMPLETED:
        members["result"] = report.result.value
    if report.output is not UNSET and "result" in members:
        members["output"] = report.output
    if report.progress is not UNSET:
        members["progress"] = report.progress
    if report.message is not UNSET:
        members["message"] = report.message
    if report.eta is not UNSET and "result" not in members:
        members["eta_at"] = None if report.eta is None else round(now + report.eta, 3)
    return members


def _repeats(report: Report, job: Job) -> bool:
    """Whether a terminal job is as this report would make it."""
    return (
        report.result is job.result
        and (report.progress is UNSET or report.progress == job.progress)
        and (report.message is UNSET or report.message == job.message)
        and (report.output is UNSET or same_json(report.output, job.output))
        and (job.error is None or job.error == _reported_error(report))
    )


def _unchanged(
    tx: Tx, job_id: str, versions: Collection[int], accept: Callable[[Job], bool]
) -> Job:
    """
    Explain why a job was not changed.

    @param accept: whether a terminal job is as the change would have made it.
    @return: the job, if C{accept} is true of it.
    @raise UnknownJob: if there is no such job.
    @raise VersionMismatch: if it is at another version.
    @raise JobFinished: if it is terminal.
    """
    job = jobs.get(tx, job_id)
    if job.result.terminal and accept(job):
        return job
    if versions and job.version not in versions:
        raise VersionMismatch(job)
    raise JobFinished(job)
