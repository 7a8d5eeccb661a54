"""
Jobs in JSON: the bodies of requests about jobs, and how jobs are shown.

Pure. Decode the shapes by L{statusjob.contract.codec.decode}, which is strict.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import (
    UNSET,
    Meta,
    Struct,
    UnsetType,
    json,
)

from statusjob.contract.codec import DEPTH_LIMIT, Fraction, Kind, is_too_deep, rfc3339
from statusjob.contract.webhooks import NewWebhook
from statusjob.jobs import CANCELLED, DEFAULT_KIND, DEMO_KIND, FAILED, Job, Status

#: The longest members, in bytes: of UTF-8 for a message, of compact JSON for the others.
MESSAGE_LIMIT = 1024
METADATA_LIMIT = 16 * 1024
OUTPUT_LIMIT = 256 * 1024

#: The longest time in seconds that a job can mention.
CENTURY = 3_155_760_000.0
Seconds = Annotated[float, Meta(ge=0, le=CENTURY)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=CENTURY)]
Code = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]


class ErrorReport(Struct, frozen=True, forbid_unknown_fields=True):
    """The C{error} of a report: a code for programs, and a message for people."""

    code: Code = FAILED
    message: str | None = None


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A worker's report on its job (C{PATCH /jobs/ID}).

    A member that is left out (C{UNSET}) keeps its value, and C{None} clears it.

    @ivar progress: from 0 to 1.
    @ivar message: about the progress, for people; at most L{MESSAGE_LIMIT} bytes.
    @ivar eta: seconds from now until the worker expects to be done.
    @ivar result: the result; a terminal one ends the job.
    @ivar output: any JSON value of at most L{OUTPUT_LIMIT} bytes; with a terminal result only.
    @ivar error: why the job failed; with the result C{error} only.
    """

    progress: Fraction | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    eta: Seconds | UnsetType | None = UNSET
    result: Status | UnsetType = UNSET
    output: Any = UNSET
    error: ErrorReport | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.output is not UNSET and self.output is not None:
            if self.result is UNSET or not self.result.terminal:
                raise ValueError("`output` goes only with the result `completed` or `error`")
            _check_size_and_depth("output", self.output, OUTPUT_LIMIT)
        if isinstance(self.error, ErrorReport):
            if self.result is not Status.ERROR:
                raise ValueError("`error` goes only with the result `error`")
            _check_size("error.message", (self.error.message or "").encode(), MESSAGE_LIMIT)
        if isinstance(self.message, str):
            _check_size("message", self.message.encode(), MESSAGE_LIMIT)


class Simulation(Struct, frozen=True, forbid_unknown_fields=True):
    """
    How a simulated job is to go.

    @ivar delay: seconds until the job ends; C{None} for the server's setting.
    @ivar error_rate: the probability, from 0 to 1, that the job ends as C{error}; C{None} for the
        server's setting.
    """

    delay: Seconds | None = None
    error_rate: Fraction | None = None


class NewJob(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A job to create (C{POST /jobs}). Every member may be left out.

    @ivar kind: groups jobs of the same sort.
    @ivar metadata: any JSON object of at most L{METADATA_LIMIT} bytes.
    @ivar deadline: seconds from creation after which the job ends as C{error}.
    @ivar heartbeat: the longest time in seconds between two reports, counted from the first one.
    @ivar webhook: a webhook to register for the job.
    @ivar simulate: lets the server play the worker.
    """

    kind: Kind = DEFAULT_KIND
    metadata: dict[str, Any] | None = None
    deadline: PositiveSeconds | None = None
    heartbeat: PositiveSeconds | None = None
    webhook: NewWebhook | None = None
    simulate: Simulation | None = None

    def __post_init__(self) -> None:
        if self.kind == DEMO_KIND:
            raise ValueError(f"the kind `{DEMO_KIND}` is the server's own")
        if self.metadata is not None:
            _check_size_and_depth("metadata", self.metadata, METADATA_LIMIT)


def _check_size(name: str, encoded: bytes, limit: int) -> None:
    if len(encoded) > limit:
        raise ValueError(f"`{name}` is longer than {limit} bytes")


def _check_size_and_depth(name: str, value: object, limit: int) -> None:
    """Refuse a JSON value that is too long, or nested too deep for its readers."""
    _check_size(name, json.encode(value), limit)
    if is_too_deep(value):
        raise ValueError(f"`{name}` is nested deeper than {DEPTH_LIMIT} levels")


def status_body(result: Status) -> bytes:
    """The body of C{GET /status}, as the original contract has it to the byte."""
    return b'{"result":"%b"}' % result.encode()


def job_to_json(job: Job, prefix: str = "") -> dict[str, Any]:
    """
    Show a job as the API does. An unknown member is C{None}, and never left out.

    @param job: the job.
    @param prefix: the path of the server's public URL, without a slash at its end.
    @return: an object to encode as JSON.
    """
    path = f"{prefix}/jobs/{job.id}"

    def moment(seconds: float | None) -> str | None:
        return None if seconds is None else rfc3339(seconds)

    return {
        "id": job.id,
        "kind": job.kind,
        "result": job.result,
        "version": job.version,
        "progress": job.progress,
        "message": job.message,
        "eta_at": moment(job.eta_at),
        "output": job.output,
        "error": None
        if job.error is None
        else {"code": job.error.code, "message": job.error.message},
        "metadata": job.metadata,
        "deadline": job.deadline,
        "heartbeat": job.heartbeat,
        "simulated": job.simulated,
        "created_at": moment(job.created_at),
        "updated_at": moment(job.updated_at),
        "finished_at": moment(job.finished_at),
        "duration": job.duration,
        "links": {
            "self": path,
            "status": f"{path}/status",
            "operation": f"{path}/operation",
            "events": f"{path}/events",
        },
    }


def operation_to_json(job: Job, location: str | None = None) -> dict[str, Any]:
    """
    Show a job in the shape of Azure's asynchronous operations.

    @param job: the job.
    @param location: the absolute URL of the job, if it is known. Clients look there when the
        operation has ended; they cannot use a path.
    @return: an object to encode as JSON.
    """
    if job.error is None:
        status = "Running" if job.result is Status.PENDING else "Succeeded"
    else:
        status = "Canceled" if job.error.code == CANCELLED else "Failed"
    operation: dict[str, Any] = {"id": job.id, "status": status}
    if location is not None:
        operation["resourceLocation"] = location
    if job.progress is not None:
        operation["percentComplete"] = round(100 * job.progress, 1)
    if job.error is not None:
        operation["error"] = {"code": job.error.code, "message": job.error.message or ""}
    return operation


def webhook_payload(job: Job, prefix: str = "") -> bytes:
    """
    Make the body of a delivery that tells of an update.

    @param job: the job after the update. Its C{updated_at} becomes the C{timestamp}, in
        milliseconds.
    @param prefix: the path of the server's public URL, without a slash at its end.
    @return: JSON.
    """
    return json.encode(
        {
            "result": job.result,
            "timestamp": round(job.updated_at * 1000),
            "type": job.event_type,
            "job": job_to_json(job, prefix),
        }
    )
