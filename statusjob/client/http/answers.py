"""
What servers answer and webhooks bring, read by those who wait and those who work.

Pure. Lenient about members that are not known, because the contract only grows;
what is known must be as the contract has it, else it is L{BadInput}.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Struct, json

from statusjob.contract.codec import DEPTH_LIMIT, BadInput, Fraction, is_too_deep
from statusjob.jobs import EVENT_BY_RESULT, FAILED, EventType, Job, JobError, Status

T = TypeVar("T")

#: The greatest version: every reader of JSON still tells it from the next.
MAX_VERSION = 2**53

Moment = Annotated[datetime, Meta(tz=True)]
Version = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
#: In milliseconds since the epoch; until the end of the year 9999, as in a C{Moment}.
Timestamp = Annotated[float, Meta(ge=0, lt=253_402_300_800_000)]
#: Ours are UUIDs; of any server it is plain text that a database can hold.
JobId = Annotated[str, Meta(pattern=r"\A[!-~]{1,100}\Z")]


class _Error(Struct):
    code: str = FAILED
    message: str | None = None


class _JobAnswer(Struct):
    """A job as a server of ours shows it; members that a later server adds are ignored."""

    id: JobId
    kind: str
    result: Status
    version: Version
    created_at: Moment
    updated_at: Moment
    progress: Fraction | None = None
    message: str | None = None
    eta_at: Moment | None = None
    output: Any = None
    error: _Error | None = None
    metadata: dict[str, Any] | None = None
    deadline: float | None = None
    heartbeat: float | None = None
    simulated: bool = False
    finished_at: Moment | None = None

    def __post_init__(self) -> None:
        if is_too_deep(self.output) or is_too_deep(self.metadata):
            raise ValueError(f"free JSON is nested deeper than {DEPTH_LIMIT} levels")

    def job(self) -> Job:
        def seconds(moment: datetime | None) -> float | None:
            return None if moment is None else moment.timestamp()

        return Job(
            id=self.id,
            kind=self.kind,
            result=self.result,
            version=self.version,
            progress=self.progress,
            message=self.message,
            eta_at=seconds(self.eta_at),
            output=self.output,
            error=None if self.error is None else JobError(self.error.code, self.error.message),
            metadata=self.metadata,
            deadline=self.deadline,
            heartbeat=self.heartbeat,
            simulated=self.simulated,
            created_at=self.created_at.timestamp(),
            updated_at=self.updated_at.timestamp(),
            finished_at=seconds(self.finished_at),
        )


class _StatusAnswer(Struct):
    result: Status


class _Typed(Struct):
    type: str | None = None


class _Payload(Struct):
    result: Status
    timestamp: Timestamp
    type: EventType | None = None
    job: _JobAnswer | None = None

    def __post_init__(self) -> None:
        if self.type not in (None, EVENT_BY_RESULT[self.result]):
            raise ValueError("`type` and `result` contradict each other")
        if self.job is not None and self.job.result is not self.result:
            raise ValueError("`job` and `result` contradict each other")


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """
    What a webhook brought.

    @ivar result: the job's result.
    @ivar timestamp: when it changed, in seconds since the epoch.
    @ivar type: what it tells, and
    @ivar job: the whole job; both C{None} from servers of the original contract.
    """

    result: Status
    timestamp: float
    type: EventType | None = None
    job: Job | None = None


def _read(body: bytes, shape: type[T]) -> T:
    try:
        return json.decode(body, type=shape)
    except (DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadInput(f"not the expected answer: {error}") from None


def read_status(body: bytes) -> Status:
    """
    Read the answer to C{GET .../status}.

    @raise BadInput: if it is no JSON object with a known C{result}.
    """
    return _read(body, _StatusAnswer).result


def read_job(body: bytes) -> Job:
    """
    Read a job from a server's answer.

    @raise BadInput: if it is not one.
    """
    return _read(body, _JobAnswer).job()


def read_event_type(body: bytes) -> str | None:
    """
    Read of the body that a webhook brought only which type it is of.

    @return: perhaps none that L{read_webhook} can read: a test, or what a later server tells.
        C{None} from servers of the original contract.
    @raise BadInput: if it is no JSON object, or the type no text.
    """
    return _read(body, _Typed).type


def read_webhook(body: bytes) -> WebhookEvent:
    """
    Read the body by which a webhook brought an update.

    @raise BadInput: if it is not that.
    """
    payload = _read(body, _Payload)
    return WebhookEvent(
        result=payload.result,
        timestamp=payload.timestamp / 1000,
        type=payload.type,
        job=None if payload.job is None else payload.job.job(),
    )
