"""
Routes of webhooks: the original contract's register and unregister, under every base.
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob import wire
from statusjob.server.web.base import Routes, app, json_answer, json_body, path_job
from statusjob.server.web.problems import Problem


class WebhookRoutes(Routes):
    """Webhooks over HTTP."""

    @app.route("/webhooks/register", methods=["POST"])
    @app.route("/jobs/<job_id>/webhooks/register", methods=["POST"])
    async def register(self, request: Request, job_id: str | None = None) -> bytes:
        """Register a webhook for a job; without an id, for the demo job."""
        self.access.changes(request)
        _, asked = json_body(request, wire.Registration)
        webhook = wire.NewWebhook(url=_url(asked), secret=asked.secret)
        registered = await self.registrations.register(
            None if job_id is None else path_job(job_id), webhook
        )
        answer = {"message": "webhook registered successfully", "id": registered.id}
        if registered.secret is not None:
            answer["secret"] = registered.secret
        return json_answer(request, answer)

    @app.route("/webhooks/unregister", methods=["DELETE"])
    @app.route("/jobs/<job_id>/webhooks/unregister", methods=["DELETE"])
    async def unregister(self, request: Request, job_id: str | None = None) -> bytes:
        """Tell a webhook no later updates of a job."""
        self.access.changes(request)
        _, asked = json_body(request, wire.Registration)
        await self.registrations.unregister(
            None if job_id is None else path_job(job_id), _url(asked)
        )
        return json_answer(request, {"message": "webhook deleted successfully"})


def _url(asked: wire.Registration) -> str:
    if not asked.url:
        raise Problem("invalid-request", "webhook URL is required")
    return asked.url
