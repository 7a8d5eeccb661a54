"""
Routes for whoever operates the server.
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob.server.web.problems import Problem
from statusjob.server.web.routing import OPEN, Routes, route
from statusjob.server.web.writing import json_answer


class HealthRoutes(Routes):
    """For whoever operates the server."""

    @route("/healthz", "GET", needs=OPEN)
    async def healthz(self, request: Request) -> bytes:
        """The process is alive."""
        return json_answer(request, {"status": "ok"})

    @route("/readyz", "GET", needs=OPEN)
    async def readyz(self, request: Request) -> bytes:
        """The server can answer: it is not stopping, and its database can be read."""
        if self.draining:
            raise Problem("unavailable", "the server is stopping")
        await self.store.read(lambda tx: tx.one("SELECT 1 AS one"))
        return json_answer(request, {"status": "ready"})
