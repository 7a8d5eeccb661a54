"""
One attempt: a delivery is signed and posted, and the answer becomes an outcome.

When attempts are made, and how often, is decided in L{statusjob.server.delivery.worker}.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from statusjob.contract import signing
from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.answer import ReceiverAnswer
from statusjob.server.delivery.poster import Poster, Target
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.urls import origin_of, parse_url
from statusjob.version import __version__

#: The status codes that redirect, and what is said of them. The target may be a secret.
REDIRECTS = (301, 302, 303, 307, 308)
REDIRECTED = "; redirects are not followed: use the target"


async def make_attempt(claim: Claim, *, poster: Poster, now: Callable[[], float]) -> Outcome:
    """
    Sign a delivery by all valid secrets of its webhook, and post it once.

    What goes wrong between two hosts is an outcome, not an exception. Mistakes of our own and a
    cancellation are raised.

    @param claim: the delivery.
    @param now: gives the present, in seconds since the epoch.
    @return: what became of the attempt.
    @raise CancelledError: if the attempt was cancelled.
    """
    timestamp = int(now())
    signed = signing.headers(claim.secrets, claim.id, timestamp, claim.body)
    headers = b"".join(b"%b: %b\r\n" % each for each in signed.items())
    try:
        answer = await poster.post(_target(claim.url), headers, claim.body)
    except ExchangeFailed as error:
        return Outcome(kind=error.kind, detail=error.reason)
    if 200 <= answer.status < 300:
        return Outcome(kind="ok", status=answer.status)
    return Outcome(
        kind="http",
        status=answer.status,
        detail=f"answered {answer.status}{REDIRECTED if answer.status in REDIRECTS else ''}",
        retry_after=_requested_pause(answer, now),
    )


def _requested_pause(answer: ReceiverAnswer, now: Callable[[], float]) -> float | None:
    """
    Read for how long the receiver asks to be left alone (RFC 9110 10.2.3).

    A date is compared with the receiver's own clock, if the answer shows that in C{Date}.

    @return: seconds; C{None} if it does not ask.
    """
    header = answer.headers.get(b"retry-after")
    if answer.status not in (429, 503) or header is None:
        return None
    receivers_now = read_date(answer.headers.get(b"date", b"").decode("latin-1"))
    return read_retry_after(
        header.decode("latin-1"), now() if receivers_now is None else receivers_now
    )


@lru_cache(maxsize=4096)
def _target(url: str) -> Target:
    """Make the target of a webhook's URL."""
    parsed = parse_url(url)
    text = parsed.replace(userinfo="", fragment="").to_text()
    host, _, path = text.partition("://")[2].partition("/")
    lines = [
        f"POST /{path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"user-agent: statusjob/{__version__}",
        "accept-encoding: identity",
    ]
    if parsed.userinfo:
        user, _, password = unquote_to_bytes(parsed.userinfo).partition(b":")
        lines.append(f"authorization: Basic {b64encode(user + b':' + password).decode()}")
    return Target(origin_of(url), "".join(f"{line}\r\n" for line in lines).encode("ascii"))
