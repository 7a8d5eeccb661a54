"""
Calls a user's callback: one call after the other, each awaited if it returns something awaitable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Callbacks:
    """
    Makes calls in the order in which they were asked for.

    @ivar idle: whether no call is under way.
    """

    def __init__(self, failed: Callable[[Failure], object]) -> None:
        """
        @param failed: called with the failure of a call; the calls after it are not made.
        """
        self.idle = True
        self._failed = failed
        self._queue = deque[Callable[[], object]]()
        self._cancelled = False
        self._awaited: Deferred[object] | None = None
        self._waiter: Deferred[None] | None = None

    def call(self, function: Callable[[], object]) -> None:
        """Call a function as soon as no call is under way: now, if there is none."""
        self._queue.append(function)
        if self.idle:
            self.idle = False
            calling = Deferred.fromCoroutine(self._call_all())
            # Nobody may learn that this is idle before the failure is known.
            calling.addErrback(self._failed).addBoth(self._ended)

    async def wait(self) -> None:
        """Wait until no call is under way. Cancelling it ends only the wait."""
        if not self.idle:
            self._waiter = Deferred()
            await self._waiter

    def cancel(self) -> None:
        """Cancel the call that is under way, and make no more."""
        self._cancelled = True
        self._queue.clear()
        if self._awaited is not None:
            self._awaited.cancel()

    async def _call_all(self) -> None:
        while self._queue:
            result = self._queue.popleft()()
            if isawaitable(result):
                self._awaited = Deferred.fromCoroutine(_result_of(result))
                if self._cancelled:
                    # By the call itself, before there was anything to cancel.
                    self._awaited.cancel()
                await self._awaited

    def _ended(self, result: T) -> T:
        self._queue.clear()
        self.idle = True
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(None)
        return result


async def _result_of(awaitable: Awaitable[object]) -> object:
    return await awaitable
