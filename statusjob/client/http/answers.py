"""
Reads the bodies of servers' answers and of webhook deliveries.

Pure. Unknown members are ignored, because later servers may send more of them. A known member that
does not follow the contract is refused with L{BadInput}.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from datetime import datetime
from typing import Annotated, Any, TypeVar

from msgspec import DecodeError, Meta, Struct, json

from statusjob.client.errors import BadAnswer
from statusjob.client.models import WebhookEvent
from statusjob.contract.codec import DEPTH_LIMIT, BadInput, Fraction, is_too_deep
from statusjob.jobs import EVENT_BY_RESULT, FAILED, EventType, Job, JobFailure, Status

T = TypeVar("T")

#: The greatest version: every JSON reader can still distinguish it from the next smaller one.
MAX_VERSION = 2**53

Moment = Annotated[datetime, Meta(tz=True)]
Version = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
#: Milliseconds since the epoch, until the end of the year 9999 as in a C{Moment}.
Timestamp = Annotated[float, Meta(ge=0, lt=253_402_300_800_000)]
#: Our servers use UUIDs. Of any other server, an id must be printable ASCII, for databases.
JobId = Annotated[str, Meta(pattern=r"\A[!-~]{1,100}\Z")]


class _Error(Struct):
    code: str = FAILED
    message: str | None = None


class _JobAnswer(Struct):
    """A job as our server shows it; members that a later server adds are ignored."""

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
            error=None if self.error is None else JobFailure(self.error.code, self.error.message),
            metadata=self.metadata,
            deadline=self.deadline,
            heartbeat=self.heartbeat,
            simulated=self.simulated,
            created_at=self.created_at.timestamp(),
            updated_at=self.updated_at.timestamp(),
            finished_at=seconds(self.finished_at),
        )


class _PageAnswer(Struct):
    jobs: list[_JobAnswer]
    next: str | None = None


class _StatusAnswer(Struct):
    result: Status


class _TypeOnly(Struct):
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


def _read(body: bytes, shape: type[T]) -> T:
    try:
        # A byte order mark is not JSON, but some gateways write one (RFC 8259 8.1).
        return json.decode(body.removeprefix(BOM_UTF8), type=shape)
    except (DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise BadInput(f"not the expected answer: {error}") from None


def read_members(body: bytes, shape: type[T]) -> T:
    """
    Read those members of a server's JSON object that C{shape} has.

    @raise BadAnswer: if it is not JSON, or a member is missing or of another type.
    """
    try:
        return _read(body, shape)
    except BadInput as error:
        raise BadAnswer(str(error)) from None


def read_status(body: bytes) -> Status:
    """
    Read the answer to C{GET .../status}.

    @raise BadInput: if it is not a JSON object with a known C{result}.
    """
    return _read(body, _StatusAnswer).result


def read_job(body: bytes) -> Job:
    """
    Read a job from a server's answer.

    @raise BadInput: if it is not a job that follows the contract.
    """
    return _read(body, _JobAnswer).job()


def read_page(body: bytes) -> tuple[tuple[Job, ...], str | None]:
    """
    Read a page of a list of jobs from a server's answer.

    @return: the jobs, and the cursor of the next page if there is one.
    @raise BadInput: if it does not follow the contract.
    """
    page = _read(body, _PageAnswer)
    return tuple(each.job() for each in page.jobs), page.next


def read_event_type(body: bytes) -> str | None:
    """
    Read only the event type from the body of a webhook delivery.

    @return: the type, which L{read_webhook} may not be able to read: a test event, or a type that
        only later servers know. C{None} from servers of the original contract.
    @raise BadInput: if it is not a JSON object, or the type is not a string.
    """
    return _read(body, _TypeOnly).type


def read_webhook(body: bytes) -> WebhookEvent:
    """
    Read an update of a job from the body of a webhook delivery.

    @raise BadInput: if it is not an update that follows the contract.
    """
    payload = _read(body, _Payload)
    return WebhookEvent(
        result=payload.result,
        timestamp=payload.timestamp / 1000,
        type=payload.type,
        job=None if payload.job is None else payload.job.job(),
    )
