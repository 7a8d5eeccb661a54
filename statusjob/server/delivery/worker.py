"""
Delivery: brings what is in the outbox to webhooks, at least once.

Works in rounds. A round is one transaction that settles the attempts that are
over and claims new ones, which then begin in the same turn of the reactor. So a
crash at any point repeats an attempt at worst and never loses one, and nothing
begins for a webhook after its deletion was answered. Rounds follow each other
while there is something to do; else the feed, an attempt that is over or one
delayed call for the earliest retry brings the next. How one message is sent is
L{Sender}'s matter, whom it goes to first the store's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from random import random as _random

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.server.alarms import Alarm
from statusjob.server.delivery.attempt import Sender
from statusjob.server.feed import Feed
from statusjob.server.store import outbox_claim, outbox_settle
from statusjob.server.store.interface import Store, StoreUnavailable, Tx, Update
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome, Retry

#: Attempts under way at the same time, at most; how many of them are only for origins that have
#: none under way; and how many begin, and how many are settled, in one turn of the reactor, which
#: must not be held up.
CONCURRENCY = 256
RESERVED = 64
BATCH = 32
SETTLED = 64
#: A step of the schedule is lengthened by at most this part of itself.
JITTER = 0.25
#: What became of an attempt whose outcome nobody foresaw, or could not be written down.
WRONG = Outcome(kind="connect", detail="it went wrong; the log has more")
#: A paused origin holds a delivery up for as long as its attempts would have taken, but for no
#: fewer seconds than this.
SHORTEST_LIFETIME = 86_400.0


class Delivery:
    """
    The outbox's worker.

    @ivar _schedule: seconds before each attempt; the first is made at once.
    @ivar _over: attempts that are over and not settled yet.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        feed: Feed,
        sender: Sender,
        *,
        schedule: Sequence[float],
        now: Callable[[], float] | None = None,
        random: Callable[[], float] = _random,
    ) -> None:
        """
        @param now: the store's clock, in seconds since the epoch; the reactor's if not given. Only
            this one is ever set.
        """
        self._reactor = reactor
        self._now = now or reactor.seconds
        self._store = store
        self._feed = feed
        self._unsubscribe: Callable[[], None] = lambda: None
        self._sender = sender
        self._schedule = schedule
        self._lifetime = max(sum(schedule) * (1 + JITTER), SHORTEST_LIFETIME)
        self._random = random
        self._node = secrets.token_hex(8)
        self._alarm = Alarm(reactor, "delivery", self._round, now=self._now)
        self._under_way: set[Deferred[None]] = set()
        self._over: list[tuple[Claim, Outcome]] = []
        self._stopping = False

    def start(self) -> None:
        """Begin with what is due already."""
        self._unsubscribe = self._feed.subscribe(self._heard)
        self._alarm.start()

    async def stop(self, seconds: float) -> None:
        """
        Begin no more attempts; let those under way finish for so many seconds, then abandon
        them. What is abandoned, or cannot be settled, is attempted again after the next start.
        """
        self._stopping = True
        self._unsubscribe()
        await self._alarm.stop()
        under_way = tuple(self._under_way)
        timer = self._reactor.callLater(seconds, _cancel, under_way)
        await DeferredList(under_way)
        if timer.active():
            timer.cancel()
        try:
            while self._over:
                await self._settle(0, 0)
        except StoreUnavailable as error:
            self._log.warn(
                "{count} attempts will be repeated: {error}",
                count=len(self._over),
                error=error,
            )

    def _heard(self, updates: Sequence[Update]) -> None:
        if any(update.deliveries for update in updates):
            self._alarm.set(self._now())

    async def _round(self) -> float | None:
        """Settle what is over, and begin what is due, as far as there is room."""
        free = CONCURRENCY - len(self._under_way)
        room = min(BATCH, free)
        claims, next_due = await self._settle(room, min(room, max(0, free - RESERVED)))
        if self._stopping:
            return None
        for claim in claims:
            attempt = Deferred.fromCoroutine(self._attempt(claim))
            self._under_way.add(attempt)
            attempt.addErrback(self._failed)
            attempt.addBoth(self._ended, attempt)
        # A full batch may have left something.
        more = self._over or (room and len(claims) == room)
        return self._now() if more else next_due

    async def _settle(self, room: int, shared: int) -> tuple[list[Claim], float | None]:
        """
        Write down what is over and claim anew; until then it counts as being sent, so nobody
        sends it a second time.
        """
        over, self._over = self._over[:SETTLED], self._over[SETTLED:]

        def work(tx: Tx) -> tuple[list[str | None], list[Claim], float | None]:
            states = [
                outbox_settle.settle(tx, self._node, claim, outcome, retry)
                for claim, outcome, retry in judged
            ]
            claims = outbox_claim.claim(tx, self._node, room, shared) if room else []
            return states, claims, outbox_claim.next_due(tx)

        judged = [(claim, outcome, self._retry(claim)) for claim, outcome in over]
        try:
            states, claims, next_due = await self._store.write(work)
        except StoreUnavailable:
            self._over[:0] = over
            raise
        except Exception:
            if not judged:
                raise
            await self._settle_singly(judged)
            return [], self._now()
        for (claim, outcome), state in zip(over, states, strict=True):
            if not outcome.ok:
                self._log.info(
                    "attempt {attempt} of {id} failed ({kind}: {detail}); it is {state}",
                    attempt=claim.attempt,
                    id=claim.id,
                    kind=outcome.kind,
                    detail=outcome.detail,
                    state=state or "not ours any more",
                )
        return claims, next_due

    async def _settle_singly(self, judged: Sequence[tuple[Claim, Outcome, Retry]]) -> None:
        """
        Settle attempts one by one, since together it failed in a way that nobody foresaw: the one
        to blame must hold up no other. It counts as failed; if even that cannot be written down,
        it stays as it is until the next start.
        """
        for index, (claim, outcome, retry) in enumerate(judged):
            for what in (outcome, WRONG):
                settle = partial(
                    outbox_settle.settle, node=self._node, claim=claim, outcome=what, retry=retry
                )
                try:
                    await self._store.write(settle)
                    break
                except StoreUnavailable:
                    self._over[:0] = [each[:2] for each in judged[index:]]
                    raise
                except Exception:
                    self._log.failure(
                        "an attempt of {id} cannot be settled as {kind}",
                        id=claim.id,
                        kind=what.kind,
                    )

    def _retry(self, claim: Claim) -> Retry:
        exhausted = claim.attempt >= len(self._schedule)
        step = self._schedule[-1] if exhausted else self._schedule[claim.attempt]
        u = self._random()
        return Retry(
            wait=step * (1 + JITTER * u), exhausted=exhausted, lifetime=self._lifetime, u=u
        )

    async def _attempt(self, claim: Claim) -> None:
        try:
            outcome = await self._sender.send(claim)
        except CancelledError:
            raise
        except Exception:
            # Not foreseen, but no reason to leave it unsettled: it would block its slot for ever.
            self._log.failure("an attempt of {id} went wrong", id=claim.id)
            outcome = WRONG
        self._over.append((claim, outcome))

    def _failed(self, failure: Failure) -> None:
        """An attempt that was abandoned is neither settled nor reported."""
        failure.trap(CancelledError)

    def _ended(self, _: None, attempt: Deferred[None]) -> None:
        self._under_way.discard(attempt)
        if not self._stopping:
            self._alarm.set(self._now())


def _cancel(attempts: Sequence[Deferred[None]]) -> None:
    for attempt in attempts:
        attempt.cancel()
