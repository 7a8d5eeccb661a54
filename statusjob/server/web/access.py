"""
Access: tokens, foreign hosts, foreign origins, and what pages of other origins may read.

A server without a token is for the programs of its own machine. So it refuses a
Host that is not local (an attacker's DNS may point a name at this machine) and
requests to change something from pages of other origins. On a server with
tokens, clients need one to change, register or list.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from urllib.parse import urlsplit

from twisted.internet.address import UNIXAddress
from twisted.web.http import Request

from statusjob.server.web.problems import Problem

#: The paths that pages of other origins may read: a job, its status and its streams.
_WATCHABLE = re.compile(rb"\A(?:/status|/events|/jobs/[^/]+(?:/status|/events|/operation)?)\Z")

#: A Host header: a name, an IPv4 address or an IPv6 address in brackets, and an optional port
#: (RFC 9110 7.2).
_LABEL = "[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(
    rf"\A(?:{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?\Z"
)

_PREFLIGHT_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer"
)
_EXPOSED_HEADERS = b"ETag, Link, Location, Operation-Location, Preference-Applied, Retry-After"
_PREFLIGHT_SECONDS = b"600"


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """
    Whether a host is this machine.

    @param host: a name, or an address with or without brackets.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(request: Request) -> str | None:
    """
    The Host of a request, with its port if it has one.

    @return: C{None} if there is not exactly one Host header, or if it is malformed.
    """
    values = request.requestHeaders.getRawHeaders(b"host") or []
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    return text if _HOST.match(text) else None


def _is_from_here(request: Request) -> bool:
    """Whether a request comes from this machine."""
    peer = request.client
    return isinstance(peer, UNIXAddress) or is_loopback(getattr(peer, "host", ""))


class Authority(Enum):
    """
    The authority that a route needs.

    @cvar OPEN: none.
    @cvar WATCH: to see a job whose id one knows. On a private server this takes a token.
    @cvar WRITE: to change, register or list. This takes a token. On a server without tokens it
        takes a request that does not come from a page of a foreign origin.
    """

    OPEN = "open"
    WATCH = "watch"
    WRITE = "write"


class Access:
    """
    The access rules of one server.

    @ivar private: whether watching a job needs a token, too.
    """

    def __init__(
        self,
        *,
        tokens: tuple[str, ...] = (),
        private: bool = False,
        public_url: str | None = None,
    ) -> None:
        """
        @param tokens: the valid tokens; empty for a server that is for its own machine only.
        @param private: whether watching a job needs a token, too.
        @param public_url: the URL by which clients reach the server. Its host and its origin are
            our own.
        """
        self._tokens = [token.encode() for token in tokens]
        self.private = private and bool(tokens)
        self._public_host, self._public_origin = None, None
        if public_url is not None:
            parts = urlsplit(public_url)
            self._public_host = (parts.hostname or "").lower()
            self._public_origin = f"{parts.scheme}://{parts.netloc}".lower().encode()

    def check_host(self, request: Request) -> None:
        """
        Refuse a request with a wrong Host.

        @raise Problem: 400 if the Host is malformed, 421 if it is foreign.
        """
        host = host_of(request)
        given = request.requestHeaders.hasHeader(b"host")
        if host is None and (given or request.clientproto == b"HTTP/1.1"):
            raise Problem("invalid-request", "the Host header is missing or malformed")
        # No browser leaves it out. Health checks of this machine do, in HTTP/1.0.
        if host is None and _is_from_here(request):
            return
        if not self._tokens and not self._is_our_host(host):
            raise Problem(
                "misdirected",
                "without a token this server answers only to localhost and loopback addresses",
            )

    def admits(self, host: bytes) -> bool:
        """Whether L{check_host} lets a request pass that has this one Host."""
        text = host.decode("latin-1")
        return _HOST.match(text) is not None and (bool(self._tokens) or self._is_our_host(text))

    def require(self, authority: Authority, request: Request) -> None:
        """
        Refuse a request that does not have the authority that its route needs.

        @raise Problem: 401 or 403.
        """
        if authority is Authority.WATCH:
            self.require_watch(request)
        elif authority is Authority.WRITE:
            self.require_write(request)

    def require_write(self, request: Request) -> None:
        """
        Refuse a request that must not change, register or list.

        @raise Problem: 401 if it has no valid token, 403 if it comes from a page of a foreign
            origin.
        """
        if self._tokens:
            self._check_token(request)
        else:
            origin = request.getHeader(b"origin")
            if origin is not None and not self._is_allowed_origin(origin):
                raise Problem("foreign-origin", "pages of other origins may not do this")

    def require_watch(self, request: Request) -> None:
        """
        Refuse a request that must not see a job whose id it knows.

        @raise Problem: 401 if the server is private and the request has no valid token.
        """
        if self.private:
            self._check_token(request)

    def add_cors_headers(self, request: Request) -> None:
        """Give the answer the headers that let pages of other origins read it (CORS)."""
        if not self._tokens and not request.requestHeaders.hasHeader(b"origin"):
            return
        if request.method not in (b"GET", b"HEAD") or not _WATCHABLE.match(request.path):
            return
        if self._allow_origin(request):
            request.setHeader(b"access-control-expose-headers", _EXPOSED_HEADERS)

    @property
    def headers_for_all(self) -> Sequence[tuple[bytes, bytes]]:
        """The headers that L{add_cors_headers} gives the answer to a request without an Origin."""
        if not self._tokens:
            return ()
        return (
            (b"access-control-allow-origin", b"*"),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
        )

    def add_preflight_headers(self, request: Request) -> None:
        """Give the answer to OPTIONS the headers of a CORS preflight."""
        asked = request.requestHeaders.hasHeader(b"access-control-request-method")
        if asked and _WATCHABLE.match(request.path) and self._allow_origin(request):
            request.setHeader(b"access-control-allow-methods", b"GET, HEAD")
            request.setHeader(b"access-control-allow-headers", _PREFLIGHT_HEADERS)
            request.setHeader(b"access-control-max-age", _PREFLIGHT_SECONDS)

    def _allow_origin(self, request: Request) -> bool:
        if self._tokens:
            request.setHeader(b"access-control-allow-origin", b"*")
            return True
        origin = request.getHeader(b"origin")
        if origin is None:
            return False
        request.responseHeaders.addRawHeader(b"vary", b"Origin")
        if not self._is_allowed_origin(origin):
            return False
        request.setHeader(b"access-control-allow-origin", origin)
        return True

    def _is_our_host(self, host: str | None) -> bool:
        if host is None:
            return False
        name = host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host
        return is_loopback(name) or name.strip("[]").lower() == self._public_host

    def _is_allowed_origin(self, origin: bytes) -> bool:
        if origin.lower() == self._public_origin:
            return True
        try:
            parts = urlsplit(origin.decode("ascii"))
            return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
        except ValueError:
            return False

    def _check_token(self, request: Request) -> None:
        """
        Accept C{Authorization: Bearer}, or C{Basic} with the token as the password.

        @raise Problem: 401 if there is no valid token.
        """
        given = b""
        kind, _, rest = (request.getHeader(b"authorization") or b"").partition(b" ")
        if kind.lower() == b"bearer":
            given = rest.strip()
        elif kind.lower() == b"basic":
            given = request.getPassword() or b""
        # All tokens are compared, so that the time taken tells nothing about any of them.
        if not any([hmac.compare_digest(given, token) for token in self._tokens]):
            raise Problem(
                "unauthorized",
                "this needs `Authorization: Bearer` with a valid token",
                headers={"www-authenticate": 'Bearer realm="statusjob"'},
            )
