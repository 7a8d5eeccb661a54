"""
Sending: one message, signed and posted, and what is made of the answer.

It decides nothing about when or how often: that is L{statusjob.server.delivery.worker}.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from statusjob.contract import signing
from statusjob.contract.http_dates import read_date, read_retry_after
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery.poster import Answer, Poster, Target
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.urls import origin_of, parse_url


class Sender:
    """Signs and posts one message."""

    def __init__(self, now: Callable[[], float], poster: Poster) -> None:
        """
        @param now: the present, in seconds since the epoch.
        """
        self._now = now
        self._poster = poster

    async def send(self, claim: Claim) -> Outcome:
        """Make one attempt; it fails with nothing but a cancellation."""
        timestamp = int(self._now())
        signed = signing.headers(claim.secrets, claim.id, timestamp, claim.body)
        headers = b"".join(b"%b: %b\r\n" % each for each in signed.items())
        try:
            answer = await self._poster.post(_target(claim.url), headers, claim.body)
        except ExchangeFailed as error:
            return Outcome(kind=error.kind, detail=error.reason)
        if 200 <= answer.status < 300:
            return Outcome(kind="ok", status=answer.status)
        return Outcome(
            kind="http",
            status=answer.status,
            detail=f"answered {answer.status}",
            retry_after=self._asked(answer),
        )

    def _asked(self, answer: Answer) -> float | None:
        """
        For how many seconds the receiver asks to be left alone (RFC 9110 10.2.3).

        A date is measured by the receiver's own clock where it shows it.
        """
        asked = answer.headers.get(b"retry-after")
        if answer.status not in (429, 503) or asked is None:
            return None
        now = read_date(answer.headers.get(b"date", b"").decode("latin-1"))
        return read_retry_after(asked.decode("latin-1"), self._now() if now is None else now)


@lru_cache(maxsize=4096)
def _target(url: str) -> Target:
    """Where a webhook's URL leads, and what is always said there."""
    parsed = parse_url(url)
    text = parsed.replace(userinfo="", fragment="").to_text()
    host, _, path = text.partition("://")[2].partition("/")
    lines = [
        f"POST /{path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        "user-agent: statusjob",
        "accept-encoding: identity",
    ]
    if parsed.userinfo:
        user, _, password = unquote_to_bytes(parsed.userinfo).partition(b":")
        lines.append(f"authorization: Basic {b64encode(user + b':' + password).decode()}")
    return Target(origin_of(url), "".join(f"{line}\r\n" for line in lines).encode("ascii"))
