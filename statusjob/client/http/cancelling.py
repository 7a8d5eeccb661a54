"""
Coroutines whose caller can cancel them for certain.

Twisted cancels what a coroutine waits for, which may turn the cancellation into another error (a
name lookup fails with C{DNSLookupError}) or into a result. A coroutine that repeats what failed,
or goes on with the result, would then not notice that nobody wants it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Cancellation:
    """
    Tells a coroutine whether its caller has cancelled it.

    @ivar requested: whether the caller has.
    """

    requested = False

    def check(self) -> None:
        """
        Do nothing, unless the caller has cancelled.

        @raise CancelledError: if the caller has.
        """
        if self.requested:
            raise CancelledError


def cancellable(run: Callable[[Cancellation], Coroutine[Deferred[Any], Any, T]]) -> Deferred[T]:
    """
    Run a coroutine, so that whoever cancels it gets C{CancelledError}.

    @param run: makes the coroutine; called once, now.
    @return: fires when the coroutine has ended, also after a cancellation, because it may have to
        clean up. It then fails with C{CancelledError}, whatever the coroutine ended with; if that
        is an error, it is the C{__cause__}.
    """
    cancellation = Cancellation()

    def ended(result: T | Failure) -> T | Failure:
        if not cancellation.requested:
            return result
        raise CancelledError from (result.value if isinstance(result, Failure) else None)

    outcome: Deferred[Any] = _Cancellable(cancellation, Deferred.fromCoroutine(run(cancellation)))
    return outcome.addBoth(ended)


class _Cancellable(Deferred[Any]):
    """Waits for another Deferred, and takes note of being cancelled."""

    def __init__(self, cancellation: Cancellation, running: Deferred[Any]) -> None:
        super().__init__()
        self._cancellation = cancellation
        self.callback(None)
        self.addCallback(lambda _: running)

    def cancel(self) -> None:
        """Take note of it, before what is under way hears of it."""
        self._cancellation.requested = True
        super().cancel()
