"""The values that a client returns: jobs, how they ended, and webhooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from statusjob.jobs import EventType, Job, JobFailure, Status


@dataclass(frozen=True, slots=True)
class WebhookRegistration:
    """
    A registered webhook.

    @ivar id: the id of the webhook; C{None} from servers of the original contract.
    @ivar secret: the secret, if the server has just made it; C{None} otherwise. It is never part
        of the C{repr}.
    """

    id: str | None = None
    secret: str | None = field(default=None, repr=False)


class LocatedJob(Job, frozen=True, kw_only=True):
    """
    A job that a client was told of by its server. It can be given to everything that watches or
    reports on a job.

    @ivar url: the base URL for those who watch the job.
    """

    url: str


@dataclass(frozen=True, slots=True)
class JobPage:
    """
    A page of a list of jobs.

    @ivar jobs: the jobs, the newest first.
    @ivar next: the cursor of the next page; C{None} on the last page.
    """

    jobs: tuple[LocatedJob, ...]
    next: str | None


class CreatedJob(LocatedJob, frozen=True, kw_only=True):
    """
    A job as its creator sees it.

    @ivar created_here: the time at which it was created, by the clock of its creator's reactor.
    @ivar webhook: the webhook that the creator asked for, with its secret if the server has just
        made one; C{None} if the creator asked for none.
    """

    created_here: float
    webhook: WebhookRegistration | None = None


@dataclass(frozen=True, slots=True)
class JobEnd:
    """
    How a job ended.

    @ivar result: C{COMPLETED} or C{ERROR}; C{PENDING} only if the monitoring was stopped before.
    @ivar job: the job as it ended; C{None} if the server told no more than the result, as servers
        of the original contract do.
    """

    result: Status
    job: Job | None = None

    @property
    def output(self) -> Any:
        """The output of the job; C{None} if it has none, or the server does not tell."""
        return None if self.job is None else self.job.output

    @property
    def error(self) -> JobFailure | None:
        """Why the job failed; C{None} if it did not, or the server does not tell."""
        return None if self.job is None else self.job.error


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """
    An update of a job that a webhook delivered.

    @ivar result: the result of the job.
    @ivar timestamp: the time of the update, in seconds since the epoch.
    @ivar type: the type of the event; C{None} from servers of the original contract.
    @ivar job: the job after the update; C{None} from servers of the original contract.
    """

    result: Status
    timestamp: float
    type: EventType | None = None
    job: Job | None = None
