"""
The worker that empties the outbox, in rounds.

The package's docstring (L{statusjob.server.delivery}) explains rounds, claims and
leases, and who decides what.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import random as _random

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.server.alarms import Alarm
from statusjob.server.feed import Feed
from statusjob.server.store import origins, outbox_claim, outbox_settle
from statusjob.server.store.interface import Store, StoreUnavailable, Tx, Update
from statusjob.server.store.outbox_claim import Claim, Claimed
from statusjob.server.store.outbox_settle import Outcome, Retry, Settled

#: Most attempts under way at the same time.
MAX_ATTEMPTS = 256
#: How many of these are kept free for origins that have no attempt under way.
RESERVED = 64
#: Most attempts that begin, and most that are settled, in one round: a round must not hold the
#: reactor up.
CLAIM_BATCH = 32
SETTLE_BATCH = 64
#: A step of the retry schedule is lengthened by at most this part of itself.
RETRY_JITTER = 0.25
#: The outcome of an attempt that raised an exception, or whose own outcome cannot be stored.
UNFORESEEN = Outcome(kind="connect", detail="an unexpected error; the log of the server has more")
#: A delivery that a paused origin holds up is given up after the seconds that its schedule takes,
#: but never before it has waited for so many.
SHORTEST_LIFETIME = 86_400.0


class DeliveryWorker:
    """
    Sends the deliveries of the outbox to webhooks.

    @ivar _under_way: the attempts that have begun and are not over.
    @ivar _over: attempts that are over, with their outcomes, in the order in which they ended.
        They are settled by the next rounds.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        store: Store,
        feed: Feed,
        attempt: Callable[[Claim], Awaitable[Outcome]],
        *,
        schedule: Sequence[float],
        now: Callable[[], float] | None = None,
        random: Callable[[], float] = _random,
    ) -> None:
        """
        @param feed: tells when deliveries were written.
        @param attempt: makes one attempt, and gives its outcome. It may be cancelled.
        @param schedule: the seconds before each attempt of a delivery. The first is 0.
        @param now: the store's clock, in seconds since the epoch; the reactor's if not given. This
            clock may be set, the reactor's may not.
        @param random: draws a number from 0 to 1.
        """
        self._reactor = reactor
        self._now = now or reactor.seconds
        self._store = store
        self._feed = feed
        self._unsubscribe: Callable[[], None] = lambda: None
        self._make_attempt = attempt
        self._schedule = schedule
        self._lifetime = max(sum(schedule) * (1 + RETRY_JITTER), SHORTEST_LIFETIME)
        self._random = random
        self._node = secrets.token_hex(8)
        self._alarm = Alarm(reactor, "delivery", self._round, now=self._now)
        self._under_way: set[Deferred[None]] = set()
        self._over: list[tuple[Claim, Outcome]] = []
        self._stopping = False

    def start(self) -> None:
        """Make rounds from now on, the first one at once."""
        self._unsubscribe = self._feed.subscribe(self._handle_updates)
        self._alarm.start()

    async def stop(self, seconds: float) -> None:
        """
        Begin no more attempts, and wait for those that are under way.

        An attempt that is cancelled, or cannot be settled, is made again after the next start.

        @param seconds: how long to wait before the attempts that are left are cancelled.
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
                await self._settle_and_claim(0, 0)
        except StoreUnavailable as error:
            self._log.warn(
                "{count} attempts cannot be settled and will be made again: {error}",
                count=len(self._over),
                error=error,
            )

    def _handle_updates(self, updates: Sequence[Update]) -> None:
        """Make a round at once if deliveries were written."""
        if any(update.deliveries for update in updates):
            self._alarm.set(self._now())

    async def _round(self) -> float | None:
        """
        Settle attempts that are over, and begin as many as are due and there is room for.

        @return: when the next round is to be, in seconds since the epoch.
        """
        free = MAX_ATTEMPTS - len(self._under_way)
        room = min(CLAIM_BATCH, free)
        claims, next_due = await self._settle_and_claim(room, min(room, max(0, free - RESERVED)))
        if self._stopping:
            return None
        for claim in claims:
            attempt = Deferred.fromCoroutine(self._attempt(claim))
            self._under_way.add(attempt)
            attempt.addErrback(self._cancelled)
            attempt.addBoth(self._ended, attempt)
        return self._now() if self._over else next_due

    async def _settle_and_claim(self, room: int, shared: int) -> tuple[list[Claim], float | None]:
        """
        Store the outcomes of attempts that are over, and claim deliveries, in one transaction.

        Until it is committed those deliveries count as being sent, so that nobody sends them a
        second time.

        @param room: how many deliveries to claim at most.
        @param shared: how many of them may go to origins that have attempts under way.
        @return: the claims, and when a delivery is due next, in seconds since the epoch.
        """
        over, self._over = self._over[:SETTLE_BATCH], self._over[SETTLE_BATCH:]

        def work(tx: Tx) -> tuple[list[Settled], Claimed, float | None]:
            settled = [
                outbox_settle.settle(tx, self._node, claim, outcome, retry)
                for claim, outcome, retry in judged
            ]
            claimed = Claimed([], more=False, unreadable=[])
            if room:
                claimed = outbox_claim.claim(tx, self._node, room, shared)
            return settled, claimed, origins.next_ready(tx)

        judged = [(claim, outcome, self._retry(claim)) for claim, outcome in over]
        try:
            settled, claimed, next_due = await self._store.write(work)
        except StoreUnavailable:
            self._over[:0] = over
            raise
        except Exception:
            if not judged:
                raise
            await self._settle_singly(judged)
            return [], self._now()
        for (claim, outcome), fate in zip(over, settled, strict=True):
            if not outcome.ok:
                self._log.info(
                    "attempt {attempt} of {id} failed ({kind}: {detail}); it is {state}",
                    attempt=claim.attempt,
                    id=claim.id,
                    kind=outcome.kind,
                    detail=outcome.detail,
                    state=fate.state or "no longer ours",
                )
            for webhook_id, reason in fate.disabled.items():
                self._log.warn(
                    "the webhook {id} is disabled: {reason}", id=webhook_id, reason=reason
                )
        for delivery_id in claimed.unreadable:
            self._log.error("{id} cannot be read: it is dead", id=delivery_id)
        return claimed.claims, self._now() if claimed.more else next_due

    async def _settle_singly(self, judged: Sequence[tuple[Claim, Outcome, Retry]]) -> None:
        """
        Settle attempts one by one, after an unforeseen exception when they were settled together.

        The one that raises it must hold up no other. It is settled as L{UNFORESEEN}. If that
        raises, too, the delivery counts as being sent until the next start.
        """
        for index, (claim, outcome, retry) in enumerate(judged):
            for candidate in (outcome, UNFORESEEN):
                settle = partial(
                    outbox_settle.settle,
                    node=self._node,
                    claim=claim,
                    outcome=candidate,
                    retry=retry,
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
                        kind=candidate.kind,
                    )

    def _retry(self, claim: Claim) -> Retry:
        """Decide what follows if this attempt has failed."""
        exhausted = claim.attempt >= len(self._schedule)
        step = self._schedule[-1] if exhausted else self._schedule[claim.attempt]
        draw = self._random()
        return Retry(
            wait=step * (1 + RETRY_JITTER * draw),
            exhausted=exhausted,
            longest=sum(self._schedule),
            lifetime=self._lifetime,
            draw=draw,
        )

    async def _attempt(self, claim: Claim) -> None:
        """Make an attempt. Unless it is cancelled, it is settled by a later round."""
        try:
            outcome = await self._make_attempt(claim)
        except CancelledError:
            raise
        except Exception:
            # If it were not settled, it would occupy its connection slot for ever.
            self._log.failure("an attempt of {id} raised an exception", id=claim.id)
            outcome = UNFORESEEN
        self._over.append((claim, outcome))

    def _cancelled(self, failure: Failure) -> None:
        """Neither settle nor log an attempt that a stop has cancelled."""
        failure.trap(CancelledError)

    def _ended(self, _: None, attempt: Deferred[None]) -> None:
        self._under_way.discard(attempt)
        if not self._stopping:
            self._alarm.set(self._now())


def _cancel(attempts: Sequence[Deferred[None]]) -> None:
    for attempt in attempts:
        attempt.cancel()
