"""
Webhooks in JSON: what may be asked of them, how they and their deliveries are shown, and what is
brought to them.

Pure, as L{statusjob.contract.codec} is, whose strictness holds here, too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Annotated, Any, Protocol

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
    """Event types without repetition, in one order whatever order they came in."""
    return tuple(each for each in EventType if each in asked)


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


class Registration(Confidential, frozen=True):
    """C{webhooks/register} and C{webhooks/unregister}; old clients may send more, unheeded."""

    url: str | None = None
    secret: str | None = None


class Record(Protocol):
    """What is known of something, by name."""

    def __getitem__(self, name: str, /) -> Any: ...


class NewScopedWebhook(NewWebhook, frozen=True, forbid_unknown_fields=True):
    """A webhook to register (C{POST /webhooks}) for one job, one kind or, with neither, all."""

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
    What is to be changed of a webhook (C{PATCH /webhooks/{id}}).

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
        """The types it is to be told."""
        return () if self.events is UNSET else event_types(self.events)


class Rotation(Confidential, frozen=True, forbid_unknown_fields=True):
    """A secret to sign with from now on; C{None} asks the server to make one."""

    secret: str | None = None


class Redelivery(Struct, frozen=True, forbid_unknown_fields=True):
    """What to deliver once more: one delivery, or all that failed since a time."""

    delivery: str | None = None
    failed_since: Annotated[datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if (self.delivery is None) == (self.failed_since is None):
            raise ValueError("give either `delivery` or `failed_since`")


def webhook_to_json(row: Record) -> dict[str, Any]:
    """A webhook as the API shows it: never its path, query or secret."""
    return {
        "id": row["id"],
        "name": row["name"],
        "origin": row["origin"],
        "job": row["job_id"],
        "kind": row["kind"],
        "events": row["events"].split(),
        "enabled": bool(row["enabled"]),
        "reason": row["reason"],
        "failing_since": _moment(row["failing_since"]),
        "created_at": rfc3339(row["created_at"]),
    }


def delivery_to_json(row: Record, attempts: Sequence[Record]) -> dict[str, Any]:
    """A delivery as the API shows it, with its latest attempts."""
    return {
        "id": row["id"],
        "type": row["type"],
        "job": row["job_id"],
        "version": row["version"],
        "state": row["state"],
        "reason": row["reason"],
        "next_attempt_at": _moment(row["next_at"]),
        "created_at": rfc3339(row["created_at"]),
        "finished_at": _moment(row["finished_at"]),
        "attempts": [
            {
                "attempt": each["attempt"],
                "class": each["class"],
                "status": each["status"],
                "detail": each["detail"],
                "started_at": rfc3339(each["started_at"]),
                "ended_at": rfc3339(each["ended_at"]),
            }
            for each in attempts
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
