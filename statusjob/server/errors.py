"""
The errors of the server's domain. What each means over HTTP is decided in one place,
L{statusjob.server.web.problems}.
"""

from __future__ import annotations

from statusjob.jobs import Job


class UnknownJob(Exception):
    """There is no job of that id."""


class UnknownWebhook(Exception):
    """There is no webhook of that id."""


class WebhookConflict(Exception):
    """What is asked for cannot stand beside what there is; the message says why."""


class UnknownDelivery(Exception):
    """There is no delivery of that id to this webhook."""


class JobFinished(Exception):
    """The job is terminal and the change asked for is not what ended it."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"the job is {job.result} already")
        self.job = job


class VersionMismatch(Exception):
    """The job is not at the version that was asked for."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"the job is at version {job.version}")
        self.job = job


class KeyReused(Exception):
    """An idempotency key came again with another body."""


class TooManyWatchers(Exception):
    """There is no room for another watcher."""
