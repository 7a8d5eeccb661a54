"""
Sending: one message, signed and posted, and what is made of the answer.

It decides nothing about when or how often: that is L{statusjob.server.delivery}.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from statusjob import signing
from statusjob.exchange import Answer, BytesProducer, ExchangeFailed, exchange
from statusjob.pace import read_date, read_retry_after
from statusjob.server.registrations import parse_url
from statusjob.server.store.outbox import Claim
from statusjob.server.store.outcomes import Outcome

#: Seconds for one attempt, and for the body of its answer past the headers; bytes of that body.
DEADLINE = 15.0
BODY_GRACE = 1.0
BODY_LIMIT = 4096
#: Most bytes of an answer on the wire, headers and all.
WIRE_LIMIT = 64 * 1024


class Sender:
    """Signs and posts one message. Redirects are not followed, the body hardly read."""

    def __init__(self, reactor: IReactorTime, agent: IAgent) -> None:
        self._reactor = reactor
        self._agent = agent

    async def send(self, claim: Claim) -> Outcome:
        """Make one attempt; it fails with nothing but a cancellation."""
        target, credentials = _target(claim.url)
        timestamp = int(self._reactor.seconds())
        headers = Headers(
            {
                b"content-type": [b"application/json"],
                b"user-agent": [b"statusjob"],
                b"accept-encoding": [b"identity"],
            }
        )
        for name, value in signing.headers(claim.secrets, claim.id, timestamp, claim.body).items():
            headers.setRawHeaders(name, [value])
        if credentials is not None:
            headers.setRawHeaders(b"authorization", [credentials])
        try:
            answer = await exchange(
                self._reactor,
                lambda: self._agent.request(b"POST", target, headers, BytesProducer(claim.body)),
                deadline=DEADLINE,
                limit=BODY_LIMIT,
                body_grace=BODY_GRACE,
            )
        except ExchangeFailed as error:
            return Outcome(kind=error.kind, detail=error.reason)
        if 200 <= answer.code < 300:
            return Outcome(kind="ok", status=answer.code)
        return Outcome(
            kind="http",
            status=answer.code,
            detail=f"answered {answer.code}",
            retry_after=self._asked(answer),
        )

    def _asked(self, answer: Answer) -> float | None:
        """
        For how many seconds the receiver asks to be left alone (RFC 9110 10.2.3).

        A date is measured by the receiver's own clock where it shows it.
        """
        asked = answer.header("Retry-After")
        if answer.code not in (429, 503) or asked is None:
            return None
        now = read_date(answer.header("Date") or "")
        return read_retry_after(asked, self._reactor.seconds() if now is None else now)


@lru_cache(maxsize=4096)
def _target(url: str) -> tuple[bytes, bytes | None]:
    """What to ask for, and the credentials in C{url} as a header: Twisted would take them for a
    part of the host."""
    parsed = parse_url(url)
    credentials = None
    if parsed.userinfo:
        user, _, password = unquote_to_bytes(parsed.userinfo).partition(b":")
        credentials = b"Basic " + b64encode(user + b":" + password)
    return parsed.replace(userinfo="", fragment="").to_text().encode("ascii"), credentials
