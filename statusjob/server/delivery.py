"""
Delivery: brings what is in the outbox to webhooks, at least once.

Woken by the feed and by one delayed call for the earliest retry. A delivery is
claimed in the store before it is attempted and settled there afterwards, so a
crash at any point repeats an attempt at worst and never loses one. How one
message is sent is L{Sender}'s matter.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import SystemRandom
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from statusjob import signing
from statusjob.exchange import BytesProducer, ExchangeFailed, exchange
from statusjob.server.alarms import RETRY_SLEEP, Alarm
from statusjob.server.feed import Feed
from statusjob.server.registrations import parse_url
from statusjob.server.store import Store, StoreUnavailable, Tx, Update, outbox
from statusjob.server.store.outbox import Claim

_system_random = SystemRandom().random

#: Deliveries under way at the same time, at most.
CONCURRENCY = 64
#: Seconds for one attempt, and for the body of its answer past the headers; bytes of that body.
DEADLINE = 15.0
BODY_GRACE = 1.0
BODY_LIMIT = 4096
#: Most bytes of an answer on the wire, headers and all.
WIRE_LIMIT = 64 * 1024
#: A step of the schedule is lengthened by at most this part of itself.
JITTER = 0.25


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    What became of an attempt.

    @ivar outcome: its class: C{ok}, C{http}, or the kind of an L{ExchangeFailed}.
    @ivar status: the status code of the answer, if there was one.
    """

    outcome: str
    status: int | None = None
    detail: str | None = None


class Sender:
    """Signs and posts one message. Redirects are not followed, the body hardly read."""

    def __init__(self, reactor: IReactorTime, agent: IAgent) -> None:
        self._reactor = reactor
        self._agent = agent

    async def send(self, claim: Claim) -> Attempt:
        """Make one attempt; it fails with nothing but a cancellation."""
        url = parse_url(claim.url)
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
        if url.userinfo:
            # The agent would take it for a part of the host.
            user, _, password = unquote_to_bytes(url.userinfo).partition(b":")
            credentials = b64encode(user + b":" + password)
            headers.setRawHeaders(b"authorization", [b"Basic " + credentials])
            url = url.replace(userinfo="")
        target = url.replace(fragment="").to_text().encode("ascii")
        try:
            answer = await exchange(
                self._reactor,
                lambda: self._agent.request(b"POST", target, headers, BytesProducer(claim.body)),
                deadline=DEADLINE,
                limit=BODY_LIMIT,
                body_grace=BODY_GRACE,
            )
        except ExchangeFailed as error:
            return Attempt(error.kind, detail=error.reason)
        if 200 <= answer.code < 300:
            return Attempt("ok", answer.code)
        return Attempt("http", answer.code, f"answered {answer.code}")


class Delivery:
    """
    The outbox's worker.

    @ivar _schedule: seconds before each attempt; the first is made at once.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        sender: Sender,
        *,
        schedule: Sequence[float],
        random: Callable[[], float] = _system_random,
    ) -> None:
        self._reactor = reactor
        self._store = store
        self._sender = sender
        self._schedule = schedule
        self._random = random
        self._alarm = Alarm(reactor, "delivery", self._begin)
        self._under_way: set[Deferred[None]] = set()
        self._stopping = False

    def start(self, feed: Feed) -> None:
        """Begin with what is due already."""
        self._unsubscribe = feed.subscribe(self._heard)
        self._alarm.start()

    async def stop(self, seconds: float) -> None:
        """
        Begin no more attempts; let those under way finish for so many seconds, then abandon
        them. What is abandoned is attempted again after the next start.
        """
        self._stopping = True
        self._unsubscribe()
        await self._alarm.stop()
        under_way = tuple(self._under_way)
        timer = self._reactor.callLater(seconds, _cancel, under_way)
        await DeferredList(under_way)
        if timer.active():
            timer.cancel()

    def _heard(self, updates: Sequence[Update]) -> None:
        if any(update.deliveries for update in updates):
            self._alarm.set(self._reactor.seconds())

    async def _begin(self) -> float | None:
        """Claim what is due, as far as there is room, and attempt it."""
        room = CONCURRENCY - len(self._under_way)
        if room <= 0:
            return None

        def work(tx: Tx) -> tuple[list[Claim], float | None]:
            return outbox.claim(tx, room), outbox.next_due(tx)

        claims, next_due = await self._store.write(work)
        for claim in () if self._stopping else claims:
            attempt = Deferred.fromCoroutine(self._attempt(claim))
            self._under_way.add(attempt)
            attempt.addErrback(self._failed, claim)
            attempt.addBoth(self._over, attempt)
        return next_due

    async def _attempt(self, claim: Claim) -> None:
        try:
            attempt = await self._sender.send(claim)
        except CancelledError:
            raise
        except Exception:
            # Not foreseen, but no reason to leave it unsettled: it would block its slot for ever.
            self._log.failure("an attempt of {id} went wrong", id=claim.id)
            attempt = Attempt("connect", detail="it went wrong; the log has more")
        exhausted = claim.attempt >= len(self._schedule)
        step = self._schedule[-1] if exhausted else self._schedule[claim.attempt]
        wait = step * (1 + JITTER * self._random())

        def work(tx: Tx) -> str | None:
            return outbox.settle(
                tx,
                claim.id,
                claim.attempt,
                outcome=attempt.outcome,
                status=attempt.status,
                detail=attempt.detail,
                wait=wait,
                exhausted=exhausted,
            )

        while True:
            try:
                state = await self._store.write(work)
                break
            except StoreUnavailable as error:
                # Until it is settled it counts as being sent: nobody sends it a second time.
                self._log.warn("cannot settle {id} yet: {error}", id=claim.id, error=error)
            except Exception:
                self._log.failure("cannot settle {id}", id=claim.id)
            await deferLater(self._reactor, RETRY_SLEEP)
        if attempt.outcome != "ok":
            self._log.info(
                "attempt {attempt} of {id} failed ({outcome}: {detail}); it is {state}",
                attempt=claim.attempt,
                id=claim.id,
                outcome=attempt.outcome,
                detail=attempt.detail,
                state=state,
            )

    def _failed(self, failure: Failure, claim: Claim) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("delivery {id} failed", failure, id=claim.id)

    def _over(self, _: None, attempt: Deferred[None]) -> None:
        self._under_way.discard(attempt)
        if not self._stopping:
            # Room for another one, perhaps for a newer update of the same job.
            self._alarm.set(self._reactor.seconds())


def _cancel(attempts: Sequence[Deferred[None]]) -> None:
    for attempt in attempts:
        attempt.cancel()
