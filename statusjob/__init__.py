"""
Tells everyone who waits for a long-running job that it is done.

These are the public names of the client library. Importing them imports neither the reactor nor
any part of the server.
"""

from statusjob.client.errors import (
    AlreadyMonitoring,
    BadAnswer,
    BadBaseURL,
    BadOutput,
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
from statusjob.client.http.answers import WebhookEvent
from statusjob.client.models import CreatedJob, JobEnd, JobPage, LocatedJob, WebhookRegistration
from statusjob.client.receive.memory import InProcessMemory, WebhookDelivery, WebhookMemory
from statusjob.client.receive.receiver import WebhookReceiver
from statusjob.client.receive.secret import new_secret
from statusjob.client.watch.history import DurationMemory
from statusjob.client.watch.status_client import StatusClient
from statusjob.client.watch.wait_for import wait_for
from statusjob.client.work.handle import JobHandle
from statusjob.client.work.worker_client import WorkerClient
from statusjob.contract.signing import BadSecret
from statusjob.jobs import EventType, Job, JobFailure, Status
from statusjob.version import __version__

__all__ = [
    "AlreadyMonitoring",
    "BadAnswer",
    "BadBaseURL",
    "BadOutput",
    "BadRequest",
    "BadSecret",
    "BadSetting",
    "CreatedJob",
    "DurationMemory",
    "EventType",
    "InProcessMemory",
    "Job",
    "JobCancelled",
    "JobEnd",
    "JobFailed",
    "JobFailure",
    "JobFinished",
    "JobHandle",
    "JobNotFound",
    "JobPage",
    "LocatedJob",
    "MonitoringTimeout",
    "NoWebhook",
    "NotAuthorized",
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
    "__version__",
    "new_secret",
    "wait_for",
]
