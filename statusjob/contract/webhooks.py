"""
Webhooks and their deliveries: their values, and how they are read and shown as JSON.

Pure, and as strict as L{statusjob.contract.codec}.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import (
    UNSET,
    Meta,
    Struct,
    UnsetType,
)

from statusjob.contract.codec import Confidential, Kind, Name, encode, rfc3339
from statusjob.jobs import DEMO_KIND, TERMINAL_EVENTS, TEST_EVENT, EventType

#: Longest URL of a webhook, in characters.
URL_LIMIT = 2048

Url = Annotated[str, Meta(min_length=1, max_length=URL_LIMIT)]


def event_types(asked: Collection[EventType]) -> tuple[EventType, ...]:
    """Event types without repetitions, always in the same order."""
    return tuple(each for each in EventType if each in asked)


class NewWebhook(Confidential, frozen=True, forbid_unknown_fields=True):
    """
    A webhook to register.

    @ivar events: the event types that it is told; C{None} for the two terminal ones.
    @ivar secret: signs what it is sent; C{None} asks the server to make one.
    @ivar name: a name for people; C{None} for none.
    """

    url: Url
    events: list[EventType] | None = None
    secret: str | None = None
    name: Name | None = None

    def __post_init__(self) -> None:
        if self.events == []:
            raise ValueError("`events` must name at least one event type")

    @property
    def event_types(self) -> tuple[EventType, ...]:
        """The event types that the webhook is told."""
        return event_types(TERMINAL_EVENTS if self.events is None else self.events)


class Registration(Confidential, frozen=True):
    """
    The body of C{webhooks/register} and C{webhooks/unregister}.

    Old clients may send other members, which are ignored.
    """

    url: str | None = None
    secret: str | None = None


class NewScopedWebhook(NewWebhook, frozen=True, forbid_unknown_fields=True):
    """
    A webhook to register for a scope (C{POST /webhooks}).

    @ivar job: the id of the only job that it is for.
    @ivar kind: the kind of the jobs that it is for. With neither, it is for all jobs.
    """

    job: str | None = None
    kind: Kind | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.job is not None and self.kind is not None:
            raise ValueError("a webhook is for a `job` or for a `kind`, not for both")
        if self.kind == DEMO_KIND:
            raise ValueError(f"of the kind `{DEMO_KIND}` only webhooks for one job are told")


class WebhookChange(Struct, frozen=True, forbid_unknown_fields=True):
    """
    A change of a webhook (C{PATCH /webhooks/{id}}).

    A member left out (C{UNSET}) stays as it is.
    """

    name: Name | UnsetType | None = UNSET
    events: list[EventType] | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET

    def __post_init__(self) -> None:
        if self.events == []:
            raise ValueError("`events` must name at least one event type")

    @property
    def event_types(self) -> tuple[EventType, ...]:
        """The event types that the webhook is told from now on; none if they stay as they are."""
        return () if self.events is UNSET else event_types(self.events)


class Rotation(Confidential, frozen=True, forbid_unknown_fields=True):
    """
    A rotation of a webhook's secret (C{POST /webhooks/{id}/rotate}).

    @ivar secret: the new secret; C{None} asks the server to make one.
    """

    secret: str | None = None


class Redelivery(Struct, frozen=True, forbid_unknown_fields=True):
    """
    Deliveries to repeat (C{POST /webhooks/{id}/redeliver}): exactly one of both members is given.

    @ivar delivery: the id of one delivery.
    @ivar failed_since: all deliveries that were given up since this time.
    """

    delivery: str | None = None
    failed_since: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if (self.delivery is None) == (self.failed_since is None):
            raise ValueError("give either `delivery` or `failed_since`")


class Webhook(Struct, frozen=True, kw_only=True):
    """
    A registered webhook, as far as it may be shown: neither its URL nor its secrets.

    @ivar origin: scheme, host and port of its URL.
    @ivar job_id: the job that it is for; C{None} if it is for a kind or for all jobs.
    @ivar kind: the kind of jobs that it is for; C{None} if it is for one job or for all jobs.
    @ivar events: the event types that it is told.
    @ivar reason: why it is disabled; C{None} if it is enabled.
    @ivar failing_since: the end of the first of the failures that no success has followed yet, in
        seconds since the epoch; C{None} if there are none.
    @ivar created_at: when it was registered, in seconds since the epoch.
    """

    id: str
    name: str | None
    origin: str
    job_id: str | None
    kind: str | None
    events: tuple[EventType, ...]
    enabled: bool
    reason: str | None
    failing_since: float | None
    created_at: float


class DeliveryState(StrEnum):
    """
    The state of a delivery.

    C{PENDING}: it waits for an attempt. C{SENDING}: an attempt is under way. C{DELIVERED}: an
    attempt succeeded. C{SUPERSEDED}: a newer update took its place. C{DEAD}: it was given up.
    """

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    DEAD = "dead"


class Attempt(Struct, frozen=True, kw_only=True):
    """
    One attempt of a delivery that is over.

    @ivar number: counts from 1, anew after each redelivery.
    @ivar kind: how it ended: C{ok}, C{http} (an answer that is no success), or the kind of
        failure.
    @ivar status: the status code of the answer; C{None} if there was no answer.
    @ivar detail: a few words about a failure.
    @ivar started_at: in seconds since the epoch.
    @ivar ended_at: in seconds since the epoch.
    """

    number: int
    kind: str
    status: int | None
    detail: str | None
    started_at: float
    ended_at: float


class Delivery(Struct, frozen=True, kw_only=True):
    """
    A delivery with its latest attempts.

    @ivar type: an event type, or C{webhook.test}.
    @ivar job_id: the job that it tells of; C{None} for a test.
    @ivar version: the version of the job that it tells of; C{None} for a test.
    @ivar reason: why it is dead; C{None} in any other state.
    @ivar created_at: when it was written, in seconds since the epoch.
    @ivar finished_at: when it reached a final state, in seconds since the epoch; C{None} before.
    @ivar next_attempt_at: the earliest time of the next attempt, in seconds since the epoch;
        C{None} unless it is pending.
    @ivar attempts: the latest attempts, the oldest first.
    """

    id: str
    type: str
    job_id: str | None
    version: int | None
    state: DeliveryState
    reason: str | None
    created_at: float
    finished_at: float | None
    next_attempt_at: float | None
    attempts: tuple[Attempt, ...]


def webhook_to_json(webhook: Webhook) -> dict[str, Any]:
    """A webhook as the API shows it."""
    return {
        "id": webhook.id,
        "name": webhook.name,
        "origin": webhook.origin,
        "job": webhook.job_id,
        "kind": webhook.kind,
        "events": webhook.events,
        "enabled": webhook.enabled,
        "reason": webhook.reason,
        "failing_since": _moment(webhook.failing_since),
        "created_at": rfc3339(webhook.created_at),
    }


def delivery_to_json(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the API shows it."""
    return {
        "id": delivery.id,
        "type": delivery.type,
        "job": delivery.job_id,
        "version": delivery.version,
        "state": delivery.state,
        "reason": delivery.reason,
        "next_attempt_at": _moment(delivery.next_attempt_at),
        "created_at": rfc3339(delivery.created_at),
        "finished_at": _moment(delivery.finished_at),
        "attempts": [
            {
                "attempt": attempt.number,
                "class": attempt.kind,
                "status": attempt.status,
                "detail": attempt.detail,
                "started_at": rfc3339(attempt.started_at),
                "ended_at": rfc3339(attempt.ended_at),
            }
            for attempt in delivery.attempts
        ],
    }


def webhook_test_payload(webhook_id: str, name: str | None, now: float) -> bytes:
    """The body of a message that only tests a webhook; C{timestamp} is milliseconds."""
    return encode(
        {
            "type": TEST_EVENT,
            "timestamp": round(now * 1000),
            "webhook": {"id": webhook_id, "name": name},
        }
    )


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
