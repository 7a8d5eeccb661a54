"""
Jobs in JSON: what may be asked and reported of them, and how they are shown.

Pure, as L{statusjob.contract.codec} is, whose strictness holds here, too.
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

from statusjob.contract.codec import DEPTH_LIMIT, Fraction, Kind, rfc3339, too_deep
from statusjob.contract.webhooks import NewWebhook
from statusjob.jobs import CANCELLED, DEFAULT_KIND, DEMO_KIND, FAILED, Job, Status

#: Longest members, in bytes of UTF-8 (of compact JSON for the last two).
MESSAGE_LIMIT = 1024
METADATA_LIMIT = 16 * 1024
OUTPUT_LIMIT = 256 * 1024

_CENTURY = 3_155_760_000.0
Seconds = Annotated[float, Meta(ge=0, le=_CENTURY)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=_CENTURY)]
Code = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]


class ErrorReport(Struct, frozen=True, forbid_unknown_fields=True):
    """The C{error} of a report."""

    code: Code = FAILED
    message: str | None = None


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """
    What a worker says of its job (C{PATCH /jobs/{id}}).

    A member left out (C{UNSET}) stays as it is, C{None} clears it.

    @ivar eta: seconds from now until the worker expects to be done.
    """

    progress: Fraction | UnsetType | None = UNSET
    message: str | UnsetType | None = UNSET
    eta: Seconds | UnsetType | None = UNSET
    result: Status | UnsetType = UNSET
    output: Any = UNSET
    error: ErrorReport | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.output is not UNSET and self.output is not None:
            if self.result is not Status.COMPLETED:
                raise ValueError("`output` goes only with the result `completed`")
            _contained("output", self.output, OUTPUT_LIMIT)
        if isinstance(self.error, ErrorReport):
            if self.result is not Status.ERROR:
                raise ValueError("`error` goes only with the result `error`")
            _fits("error.message", (self.error.message or "").encode(), MESSAGE_LIMIT)
        if isinstance(self.message, str):
            _fits("message", self.message.encode(), MESSAGE_LIMIT)


class Simulation(Struct, frozen=True, forbid_unknown_fields=True):
    """
    How a simulated job is to go.

    @ivar delay: seconds until it ends; C{None} for the server's setting.
    @ivar error_rate: probability, 0 to 1, that it ends as C{error}; C{None} likewise.
    """

    delay: Seconds | None = None
    error_rate: Fraction | None = None


class NewJob(Struct, frozen=True, forbid_unknown_fields=True):
    """A job to create (C{POST /jobs}); every member may be left out."""

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
            _contained("metadata", self.metadata, METADATA_LIMIT)


def _fits(name: str, encoded: bytes, limit: int) -> None:
    if len(encoded) > limit:
        raise ValueError(f"`{name}` is longer than {limit} bytes")


def _contained(name: str, value: object, limit: int) -> None:
    """Whether free JSON is small and shallow enough for whoever reads it later."""
    _fits(name, json.encode(value), limit)
    if too_deep(value):
        raise ValueError(f"`{name}` is nested deeper than {DEPTH_LIMIT} levels")


def status_body(result: Status) -> bytes:
    """The original contract's answer, to the byte."""
    return b'{"result":"%b"}' % result.encode()


def job_to_json(job: Job, prefix: str = "") -> dict[str, Any]:
    """
    A job as the API shows it: what is not known is C{None}, never left out.

    @param prefix: path under which the server is reached (from its public URL), without a
        slash at its end.
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
    A job in the shape of Azure's asynchronous operations.

    @param location: the job's absolute URL, if it is known: when all is done, clients look there
        (and cannot make use of a path).
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
    """The body that brings an update to webhooks; C{timestamp} is milliseconds."""
    return json.encode(
        {
            "result": job.result,
            "timestamp": round(job.updated_at * 1000),
            "type": job.event_type,
            "job": job_to_json(job, prefix),
        }
    )
