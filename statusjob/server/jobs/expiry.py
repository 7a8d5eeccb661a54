"""
The deletion of what nobody needs any more: jobs that ended long ago, and what was removed.

It goes on in small batches, with pauses in between, so that writers hardly notice. What a batch
deletes is decided by L{statusjob.server.store.retention}.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from statusjob.server.store.interface import Store, Tx
from statusjob.server.store.retention import Place, delete_batch

#: Seconds between two batches of one pass.
PAUSE = 0.05


class Expiry:
    """Deletes what is too old, pass by pass."""

    def __init__(self, store: Store, keep: float, seconds: Callable[[], float]) -> None:
        """
        @param keep: for how many seconds jobs are kept after their end.
        @param seconds: a clock that nobody sets; called in lanes.
        """
        self._store = store
        self._keep = keep
        self._seconds = seconds
        self._place = Place()

    async def delete_batch(self) -> float | None:
        """
        Delete a batch.

        @return: when to go on, in seconds since the epoch; C{None} if this pass is over.
        """
        work = partial(self._delete, place=self._place)
        self._place, now = await self._store.write(work)
        if not self._place.end:
            return now + PAUSE
        self._place = Place()
        return None

    def _delete(self, tx: Tx, place: Place) -> tuple[Place, float]:
        return delete_batch(tx, self._keep, place, self._seconds), tx.now
