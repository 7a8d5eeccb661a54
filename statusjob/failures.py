"""
The failures of an exchange between two hosts, classified.

The client and the delivery of webhooks use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet import error
from twisted.internet.defer import CancelledError
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseFailed,
)

FailureKind = Literal["dns", "blocked", "connect", "tls", "timeout", "too-big"]


class ExchangeFailed(Exception):
    """
    No complete answer arrived.

    @ivar kind: one of C{dns}, C{blocked} (the address must not be reached), C{connect} (also: the
        connection was lost, or the answer is not HTTP), C{tls}, C{timeout} and C{too-big}.
    @ivar reason: a short explanation, without URLs and secrets.
    @ivar lasting: whether it can hardly get better by itself: there is no such name, or the
        certificate is not trusted.
    """

    def __init__(self, kind: FailureKind, reason: str, *, lasting: bool | None = None) -> None:
        """
        @param lasting: C{None} if the kind tells it.
        """
        super().__init__(f"{kind}: {reason}")
        self.kind: FailureKind = kind
        self.reason = reason
        self.lasting = kind in ("dns", "tls") if lasting is None else lasting


def classify(problem: BaseException) -> BaseException:
    """
    Return the exception to raise for an error that Twisted raised.

    @return: an L{ExchangeFailed} for a failure of the transport, a C{CancelledError} if the
        exchange was cancelled, and any other error unchanged.
    """
    causes = tuple(_causes(problem))

    def due_to(*kinds: type[BaseException]) -> bool:
        return any(isinstance(each, kinds) for each in causes)

    if due_to(CancelledError, error.ConnectingCancelledError):
        return CancelledError()
    for each in causes:
        if isinstance(each, ExchangeFailed):
            return each
    failed: ExchangeFailed
    if due_to(error.DNSLookupError, error.UnknownHostError) or _is_bad_hostname(problem):
        failed = ExchangeFailed("dns", "the host name cannot be resolved")
    elif due_to(TLSError, VerificationError):
        failed = ExchangeFailed("tls", _tls_reason(str(causes)))
    elif due_to(error.TimeoutError, error.TCPTimedOutError, TimeoutError):
        failed = ExchangeFailed("timeout", "no connection in time")
    elif due_to(error.ConnectionRefusedError):
        failed = ExchangeFailed("connect", "connection refused")
    elif due_to(error.ConnectError):
        failed = ExchangeFailed("connect", "cannot connect")
    elif due_to(error.ConnectionClosed, ResponseFailed, RequestTransmissionFailed):
        failed = ExchangeFailed("connect", "the connection broke before the answer was complete")
    else:
        return problem
    failed.__cause__ = problem
    return failed


def _tls_reason(errors: str) -> str:
    """Say why there is no TLS, from the errors of OpenSSL as text."""
    if "protocol version" in errors or "unsupported protocol" in errors:
        return "no version of TLS in common; the host's may be too old"
    if any(text in errors for text in ("wrong version number", "http request", "packet length")):
        return "the host does not speak TLS"
    if "VerificationError" in errors:
        return "the certificate is for another name"
    return "no trusted TLS connection"


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """Yield an error and all errors in it: Twisted lists the reasons why an answer was lost."""
    yield problem
    for reason in getattr(problem, "reasons", ()):
        yield from _causes(reason.value)


def _is_bad_hostname(problem: BaseException) -> bool:
    """Tell whether a host name was invalid; C{HostnameEndpoint} raises a bare C{ValueError}."""
    return isinstance(problem, ValueError) and str(problem).startswith("invalid hostname")
