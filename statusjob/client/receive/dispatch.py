"""
Passes deliveries to a handler: each one once, and those of one job one after the other.

A sender waits for the outcome of its delivery. If the same delivery arrives again meanwhile, the
second sender waits for the same outcome. A delivery is remembered once its handler has succeeded.
This module knows no HTTP, and it sets no limit to the time that a handler takes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.client.models import WebhookEvent
from statusjob.client.receive.memory import WebhookDelivery, WebhookMemory

#: Most deliveries that are handled or queued at the same time. Our server makes at most 16 at the
#: same time to one origin.
MAX_PENDING = 256
#: Most senders that wait for an outcome at the same time.
MAX_WAITING = 2 * MAX_PENDING

#: Handles an event. The value that it returns may be awaitable.
Handler = Callable[[WebhookEvent], Awaitable[object] | object]


class Busy(Exception):
    """Too many deliveries are pending, or too many senders wait."""


class Dispatcher:
    """Passes deliveries to one handler."""

    _log = Logger()

    def __init__(self, handler: Handler, memory: WebhookMemory, now: Callable[[], float]) -> None:
        """
        @param handler: called with the event of each delivery that was not handled before.
        @param memory: remembers the deliveries that were handled.
        @param now: returns the seconds since the epoch, for the memory.
        """
        self._handler = handler
        self._memory = memory
        self._now = now
        self._pending: dict[str, _Pending] = {}
        self._queues: dict[str, deque[_Pending]] = {}

    @property
    def idle(self) -> bool:
        """Whether no delivery is handled or queued."""
        return not self._pending and not self._queues

    def dispatch(self, delivery: WebhookDelivery, event: WebhookEvent) -> Deferred[bool]:
        """
        Have a delivery handled, unless it was handled before.

        @return: fires with whether the delivery was handled, now or before. Cancelling it ends
            the waiting, but not the handling.
        @raise Busy: if a limit is reached.
        """
        pending = self._pending.get(delivery.id)
        if pending is not None:
            if sum(len(each.waiters) for each in self._pending.values()) >= MAX_WAITING:
                raise Busy
            return pending.outcome()
        if len(self._pending) >= MAX_PENDING:
            raise Busy
        pending = self._pending[delivery.id] = _Pending(delivery, event)
        outcome = pending.outcome()
        # A delivery without a job has no order, and a queue of its own.
        key = delivery.job or delivery.id
        if key in self._queues:
            self._queues[key].append(pending)
        else:
            queue = self._queues[key] = deque([pending])
            Deferred.fromCoroutine(self._handle_queue(key, queue))
        return outcome

    async def _handle_queue(self, key: str, queue: deque[_Pending]) -> None:
        """Handle the deliveries of one job until its queue is empty."""
        newest = 0
        while queue:
            pending = queue.popleft()
            # A newer one that failed will arrive again; an older one must not follow it.
            if pending.delivery.order_key < newest:
                handled = True
            else:
                newest = pending.delivery.order_key
                handling = Deferred.fromCoroutine(self._handle(pending.delivery, pending.event))
                handled = await handling.addCallbacks(lambda _: True, self._failed)
            del self._pending[pending.delivery.id]
            pending.settle(handled)
        del self._queues[key]

    async def _handle(self, delivery: WebhookDelivery, event: WebhookEvent) -> None:
        if await _await_result(self._memory.is_handled(delivery, self._now())):
            self._log.debug("webhook ignored, handled before: {result}", result=event.result)
            return
        self._log.debug("webhook received: {result}", result=event.result)
        await _await_result(self._handler(event))
        await _await_result(self._memory.remember(delivery, self._now()))

    def _failed(self, failure: Failure) -> bool:
        self._log.failure("webhook not handled", failure)
        return False


class _Pending:
    """
    A delivery that is being handled, or is in a queue.

    @ivar waiters: the Deferreds of the senders that wait for the outcome.
    """

    def __init__(self, delivery: WebhookDelivery, event: WebhookEvent) -> None:
        self.delivery = delivery
        self.event = event
        self.waiters: set[Deferred[bool]] = set()

    def outcome(self) -> Deferred[bool]:
        """Return a Deferred that fires with the outcome; cancelling it removes the waiter."""
        outcome: Deferred[bool] = Deferred(self.waiters.discard)
        self.waiters.add(outcome)
        return outcome

    def settle(self, handled: bool) -> None:
        """Tell all waiters the outcome; one of them may cancel others."""
        while self.waiters:
            self.waiters.pop().callback(handled)


async def _await_result(value: Any) -> Any:
    """Return the result of a user's function, which may be awaitable."""
    return await value if isawaitable(value) else value
