"""What a server says of what it has made: a job, a webhook."""

from __future__ import annotations

from dataclasses import dataclass, field

from statusjob.jobs import Job


@dataclass(frozen=True, slots=True)
class WebhookRegistration:
    """
    What a server says of a webhook.

    @ivar id: C{None} from servers of the original contract.
    @ivar secret: only shown when the webhook is made; never part of the C{repr}.
    """

    id: str | None
    secret: str | None = field(repr=False)


class CreatedJob(Job, frozen=True, kw_only=True):
    """
    A job as its creator sees it. Whoever is to watch it needs no more than this.

    @ivar url: what to give to those who watch it as their base URL.
    @ivar created_here: when it was created, by the clock of its creator's reactor.
    @ivar webhook: the one that was asked for, with its secret if the server made one just now.
    """

    url: str
    created_here: float
    webhook: WebhookRegistration | None = None
