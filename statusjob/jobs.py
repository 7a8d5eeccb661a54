"""
What a job is: frozen values and the few rules that concern nothing but them.

Pure: no I/O, no clock, no randomness; the present and random numbers are
arguments. Who may change a job, and how that is made durable, is decided by
L{statusjob.server.jobs.lifecycle} and the store. Times are seconds since the epoch
(UTC, a float, whole milliseconds), durations are seconds.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from msgspec import Struct

#: The kind of a job that names none, and the kind of the simulated job behind C{/status}.
DEFAULT_KIND = "default"
DEMO_KIND = "demo"

#: Error codes that the server itself gives; a worker may report any code of its own.
FAILED = "failed"
CANCELLED = "cancelled"
DEADLINE_EXCEEDED = "deadline-exceeded"
WORKER_LOST = "worker-lost"
SIMULATED = "simulated"


class Status(StrEnum):
    """The result of a job. C{COMPLETED} and C{ERROR} are terminal: final for ever."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        """Whether no later result can follow."""
        return self is not Status.PENDING


class EventType(StrEnum):
    """What an update tells: the types that webhooks subscribe to."""

    PROGRESS = "job.progress"
    COMPLETED = "job.completed"
    ERROR = "job.error"


#: The type of a message that only tests a webhook: no update, and nothing one subscribes to.
TEST_EVENT = "webhook.test"

#: What a webhook that names no events is told.
TERMINAL_EVENTS = (EventType.COMPLETED, EventType.ERROR)
#: The event that tells of each result.
EVENT_BY_RESULT = {
    Status.PENDING: EventType.PROGRESS,
    Status.COMPLETED: EventType.COMPLETED,
    Status.ERROR: EventType.ERROR,
}


class JobError(Struct, frozen=True):
    """Why a job is C{error}: a short machine-readable code, and words for people."""

    code: str = FAILED
    message: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """
    The full state of a job at one version.

    @ivar id: UUIDv7 in its canonical text form.
    @ivar version: 1 at creation, one more with every accepted change.
    @ivar progress: 0 to 1, or C{None} if never reported.
    @ivar eta_at: when the worker expects to be done.
    @ivar output: any JSON value; only ever set on a completed job.
    @ivar deadline: seconds from creation after which the job ends as C{error}.
    @ivar heartbeat: longest silence in seconds between two reports, counted from the first.
    @ivar simulated: whether the server itself plays the worker.
    @ivar updated_at: when this version came to be.
    """

    id: str
    kind: str = DEFAULT_KIND
    result: Status = Status.PENDING
    version: int = 1
    progress: float | None = None
    message: str | None = None
    eta_at: float | None = None
    output: Any = None
    error: JobError | None = None
    metadata: dict[str, Any] | None = None
    deadline: float | None = None
    heartbeat: float | None = None
    simulated: bool = False
    created_at: float
    updated_at: float
    finished_at: float | None = None

    @property
    def duration(self) -> float | None:
        """Its age in seconds when it became terminal, or C{None} while pending."""
        if self.finished_at is None:
            return None
        # The clock may have been set back meanwhile.
        return max(0.0, round(self.finished_at - self.created_at, 3))

    @property
    def event_type(self) -> EventType:
        """What an update to this state tells."""
        return EVENT_BY_RESULT[self.result]


def new_job_id(now: float, entropy: int) -> str:
    """
    A UUIDv7 (RFC 9562 5.7): ids sort by the millisecond of their making.

    @param now: seconds since the epoch.
    @param entropy: 74 random bits; they are what makes an id unguessable.
    """
    milliseconds = round(now * 1000) & (1 << 48) - 1
    high, low = entropy >> 62 & 0xFFF, entropy & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


#: A simulated job shows at most this many steps of progress, no two closer than this (seconds).
SIMULATED_STEPS = 10
SIMULATED_STEP_SECONDS = 0.5


def simulated_progress(age: float, delay: float) -> tuple[float, float]:
    """
    Where a simulated job stands.

    @param age: its age in seconds.
    @param delay: the age in seconds at which it ends.
    @return: its progress, 0 to 1 (1: it is over), and the age at its next step.
    """
    steps = max(1, min(SIMULATED_STEPS, int(delay / SIMULATED_STEP_SECONDS)))
    # The allowance of a microsecond keeps rounding from repeating a step for ever.
    age += 1e-6
    done = steps if age >= delay else int(min(steps - 1, age * steps / delay))
    return done / steps, delay * min(steps, done + 1) / steps
