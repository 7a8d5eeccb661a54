"""
The errors that the client library raises: one tree, below L{StatusjobError}.

No message contains a secret or a token. The only URL in any is the target of a redirection,
without its query.
"""

from __future__ import annotations

from typing import Any

from statusjob.contract import codec
from statusjob.contract.clamping import clamp_text
from statusjob.contract.jobs import ErrorReport
from statusjob.jobs import FAILED, Job


class StatusjobError(Exception):
    """
    The base class of all errors of the client library.

    @ivar output: the output of a job whose end could not be reported, on errors of
        L{WorkerClient<statusjob.client.work.worker_client.WorkerClient>}: it is not lost, but the
        server does not have it. C{None} on all other errors.
    """

    output: Any = None


class BadSetting(StatusjobError, ValueError):
    """An argument of a constructor is out of range; the message tells which one and why."""


class BadBaseURL(BadSetting):
    """A base URL is not an absolute C{http} or C{https} URL."""


class AlreadyMonitoring(StatusjobError):
    """C{start_monitoring} was called while the client was monitoring already."""


class NoWebhook(StatusjobError):
    """A webhook cannot be registered or unregistered, because no C{webhook_url} was given."""


class Transient(StatusjobError):
    """
    A failure that may be over at the next try.

    @ivar retry_after: the number of seconds that the server asked the client to wait, or C{None}.
    """

    retry_after: float | None = None


class Unreachable(Transient):
    """
    No complete answer arrived.

    @ivar kind: one of C{dns}, C{connect}, C{tls}, C{timeout} and C{too-big}.
    @ivar lasting: whether it can hardly get better by itself: there is no such host, or its
        certificate is not trusted.
    """

    def __init__(self, kind: str, reason: str, *, lasting: bool = False) -> None:
        super().__init__(f"no answer ({kind}): {reason}")
        self.kind = kind
        self.lasting = lasting


class BadAnswer(Transient):
    """An answer arrived that does not follow the HTTP contract."""


class Refused(StatusjobError):
    """
    The server refused a request.

    @ivar code: the HTTP status code.
    @ivar detail: the reason that the server gave.
    """

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class NotAuthorized(Refused):
    """The token is missing or wrong, or does not permit the request (401, 403)."""


class JobNotFound(Refused):
    """The job does not exist, or no longer, or the base URL is wrong (404)."""


class BadRequest(Refused):
    """The server does not accept what was sent (400, 413, 415, 422)."""


class Unavailable(Refused, Transient):
    """
    The server cannot answer now: 408, 425, 429, 5xx, or what a proxy answers in its place.

    That is any error that our servers would not word like that, after an answer of the server
    itself. Before one, it is 404 in the first five seconds.
    """


class JobFinished(Refused):
    """
    A report came too late: the job has ended already (409).

    @ivar job: the job as it ended.
    """

    def __init__(self, code: int, detail: str, *, job: Job) -> None:
        super().__init__(code, detail)
        self.job = job


class JobCancelled(JobFinished):
    """A report came too late: the job was cancelled, and its worker should stop."""


class JobFailed(StatusjobError):
    """
    Raised by the function that does the work (L{WorkerClient.run}) to let its job fail.

    @ivar code: the reason for programs: letters, digits, dots, dashes and underscores.
    @ivar message: the reason for people, or C{None}.
    @ivar output: the results so far, or C{None}.
    """

    def __init__(
        self, code: str = FAILED, message: str | None = None, *, output: Any = None
    ) -> None:
        """
        @param message: is truncated to 1 KiB.
        @param output: any JSON value of at most 256 KiB. One that cannot be reported is left out.
        @raise TypeError: if the code or the message is no text.
        @raise ValueError: if a server would not accept the code.
        """
        if not isinstance(code, str):
            raise TypeError(f"code must be a str, not {type(code).__name__}")
        if message is not None:
            message = clamp_text("message", message)
        super().__init__(code if message is None else f"{code}: {message}")
        codec.decode(codec.encode({"code": code}), ErrorReport)
        self.code = code
        self.message = message
        self.output = output


class BadOutput(StatusjobError, ValueError):
    """What the work returned cannot be a job's output: it is not JSON, too long or too deep."""


class RetriesExhausted(StatusjobError):
    """
    Too many consecutive tries failed, or they failed for too long.

    C{__cause__} is the last failure.

    @ivar failures: the number of consecutive failures.
    """

    def __init__(self, failures: int, last: Transient) -> None:
        super().__init__(f"{failures} failures in a row, the last: {last}")
        self.failures = failures
        self.__cause__ = last


class MonitoringTimeout(StatusjobError, TimeoutError):
    """The job did not end within the C{timeout} of the monitoring."""
