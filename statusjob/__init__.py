"""
Tells everyone who waits for a long-running job that it is done.

The public names of the client library. Importing them imports neither Klein nor
the reactor.
"""

from statusjob.answers import WebhookEvent
from statusjob.client.duration_memory import DurationMemory
from statusjob.client.errors import (
    AlreadyMonitoring,
    BadAnswer,
    BadBaseURL,
    BadRequest,
    BadSetting,
    JobCancelled,
    JobFailed,
    JobFinished,
    JobNotFound,
    MonitoringTimeout,
    NotAuthorized,
    NoWebhook,
    Refused,
    RetriesExhausted,
    StatusjobError,
    Transient,
    Unavailable,
    Unreachable,
)
from statusjob.client.made import CreatedJob, WebhookRegistration
from statusjob.client.memory import InProcessMemory, WebhookDelivery, WebhookMemory
from statusjob.client.open_job import OpenJob
from statusjob.client.receiver import WebhookReceiver
from statusjob.client.status import StatusClient, wait_for
from statusjob.client.worker import WorkerClient
from statusjob.jobs import EventType, Job, JobError, Status
from statusjob.signing import BadSecret, new_secret

__all__ = [
    "AlreadyMonitoring",
    "BadAnswer",
    "BadBaseURL",
    "BadRequest",
    "BadSecret",
    "BadSetting",
    "CreatedJob",
    "DurationMemory",
    "EventType",
    "InProcessMemory",
    "Job",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobFinished",
    "JobNotFound",
    "MonitoringTimeout",
    "NoWebhook",
    "NotAuthorized",
    "OpenJob",
    "Refused",
    "RetriesExhausted",
    "Status",
    "StatusClient",
    "StatusjobError",
    "Transient",
    "Unavailable",
    "Unreachable",
    "WebhookDelivery",
    "WebhookEvent",
    "WebhookMemory",
    "WebhookReceiver",
    "WebhookRegistration",
    "WorkerClient",
    "new_secret",
    "wait_for",
]
