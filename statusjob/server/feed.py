"""
The feed: every update, in commit order, to whoever listens.

Alarms, delivery, watchers and caches are listeners; nobody publishes by hand:
updates come from the store after their commit and before their writer is
answered. A listener is a plain callable that is told a group of updates; it
must be quick and may be told a version again that it knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.logger import Logger

from statusjob.jobs import Job
from statusjob.server.store.interface import Update

Listener = Callable[[Sequence[Update]], None]


def jobs_of(updates: Sequence[Update]) -> list[Job]:
    """The jobs that changed, each in its new state."""
    return [update.job for update in updates if update.job is not None]


class Feed:
    """Passes updates on. One listener's failure is logged and harms no other."""

    _log = Logger()

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """
        Tell C{listener} every update from now on.

        @return: a function that ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def committed(self, updates: Sequence[Update]) -> None:
        """What the store calls after each commit."""
        for listener in tuple(self._listeners):
            try:
                listener(updates)
            except Exception:
                self._log.failure("a listener of the feed failed")
