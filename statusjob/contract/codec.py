"""
JSON in, JSON out: the shapes of the HTTP contract and what they accept.

Pure. What comes in is decoded strictly into small values (wrong types, unknown
members, NUL, absurd nesting and out-of-range numbers are L{BadInput}); what
goes out is compact JSON. How a server's answers are read is in
L{statusjob.client.http.answers}.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from msgspec import (
    UNSET,
    DecodeError,
    Meta,
    Struct,
    UnsetType,
    ValidationError,
    json,
)

from statusjob.jobs import (
    CANCELLED,
    DEFAULT_KIND,
    DEMO_KIND,
    FAILED,
    TERMINAL_EVENTS,
    EventType,
    Job,
    Status,
)

T = TypeVar("T")

#: Longest body, and longest members, in bytes of UTF-8 (of compact JSON for the last two).
BODY_LIMIT = 1024 * 1024
MESSAGE_LIMIT = 1024
METADATA_LIMIT = 16 * 1024
OUTPUT_LIMIT = 256 * 1024
#: Deepest nesting of JSON that is taken in.
DEPTH_LIMIT = 32
#: Longest URL of a webhook, in characters.
URL_LIMIT = 2048

_CENTURY = 3_155_760_000.0
Seconds = Annotated[float, Meta(ge=0, le=_CENTURY)]
PositiveSeconds = Annotated[float, Meta(gt=0, le=_CENTURY)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Kind = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Code = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Url = Annotated[str, Meta(min_length=1, max_length=URL_LIMIT)]

#: The escape of NUL in JSON: its backslash is not itself escaped.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JOB_ID = re.compile(r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class BadInput(ValueError):
    """What was sent cannot be accepted; the message says what and where, for its sender."""


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


def event_types(asked: Collection[EventType]) -> tuple[EventType, ...]:
    """Event types without repetition, in one order whatever order they came in."""
    return tuple(each for each in EventType if each in asked)


class Confidential(Struct, frozen=True):
    """What is not shown where it is merely mentioned, such as a traceback: it holds secrets."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class NewWebhook(Confidential, frozen=True, forbid_unknown_fields=True):
    """A webhook to register; C{secret} C{None} asks the server to make one."""

    url: Url
    events: list[EventType] | None = None
    secret: str | None = None
    name: Name | None = None

    def __post_init__(self) -> None:
        if self.events == []:
            raise ValueError("`events` must name at least one event type")

    @property
    def event_types(self) -> tuple[EventType, ...]:
        """The types it is told."""
        return event_types(TERMINAL_EVENTS if self.events is None else self.events)


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


class Registration(Confidential, frozen=True):
    """C{webhooks/register} and C{webhooks/unregister}; old clients may send more, unheeded."""

    url: str | None = None
    secret: str | None = None


def decode(body: bytes, shape: type[T]) -> T:
    """
    Strictly read what a client sent.

    @param body: JSON; nothing at all stands for C{{}}.
    @raise BadInput: with words fit for the sender.
    """
    try:
        value = json.decode(body or b"{}", type=shape)
    except ValidationError as error:
        raise BadInput(str(error)) from None
    except DecodeError:
        raise BadInput("the body is not valid JSON") from None
    except RecursionError:
        raise BadInput(f"the JSON is nested deeper than {DEPTH_LIMIT} levels") from None
    except UnicodeDecodeError:
        raise BadInput("the body is not valid UTF-8") from None
    except OverflowError:
        raise BadInput("a number is out of range") from None
    if _ESCAPED_NUL.search(body):
        # Not every database can store it.
        raise BadInput("text must not contain NUL")
    return value


def canonical_hash(body: bytes) -> str:
    """SHA-256 (hex) of a JSON body that does not depend on the order of members or on space."""
    canonical = json.encode(json.decode(body or b"{}"), order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def is_job_id(text: str) -> bool:
    """Whether C{text} has the form of a job's id, so that looking it up is worth it."""
    return _JOB_ID.match(text) is not None


def _fits(name: str, encoded: bytes, limit: int) -> None:
    if len(encoded) > limit:
        raise ValueError(f"`{name}` is longer than {limit} bytes")


def _contained(name: str, value: object, limit: int) -> None:
    """Whether free JSON is small and shallow enough for whoever reads it later."""
    _fits(name, json.encode(value), limit)
    if too_deep(value):
        raise ValueError(f"`{name}` is nested deeper than {DEPTH_LIMIT} levels")


def too_deep(value: object) -> bool:
    """Whether free JSON is nested deeper than L{DEPTH_LIMIT}."""
    level: list[Any] = [[value]]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def rfc3339(seconds: float) -> str:
    """A time as JSON shows it: UTC with milliseconds, such as C{2024-11-23T18:00:00.123Z}."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.encode(value)


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
