"""
Routes of webhooks: to register and unregister, as in the original contract, and to manage
webhooks by their id.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct
from twisted.web.http import Request

from statusjob.contract import webhooks
from statusjob.contract.webhooks import DeliveryState, NewWebhook, Registration
from statusjob.server.web.problems import Problem
from statusjob.server.web.reading import checked_job_id, json_body, read_cursor, read_query
from statusjob.server.web.routing import WRITE, Routes, route
from statusjob.server.web.writing import json_answer, make_cursor

#: The path of one webhook. An id is longer than `register` and `unregister`.
_WEBHOOK = "/webhooks/<string(minlength=11):webhook_id>"

_Limit = Annotated[int, Meta(ge=1, le=100)]


class _WebhooksQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of C{GET /webhooks}."""

    limit: _Limit = 20
    cursor: str | None = None


class _DeliveriesQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The query of C{GET /webhooks/{id}/deliveries}."""

    limit: _Limit = 20
    cursor: str | None = None
    state: DeliveryState | None = None


class WebhookRoutes(Routes):
    """Webhooks and their deliveries."""

    @route("/webhooks/register", "POST", needs=WRITE)
    @route("/jobs/<job_id>/webhooks/register", "POST", needs=WRITE)
    async def register(self, request: Request, job_id: str | None = None) -> bytes:
        """Register a webhook for a job, the demo job if there is no id."""
        _, asked = json_body(request, Registration)
        webhook = NewWebhook(url=_url(asked), secret=asked.secret)
        registered = await self.registrations.register(
            None if job_id is None else checked_job_id(job_id), webhook
        )
        answer = {"message": "webhook registered successfully", "id": registered.id}
        if registered.secret is not None:
            answer["secret"] = registered.secret
        return json_answer(request, answer)

    @route("/webhooks/unregister", "DELETE", needs=WRITE)
    @route("/jobs/<job_id>/webhooks/unregister", "DELETE", needs=WRITE)
    async def unregister(self, request: Request, job_id: str | None = None) -> bytes:
        """Unregister a webhook from a job. Deliveries that are written already are still made."""
        _, asked = json_body(request, Registration)
        await self.registrations.unregister(
            None if job_id is None else checked_job_id(job_id), _url(asked)
        )
        return json_answer(request, {"message": "webhook deleted successfully"})

    @route("/webhooks", "POST", needs=WRITE)
    async def add_webhook(self, request: Request) -> bytes:
        """Register a webhook for one job, one kind or all jobs. It may be registered already."""
        _, asked = json_body(request, webhooks.NewScopedWebhook)
        if asked.job is not None:
            checked_job_id(asked.job)
        webhook, secret = await self.registrations.add(asked)
        answer = webhooks.webhook_to_json(webhook)
        if secret is not None:
            request.setResponseCode(201)
            answer["secret"] = secret
        request.setHeader(b"location", f"{self.prefix}/webhooks/{answer['id']}".encode())
        return json_answer(request, answer)

    @route("/webhooks", "GET", needs=WRITE)
    async def list_webhooks(self, request: Request) -> bytes:
        """List webhooks by pages, the newest first."""
        query = read_query(request, _WebhooksQuery)
        page, more = await self.registrations.list(
            limit=query.limit, before=read_cursor(query.cursor)
        )
        return json_answer(
            request,
            {
                "webhooks": [webhooks.webhook_to_json(each) for each in page],
                "next": make_cursor(page[-1].created_at, page[-1].id) if more else None,
            },
        )

    @route(_WEBHOOK, "GET", needs=WRITE)
    async def get_webhook(self, request: Request, webhook_id: str) -> bytes:
        """Show a webhook."""
        webhook = await self.registrations.get(webhook_id)
        return json_answer(request, webhooks.webhook_to_json(webhook))

    @route(_WEBHOOK, "PATCH", needs=WRITE)
    async def change_webhook(self, request: Request, webhook_id: str) -> bytes:
        """Change a webhook's name or events, disable or enable it."""
        _, change = json_body(request, webhooks.WebhookChange)
        webhook = await self.registrations.change(webhook_id, change)
        return json_answer(request, webhooks.webhook_to_json(webhook))

    @route(_WEBHOOK, "DELETE", needs=WRITE)
    async def remove_webhook(self, request: Request, webhook_id: str) -> bytes:
        """Delete a webhook and its pending deliveries."""
        await self.registrations.remove(webhook_id)
        return json_answer(request, {"message": "webhook deleted successfully"})

    @route(f"{_WEBHOOK}/rotate", "POST", needs=WRITE)
    async def rotate(self, request: Request, webhook_id: str) -> bytes:
        """Give a webhook a new secret. For a day, the old one signs as well."""
        _, asked = json_body(request, webhooks.Rotation)
        rotated = await self.registrations.rotate(webhook_id, asked.secret)
        return json_answer(request, {"id": rotated.id, "secret": rotated.secret})

    @route(f"{_WEBHOOK}/test", "POST", needs=WRITE)
    async def test(self, request: Request, webhook_id: str) -> bytes:
        """Send a webhook a test message."""
        json_body(request, _NoMembers)
        delivery = await self.deliveries.test(webhook_id)
        request.setResponseCode(202)
        return json_answer(request, {"delivery": delivery})

    @route(f"{_WEBHOOK}/deliveries", "GET", needs=WRITE)
    async def list_deliveries(self, request: Request, webhook_id: str) -> bytes:
        """List a webhook's deliveries with their attempts by pages, the newest first."""
        query = read_query(request, _DeliveriesQuery)
        page, more = await self.deliveries.list(
            webhook_id,
            limit=query.limit,
            before=read_cursor(query.cursor),
            state=query.state,
        )
        return json_answer(
            request,
            {
                "deliveries": [webhooks.delivery_to_json(each) for each in page],
                "next": make_cursor(page[-1].created_at, page[-1].id) if more else None,
            },
        )

    @route(f"{_WEBHOOK}/redeliver", "POST", needs=WRITE)
    async def redeliver(self, request: Request, webhook_id: str) -> bytes:
        """Repeat one delivery, or all that have failed since a time."""
        _, asked = json_body(request, webhooks.Redelivery)
        if asked.delivery is not None:
            count = await self.deliveries.redeliver(webhook_id, asked.delivery)
        else:
            assert asked.failed_since is not None
            since = asked.failed_since.timestamp()
            count = await self.deliveries.redeliver_failed(webhook_id, since)
        request.setResponseCode(202)
        return json_answer(request, {"redelivered": count})


class _NoMembers(Struct, frozen=True, forbid_unknown_fields=True):
    """A body without members."""


def _url(asked: Registration) -> str:
    """
    The URL to register or unregister.

    @raise Problem: 400 if it is missing.
    """
    if not asked.url:
        raise Problem("invalid-request", "webhook URL is required")
    return asked.url
