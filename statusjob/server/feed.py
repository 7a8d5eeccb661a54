"""
The feed: passes every update on to all listeners, in the order of commits.

Jobs' alarms, the watchers, the delivery worker and the forecast listen. The store
calls the feed after each commit and before it answers the writers. A listener is
a function that takes a group of updates. It must be quick, and it may be told of
the same version of a job more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from statusjob.server.store.interface import Update

Listener = Callable[[Sequence[Update]], None]


class Feed:
    """Passes updates on. A listener that raises an exception is logged, and harms no other."""

    _log = Logger()

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """
        Tell C{listener} every update from now on.

        @return: a function that ends the subscription.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def committed(self, updates: Sequence[Update]) -> None:
        """Tell every listener of the updates of one commit. The store calls this."""
        for listener in tuple(self._listeners):
            try:
                listener(updates)
            except Exception:
                self._log.failure("a listener of the feed failed")
