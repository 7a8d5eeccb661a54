"""
Tells everyone who waits for a long-running job that it is done.

These are the public names of the client library. Importing them imports neither the reactor nor
any part of the server.

Who waits for jobs uses L{wait_for} or a L{StatusClient}, which may have a L{DurationMemory}. Who
does the work uses a L{WorkerClient}, which calls a function with a L{JobHandle}. Who is told by
webhook uses a L{WebhookReceiver} with a secret (L{new_secret}) and a L{WebhookMemory}, such as
L{InProcessMemory}; it hands over each L{WebhookEvent}, and remembers its L{WebhookDelivery}.

Values
======

They are immutable, and none is an exception:

  - L{Job}: a job as it is now. As a L{LocatedJob} it has its URL, too; a L{CreatedJob} was created
    here, perhaps with a L{WebhookRegistration}. A L{JobPage} has several.
  - L{Status}: the result of a job; L{EventType}: the type of an update of it.
  - L{JobEnd}: how a job ended, with a L{JobFailure} if it ended as C{error}.

Exceptions
==========

All that is raised on purpose is a L{StatusjobError}, except that a malformed secret of a
L{WebhookReceiver} is a L{BadSecret}, and that a value of the wrong type is a C{TypeError}::

    StatusjobError
        BadSetting            an argument is out of range (also a ValueError)
            BadBaseURL
        AlreadyMonitoring     start_monitoring() was called twice
        NoWebhook             there is no webhook_url to register
        Transient             what may be over at the next try
            Unreachable       no complete answer arrived
            BadAnswer         an answer makes no sense
            Unavailable       the server cannot answer now (also a Refused)
        Refused               the server says no
            NotAuthorized
            JobNotFound
            BadRequest
            JobFinished       a report came too late: the job has ended already
                JobCancelled  because somebody has cancelled it
        RetriesExhausted      too many Transient errors in a row
        MonitoringTimeout     the job did not end in time (also a TimeoutError)
        BadOutput             a result of work is no JSON (also a ValueError)
        JobFailed             raised by your own function, to let its job fail
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
from statusjob.client.models import (
    CreatedJob,
    JobEnd,
    JobPage,
    LocatedJob,
    WebhookEvent,
    WebhookRegistration,
)
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
