"""
Whether the database can be read and written, for those who ask often.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from statusjob.server.store.interface import Row, Store, Tx
from statusjob.server.store.single_process import note_time

#: Seconds for which the outcome of one write counts.
PROBE_INTERVAL = 5.0


class Readiness:
    """
    Tries the database. Each call reads a row, and at most one row is written in
    L{PROBE_INTERVAL} seconds, however many ask.
    """

    def __init__(self, store: Store, monotonic: Callable[[], float]) -> None:
        """
        @param monotonic: gives the seconds of a clock that nobody sets.
        """
        self._store = store
        self._monotonic = monotonic
        self._next_probe = monotonic()
        self._probing = False
        self._failure: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    async def check(self) -> None:
        """
        Return if the database can be read and written.

        @raise StoreUnavailable: if it cannot.
        """
        await self._store.read(_read_row)
        if not self._probing and self._monotonic() >= self._next_probe:
            self._probe()
        if self._probing:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting
        if self._failure is not None:
            self._failure.raiseException()

    def _probe(self) -> None:
        self._next_probe = self._monotonic() + PROBE_INTERVAL
        self._probing = True
        self._store.write(note_time).addCallbacks(lambda _: self._note(None), self._note)

    def _note(self, failure: Failure | None) -> None:
        self._probing = False
        self._failure = failure
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


def _read_row(tx: Tx) -> Row | None:
    return tx.one("SELECT seen_at FROM clock")
