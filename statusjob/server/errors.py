"""
The errors of the server's domain.

L{statusjob.server.web.problems} decides how each is answered over HTTP.
"""

from __future__ import annotations

from statusjob.jobs import Job


class UnknownJob(Exception):
    """There is no job with this id."""


class UnknownWebhook(Exception):
    """There is no webhook with this id."""


class WebhookConflict(Exception):
    """The request conflicts with registered webhooks or their deliveries; the message says how."""


class UnknownDelivery(Exception):
    """This webhook has no delivery with this id."""


class JobFinished(Exception):
    """
    The job is terminal, and not by the change that was requested.

    @ivar job: the job as it is now.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(f"the job is {job.result} already")
        self.job = job


class VersionMismatch(Exception):
    """
    The job is not at any of the requested versions.

    @ivar job: the job as it is now.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(f"the job is at version {job.version}")
        self.job = job


class KeyReused(Exception):
    """An idempotency key was used before, with another body."""


class TooManyWatchers(Exception):
    """There is no room for another watcher."""
