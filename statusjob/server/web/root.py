"""
The root of the site: all routes, behind one door.

The door refuses what no route should see (foreign hosts, paths that are not
UTF-8), answers OPTIONS, and lets pages of other origins read what they may.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from statusjob.server.web.health import HealthRoutes
from statusjob.server.web.jobs import JobRoutes
from statusjob.server.web.problems import Problem, problem_for
from statusjob.server.web.routing import app
from statusjob.server.web.webhooks import WebhookRoutes


class Api(JobRoutes, WebhookRoutes, HealthRoutes):
    """All routes."""


@implementer(IResource)
class Root(Resource):
    """The root of the site."""

    isLeaf = True

    def __init__(self, api: Api) -> None:
        super().__init__()
        self._api = api
        self._inner = api.app.resource()

    def render(self, request: Any) -> Any:
        try:
            self._check(request)
            self._api.access.share(request)
            if request.method == b"OPTIONS":
                return self._options(request)
            return self._inner.render(request)
        except Exception:
            return problem_for(Failure(), self._api.prefix).render(request)

    def _check(self, request: Request) -> None:
        self._api.access.admit(request)
        try:
            request.method.decode("ascii")
            _decoded(request.path)
        except UnicodeDecodeError:
            raise Problem("invalid-request", "the path is not UTF-8") from None
        if not request.path.startswith(b"/"):
            raise Problem("invalid-request", "what is asked for must be a path")
        if b"//" in request.path or b"%2f" in request.path.lower():
            # Klein would take each for the slash that it is not.
            raise Problem("not-found", "there is nothing at this path")

    def _options(self, request: Request) -> bytes:
        path = _decoded(request.path)
        methods = app.url_map.bind("").allowed_methods(path)
        if not methods:
            raise Problem("not-found", "there is nothing at this path")
        request.setResponseCode(204)
        request.setHeader(b"allow", ", ".join(sorted(methods)).encode())
        self._api.access.preflight(request)
        return b""


def _decoded(path: bytes) -> str:
    return (unquote_to_bytes(path) if b"%" in path else path).decode()
