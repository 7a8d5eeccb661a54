"""
The root of the site: it passes requests on to the routes.

Before any route, it refuses foreign hosts and paths that no route has to expect,
answers OPTIONS, and lets pages of other origins read what they may (CORS).
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
from statusjob.server.web.problems import Problem
from statusjob.server.web.routing import NO_ROUTE, app
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
        """Answer a request, or have its route answer it."""
        try:
            self._check(request)
            self._api.access.add_cors_headers(request)
            if request.method == b"OPTIONS":
                return self._options(request)
            return self._inner.render(request)
        except Exception:
            return self._api.on_error(request, Failure())

    def _check(self, request: Request) -> None:
        """
        Refuse a request that no route should see.

        @raise Problem: if it is one.
        """
        self._api.access.check_host(request)
        path = request.path
        plain = path.isascii() and b"%" not in path
        if not request.method.isascii() or not (plain or _is_utf8(path)):
            raise Problem("invalid-request", "the path is not UTF-8")
        if not path.startswith(b"/"):
            raise Problem("invalid-request", "the request target must be a path")
        if b"//" in path or (not plain and b"%2f" in path.lower()):
            # Klein would take either for a plain slash.
            raise Problem("not-found", "there is nothing at this path")

    def _options(self, request: Request) -> bytes:
        """
        Answer OPTIONS.

        @raise Problem: 404 if no route has the path.
        """
        path = _decoded(request.path)
        methods = app.url_map.bind("").allowed_methods(path)
        # HAProxy, say, asks for `OPTIONS /` to find out whether the server lives.
        if not methods and path != "/":
            raise Problem("not-found", "there is nothing at this path")
        request.setResponseCode(204)
        request.setHeader(b"allow", ", ".join(sorted({"OPTIONS", *methods})).encode())
        self._api.access.add_preflight_headers(request)
        self._api.count(NO_ROUTE, request.code)
        return b""


def _is_utf8(path: bytes) -> bool:
    try:
        _decoded(path)
    except UnicodeDecodeError:
        return False
    return True


def _decoded(path: bytes) -> str:
    return (unquote_to_bytes(path) if b"%" in path else path).decode()
