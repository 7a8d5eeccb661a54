"""The objects that a server has created for a client: jobs and webhooks."""

from __future__ import annotations

from dataclasses import dataclass, field

from statusjob.jobs import Job


@dataclass(frozen=True, slots=True)
class WebhookRegistration:
    """
    A registered webhook.

    @ivar id: the id of the webhook; C{None} from servers of the original contract.
    @ivar secret: the secret, if the server has just made it; C{None} otherwise. It is never part
        of the C{repr}.
    """

    id: str | None
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class JobPage:
    """
    A page of a list of jobs.

    @ivar jobs: the jobs, the newest first.
    @ivar next: the cursor of the next page; C{None} on the last page.
    """

    jobs: tuple[Job, ...]
    next: str | None


class CreatedJob(Job, frozen=True, kw_only=True):
    """
    A job as its creator sees it. It can be given to everything that watches a job.

    @ivar url: the base URL for those who watch the job.
    @ivar created_here: the time at which it was created, by the clock of its creator's reactor.
    @ivar webhook: the webhook that the creator asked for, with its secret if the server has just
        made one; C{None} if the creator asked for none.
    """

    url: str
    created_here: float
    webhook: WebhookRegistration | None = None
