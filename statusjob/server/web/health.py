"""
Routes that tell operators whether the server is well.
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob.server.web.problems import Problem
from statusjob.server.web.routing import OPEN, Routes, route
from statusjob.server.web.writing import json_answer


class HealthRoutes(Routes):
    """Health checks."""

    @route("/healthz", "GET", needs=OPEN)
    async def healthz(self, request: Request) -> bytes:
        """Answer that the process is alive."""
        return json_answer(request, {"status": "ok"})

    @route("/readyz", "GET", needs=OPEN)
    async def readyz(self, request: Request) -> bytes:
        """Answer whether the server is not stopping, and can read and write its database."""
        if self.draining or self.stopping:
            raise Problem("unavailable", "the server is stopping")
        await self.readiness.check()
        return json_answer(request, {"status": "ready"})
