"""
What a job is: frozen values, and the few rules that concern only them.

Pure: no I/O, no clock, no randomness; times and random numbers are arguments.
L{statusjob.server.jobs.lifecycle} decides who may change a job, and the store makes changes
durable. Times are seconds since the epoch (UTC, a float, whole milliseconds), durations are
seconds.
"""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Any

from msgspec import Struct

#: The kind of a job that was created without one, and of the simulated job behind C{/status}.
DEFAULT_KIND = "default"
DEMO_KIND = "demo"

#: The error codes that the server itself sets; a worker may report any code of its own.
FAILED = "failed"
CANCELLED = "cancelled"
DEADLINE_EXCEEDED = "deadline-exceeded"
WORKER_LOST = "worker-lost"
SIMULATED = "simulated"


class Status(StrEnum):
    """The result of a job. C{COMPLETED} and C{ERROR} are terminal: they never change."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        """Whether the result is final."""
        return self is not Status.PENDING


class EventType(StrEnum):
    """The type of an update, to which webhooks subscribe."""

    PROGRESS = "job.progress"
    COMPLETED = "job.completed"
    ERROR = "job.error"


#: The type of a message that only tests a webhook. It is no update; nobody subscribes to it.
TEST_EVENT = "webhook.test"

#: The events of a webhook that was registered without any.
TERMINAL_EVENTS = (EventType.COMPLETED, EventType.ERROR)
#: The type of an update to each result.
EVENT_BY_RESULT = {
    Status.PENDING: EventType.PROGRESS,
    Status.COMPLETED: EventType.COMPLETED,
    Status.ERROR: EventType.ERROR,
}


class JobFailure(Struct, frozen=True):
    """
    Why a job ended as C{error}.

    @ivar code: a short code for programs.
    @ivar message: an explanation for people, or C{None}.
    """

    code: str = FAILED
    message: str | None = None


class Job(Struct, frozen=True, kw_only=True):
    """
    The full state of a job at one version.

    @ivar id: a UUIDv7 in its canonical text form.
    @ivar kind: groups jobs of the same sort, 1 to 64 of C{A-Z a-z 0-9 . _ -}.
    @ivar result: pending, completed or error.
    @ivar version: 1 at creation, increased by 1 with every accepted change.
    @ivar progress: from 0 to 1, or C{None} if it was never reported.
    @ivar message: the worker's latest message on its progress, or C{None}.
    @ivar eta_at: the time at which the worker expects to be done, or C{None}.
    @ivar output: any JSON value; set on terminal jobs only.
    @ivar error: why the job failed; set on jobs with the result C{error} only.
    @ivar metadata: a JSON object that was given at creation, or C{None}.
    @ivar deadline: seconds from creation after which the job ends as C{error}, or C{None}.
    @ivar heartbeat: the longest time in seconds between two reports, counted from the first one,
        after which the job ends as C{error}; or C{None}.
    @ivar simulated: whether the server itself plays the worker.
    @ivar created_at: the time of creation.
    @ivar updated_at: the time at which this version was made.
    @ivar finished_at: the time at which the result became terminal, or C{None}.
    """

    id: str
    kind: str = DEFAULT_KIND
    result: Status = Status.PENDING
    version: int = 1
    progress: float | None = None
    message: str | None = None
    eta_at: float | None = None
    output: Any = None
    error: JobFailure | None = None
    metadata: dict[str, Any] | None = None
    deadline: float | None = None
    heartbeat: float | None = None
    simulated: bool = False
    created_at: float
    updated_at: float
    finished_at: float | None = None

    @property
    def duration(self) -> float | None:
        """The age of the job in seconds when it became terminal, or C{None} while pending."""
        if self.finished_at is None:
            return None
        # The clock may have been set back since creation.
        return max(0.0, round(self.finished_at - self.created_at, 3))

    @property
    def event_type(self) -> EventType:
        """The type of an update to this state."""
        return EVENT_BY_RESULT[self.result]


def new_job_id(now: float, entropy: int) -> str:
    """
    Make the id of a new job, a UUIDv7 (RFC 9562 5.7). Ids sort by their millisecond.

    @param now: the time of creation in seconds since the epoch.
    @param entropy: 74 random bits, which make the id impossible to guess.
    @return: the id in its canonical text form.
    """
    milliseconds = round(now * 1000) & (1 << 48) - 1
    high, low = entropy >> 62 & 0xFFF, entropy & (1 << 62) - 1
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low))


#: The most steps of progress that a simulated job makes, and the shortest time between two steps
#: in seconds.
SIMULATED_STEPS = 10
SIMULATED_STEP_SECONDS = 0.5


def simulated_progress(age: float, delay: float) -> tuple[float, float]:
    """
    Compute the progress of a simulated job.

    @param age: the age of the job in seconds.
    @param delay: the age in seconds at which the job ends.
    @return: the progress from 0 to 1, where 1 means that the job has ended; and the age in
        seconds at the next step.
    """
    steps = max(1, min(SIMULATED_STEPS, int(delay / SIMULATED_STEP_SECONDS)))
    # Without this microsecond, rounding could repeat a step for ever.
    age += 1e-6
    done = steps if age >= delay else int(min(steps - 1, age * steps / delay))
    return done / steps, delay * min(steps, done + 1) / steps
