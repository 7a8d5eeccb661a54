"""
What can go wrong between two hosts, classified: used by the client and by the delivery of
webhooks.
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
    No complete answer came.

    @ivar kind: C{dns}, C{blocked} (an address that must not be reached), C{connect} (also: lost in
        mid-answer, or not HTTP), C{tls}, C{timeout} or C{too-big}.
    @ivar reason: a few words; neither a URL nor a secret is in them.
    """

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(f"{kind}: {reason}")
        self.kind: FailureKind = kind
        self.reason = reason


def classify(problem: BaseException) -> BaseException:
    """
    What to raise for what went wrong: an L{ExchangeFailed}, or what is no failure of the transport
    as it is.
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
        failed = ExchangeFailed("tls", "no trusted TLS connection")
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


def _causes(problem: BaseException) -> Iterator[BaseException]:
    """A failure and all that it wraps: Twisted lists the reasons of a lost answer in it."""
    yield problem
    for reason in getattr(problem, "reasons", ()):
        yield from _causes(reason.value)


def _is_bad_hostname(problem: BaseException) -> bool:
    """C{HostnameEndpoint} says so by a bare C{ValueError}."""
    return isinstance(problem, ValueError) and str(problem).startswith("invalid hostname")
