"""
Who may do what: tokens, foreign hosts, foreign origins, and what other origins may read.

Without a token the server is for this machine: it must not be reached through a
name that an attacker's DNS gives it, nor driven by pages of other origins. With
a token, whoever has it may change things.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from enum import Enum
from functools import lru_cache
from urllib.parse import urlsplit

from twisted.web.http import Request

from statusjob.server.web.problems import Problem

#: What pages of other origins may read: a job, its status and its streams.
_WATCHABLE = re.compile(rb"\A(?:/status|/events|/jobs/[^/]+(?:/status|/events|/operation)?)\Z")

#: Host: a name, an IPv4 address or a bracketed IPv6 address, and perhaps a port (RFC 9110 7.2).
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
    """Whether C{host} (a name, or an address with or without brackets) is this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(request: Request) -> str | None:
    """The Host of a request with its port, if it is one and well formed."""
    values = request.requestHeaders.getRawHeaders(b"host") or []
    if len(values) != 1:
        return None
    text = values[0].decode("latin-1")
    return text if _HOST.match(text) else None


class Authority(Enum):
    """
    What a route demands of its caller.

    @cvar OPEN: nothing.
    @cvar WATCH: for routes that show one job to anybody who knows its id: a token, if the server
        is private.
    @cvar WRITE: for routes that change, register or list: a token or, on a server without tokens,
        that the request does not come from a page of a foreign origin.
    """

    OPEN = "open"
    WATCH = "watch"
    WRITE = "write"


class Access:
    """The rules that hold for one server."""

    def __init__(
        self,
        *,
        tokens: tuple[str, ...] = (),
        private: bool = False,
        public_url: str | None = None,
    ) -> None:
        """
        @param tokens: each opens everything; with none, the server is for this machine.
        @param private: whether watching a job needs a token, too.
        """
        self._tokens = [token.encode() for token in tokens]
        self._private = private
        self._public_host, self._public_origin = None, None
        if public_url is not None:
            parts = urlsplit(public_url)
            self._public_host = (parts.hostname or "").lower()
            self._public_origin = f"{parts.scheme}://{parts.netloc}".lower().encode()

    def admit(self, request: Request) -> None:
        """
        Refuse what no route should see.

        @raise Problem: 400 for a malformed Host or path, 421 for a foreign Host.
        """
        host = host_of(request)
        given = request.requestHeaders.hasHeader(b"host")
        if host is None and (given or request.clientproto == b"HTTP/1.1"):
            raise Problem("invalid-request", "the Host header is missing or malformed")
        if not self._tokens and not self._ours(host):
            raise Problem(
                "misdirected",
                "without a token this server answers only to localhost and loopback addresses",
            )

    def require(self, authority: Authority, request: Request) -> None:
        """
        Refuse a request that lacks an authority.

        @raise Problem: 401 or 403.
        """
        if authority is Authority.WATCH:
            self.require_watch(request)
        elif authority is Authority.WRITE:
            self.require_write(request)

    def require_write(self, request: Request) -> None:
        """
        For routes that change, register or list.

        @raise Problem: 401 without a valid token, 403 for a page of a foreign origin.
        """
        if self._tokens:
            self._check_token(request)
        else:
            origin = request.getHeader(b"origin")
            if origin is not None and not self._friendly(origin):
                raise Problem("foreign-origin", "pages of other origins may not do this")

    def require_watch(self, request: Request) -> None:
        """
        For routes that show one job to whoever knows its id.

        @raise Problem: 401 without a valid token, if the server is private.
        """
        if self._tokens and self._private:
            self._check_token(request)

    def share(self, request: Request) -> None:
        """Let pages of other origins read the answer, if it is one that they may (CORS)."""
        if not self._tokens and not request.requestHeaders.hasHeader(b"origin"):
            return
        if request.method not in (b"GET", b"HEAD") or not _WATCHABLE.match(request.path):
            return
        if self._allow_origin(request):
            request.setHeader(b"access-control-expose-headers", _EXPOSED_HEADERS)

    def preflight(self, request: Request) -> None:
        """Answer what a browser asks before it lets a page of another origin read."""
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
        if not self._friendly(origin):
            return False
        request.setHeader(b"access-control-allow-origin", origin)
        return True

    def _ours(self, host: str | None) -> bool:
        if host is None:
            return False
        name = host if host.endswith("]") else host.rsplit(":", 1)[0] if ":" in host else host
        return is_loopback(name) or name.strip("[]").lower() == self._public_host

    def _friendly(self, origin: bytes) -> bool:
        if origin.lower() == self._public_origin:
            return True
        try:
            parts = urlsplit(origin.decode("ascii"))
            return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
        except ValueError:
            return False

    def _check_token(self, request: Request) -> None:
        """
        Bearer, or Basic with the token as password.

        @raise Problem: 401.
        """
        given = b""
        kind, _, rest = (request.getHeader(b"authorization") or b"").partition(b" ")
        if kind.lower() == b"bearer":
            given = rest.strip()
        elif kind.lower() == b"basic":
            given = request.getPassword() or b""
        # Every token is compared, so that time does not tell which one nearly fits.
        if not any([hmac.compare_digest(given, token) for token in self._tokens]):
            raise Problem(
                "unauthorized",
                "this needs `Authorization: Bearer` with a valid token",
                headers={"www-authenticate": 'Bearer realm="statusjob"'},
            )
