"""
What can go wrong for one who asks a server: one family of named errors.

No message holds a secret, a token or a URL.
"""

from __future__ import annotations

from statusjob.contract import codec
from statusjob.contract.jobs import Report
from statusjob.jobs import FAILED, Job


class StatusjobError(Exception):
    """The base of every error that the client library raises by itself."""


class BadSetting(StatusjobError, ValueError):
    """An argument of a constructor makes no sense; the message says which and why."""


class BadBaseURL(BadSetting):
    """A base URL is none."""


class AlreadyMonitoring(StatusjobError):
    """C{start_monitoring} was called while monitoring runs."""


class NoWebhook(StatusjobError):
    """A webhook was to be registered or unregistered, but no C{webhook_url} was given."""


class Transient(StatusjobError):
    """
    A failure that another try may not meet.

    @ivar retry_after: how many seconds the server asked to wait, or C{None}.
    """

    retry_after: float | None = None


class Unreachable(Transient):
    """
    No complete answer came.

    @ivar kind: C{dns}, C{connect}, C{tls}, C{timeout} or C{too-big}.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"no answer ({kind}): {reason}")
        self.kind = kind


class BadAnswer(Transient):
    """An answer came that the HTTP contract does not know."""


class Refused(StatusjobError):
    """
    The server answered that it will not.

    @ivar code: the HTTP status.
    @ivar detail: why, in the server's words.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotAuthorized(Refused):
    """The token is missing, wrong or not enough (401, 403)."""


class JobNotFound(Refused):
    """There is no such job, or no longer (404)."""


class BadRequest(Refused):
    """The server cannot accept what was sent (400, 413, 415, 422)."""


class Unavailable(Refused, Transient):
    """The server cannot answer now (408, 425, 429, 5xx)."""


class JobFinished(Refused):
    """
    A report came too late (409).

    @ivar job: the job as it ended.
    """

    def __init__(self, code: int, detail: str, *, job: Job) -> None:
        super().__init__(code, detail)
        self.job = job


class JobCancelled(JobFinished):
    """A report came too late, because somebody cancelled the job: its worker should stop."""


class JobFailed(StatusjobError):
    """
    For work to raise (L{WorkerClient.run}): its job has failed, for this reason.

    @ivar code: for machines: letters, digits, dots, dashes, underscores.
    @ivar message: for people, at most 1 KiB.
    """

    def __init__(self, code: str = FAILED, message: str | None = None) -> None:
        """
        @raise ValueError: if a server would not take that.
        """
        super().__init__(code if message is None else f"{code}: {message}")
        self.code = code
        self.message = message
        self.members = {"result": "error", "error": {"code": code, "message": message}}
        codec.decode(codec.encode(self.members), Report)


class RetriesExhausted(StatusjobError):
    """
    Too many tries failed in a row; C{__cause__} is the last failure.

    @ivar failures: how many.
    """

    def __init__(self, failures: int, last: Transient) -> None:
        super().__init__(f"{failures} failures in a row, the last: {last}")
        self.failures = failures
        self.__cause__ = last


class MonitoringTimeout(StatusjobError):
    """The job did not end within the C{timeout} of the monitoring."""
