"""
How deliveries are handed over: each once, those of one job one after the other.

Whoever brings one waits for the outcome; if it is brought again meanwhile, that
one waits, too, and learns the same. A delivery is remembered once its handler
succeeded. Nothing here knows HTTP, and nothing ends a handler that takes long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.http.answers import WebhookEvent
from statusjob.client.receive.memory import WebhookDelivery, WebhookMemory

#: Deliveries under way at the same time, at most, and those who wait for their outcome. A server
#: of ours makes 16 at a time to one origin.
LIMIT = 256
WAITING_LIMIT = 2 * LIMIT

#: Takes an event; what it returns may be awaited.
Handler = Callable[[WebhookEvent], Awaitable[object] | object]


class Busy(Exception):
    """Too much is under way."""


class Dispatcher:
    """Hands deliveries over to one handler."""

    _log = Logger()

    def __init__(self, handler: Handler, memory: WebhookMemory, clock: IReactorTime) -> None:
        self._handler = handler
        self._memory = memory
        self._clock = clock
        self._under_way: dict[str, _UnderWay] = {}
        self._lines: dict[str, deque[_UnderWay]] = {}

    def dispatch(self, delivery: WebhookDelivery, event: WebhookEvent) -> Deferred[bool]:
        """
        Have a delivery handled, unless it was already.

        @return: whether it was handled, now or before. Cancelling it gives up waiting, no more.
        @raise Busy: if that is too much now.
        """
        this = self._under_way.get(delivery.id)
        if this is not None:
            if sum(len(each.waiting) for each in self._under_way.values()) >= WAITING_LIMIT:
                raise Busy
            return this.outcome()
        if len(self._under_way) >= LIMIT:
            raise Busy
        this = self._under_way[delivery.id] = _UnderWay(delivery, event)
        outcome = this.outcome()
        # Without a job there is no order, and it is a line of its own.
        key = delivery.job or delivery.id
        if key in self._lines:
            self._lines[key].append(this)
        else:
            line = self._lines[key] = deque([this])
            Deferred.fromCoroutine(self._work(key, line))
        return outcome

    async def _work(self, key: str, line: deque[_UnderWay]) -> None:
        """Go through a job's line until nobody is left."""
        newest = 0
        while line:
            this = line.popleft()
            # A newer one that failed will come again; an older one must not follow it.
            if this.delivery.order_key < newest:
                handled = True
            else:
                newest = this.delivery.order_key
                handling = Deferred.fromCoroutine(self._handle(this.delivery, this.event))
                handled = await handling.addCallbacks(lambda _: True, self._failed)
            del self._under_way[this.delivery.id]
            this.settle(handled)
        del self._lines[key]

    async def _handle(self, delivery: WebhookDelivery, event: WebhookEvent) -> None:
        if await _result(self._memory.is_handled(delivery, self._clock.seconds())):
            self._log.debug("a webhook says {result} again", result=event.result)
            return
        self._log.debug("a webhook says {result}", result=event.result)
        await _result(self._handler(event))
        await _result(self._memory.remember(delivery, self._clock.seconds()))

    def _failed(self, failure: Failure) -> bool:
        self._log.failure("a webhook's delivery was not handled", failure)
        return False


class _UnderWay:
    """
    A delivery that is being handled, or waits for its turn.

    @ivar waiting: those who want to know the outcome.
    """

    def __init__(self, delivery: WebhookDelivery, event: WebhookEvent) -> None:
        self.delivery = delivery
        self.event = event
        self.waiting: set[Deferred[bool]] = set()

    def outcome(self) -> Deferred[bool]:
        """Wait for the outcome; whoever cancels is forgotten."""
        outcome: Deferred[bool] = Deferred(self.waiting.discard)
        self.waiting.add(outcome)
        return outcome

    def settle(self, handled: bool) -> None:
        """Tell all; each may do what it likes to the others."""
        while self.waiting:
            self.waiting.pop().callback(handled)


async def _result(value: Any) -> Any:
    """What a function of others came to, whether it returned that or something to await."""
    return await value if isawaitable(value) else value
