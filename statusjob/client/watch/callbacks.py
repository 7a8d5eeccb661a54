"""
Calls a user's callback: one call after the other, each awaited if it returns something awaitable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from inspect import isawaitable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


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
        self._calling: Deferred[None] | None = None
        self._waiter: Deferred[None] | None = None

    def call(self, function: Callable[[], object]) -> None:
        """Call a function as soon as no call is under way: now, if there is none."""
        self._queue.append(function)
        if self.idle:
            self.idle = False
            calling = self._calling = Deferred.fromCoroutine(self._call_all())
            calling.addErrback(self._failed)

    async def wait(self) -> None:
        """Wait until no call is under way. Cancelling it ends only the wait."""
        if not self.idle:
            self._waiter = Deferred()
            await self._waiter

    def cancel(self) -> None:
        """Cancel the call that is under way, and make no more."""
        self._queue.clear()
        if not self.idle and self._calling is not None:
            self._calling.cancel()

    async def _call_all(self) -> None:
        try:
            while self._queue:
                result = self._queue.popleft()()
                if isawaitable(result):
                    await result
        finally:
            self._queue.clear()
            self.idle = True
            waiter, self._waiter = self._waiter, None
            if waiter is not None and not waiter.called:
                waiter.callback(None)
