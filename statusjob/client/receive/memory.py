"""
What a receiver of webhooks remembers, so that no update is handled twice or out of order.

Servers deliver at least once: a delivery that was handled may arrive again, days later. A
L{WebhookMemory} recognises it, in this process or in a database of the user's own. It does not
know of deliveries that are still being handled, and it has no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from statusjob.client.errors import BadSetting
from statusjob.client.models import WebhookEvent

#: Seconds for which a delivery is remembered. A server's default schedule ends after 31 hours, or
#: 39 with its jitter; pauses of the receiver's origin may prolong it.
MEMORY_SPAN = 7 * 86_400.0
#: Most deliveries that are remembered, and most jobs.
MEMORY_LIMIT = 100_000

#: More than every version. The sum of both fits into the 64 bits of a database.
_TERMINAL = 2**62


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """
    The part of a delivery that is remembered.

    @ivar id: identifies the delivery, however often it is repeated.
    @ivar job: the id of the job; C{None} if the server names no job.
    @ivar order_key: the job's version, plus 2**62 once the job is terminal. The end of a job is
        therefore never taken for old, even after a server was restored to an earlier state.
    """

    id: str
    job: str | None = None
    order_key: int = 0

    @classmethod
    def of(cls, message_id: str, event: WebhookEvent) -> WebhookDelivery:
        """Return the delivery with this id that brought this event."""
        if event.job is None:
            return cls(message_id)
        order_key = event.job.version + (_TERMINAL if event.result.terminal else 0)
        return cls(message_id, event.job.id, order_key)


class WebhookMemory(Protocol):
    """
    Remembers which deliveries were handled. With a database behind it, it outlives the process,
    and several processes can share it::

        class StoredMemory:
            def __init__(self, pool):  # a twisted.enterprise.adbapi.ConnectionPool
                self.pool = pool

            def is_handled(self, delivery, now):
                return self.pool.runQuery(
                    "SELECT 1 FROM handled WHERE id = ? OR (job = ? AND order_key >= ?) LIMIT 1",
                    (delivery.id, delivery.job, delivery.order_key),
                ).addCallback(bool)

            def remember(self, delivery, now):
                return self.pool.runOperation(
                    "INSERT OR REPLACE INTO handled (id, job, order_key, at) VALUES (?, ?, ?, ?)",
                    (delivery.id, delivery.job, delivery.order_key, now),
                )

    Make C{id} the primary key, put an index on C{(job, order_key)}, and delete entries that are
    older than a week now and then.

    Both methods may return their result, or an awaitable such as a C{Deferred}. If one fails, the
    delivery fails, and the server repeats it. An entry may be forgotten if it does no harm to
    handle an update twice: a delivery that is not remembered is passed on.

    A receiver calls C{is_handled} before it handles a delivery, and C{remember} after that
    succeeded. Within one process it does so for one version of a job after the other. If two
    processes receive the same delivery at the same time, both handle it.
    """

    def is_handled(self, delivery: WebhookDelivery, now: float) -> bool | Awaitable[bool]:
        """
        Tell whether a delivery need not be handled.

        That is so if a delivery with its id was remembered, or one of the same job (not C{None})
        with the same C{order_key} or a greater one.

        @param now: seconds since the epoch.
        """

    def remember(self, delivery: WebhookDelivery, now: float) -> Awaitable[object] | object:
        """
        Remember that a delivery was handled.

        @param now: seconds since the epoch.
        """


class InProcessMemory:
    """
    A bounded memory that ends with its process.

    It forgets entries that are too old, and the oldest entries when there are too many.
    """

    def __init__(self, *, span: float = MEMORY_SPAN, limit: int = MEMORY_LIMIT) -> None:
        """
        @param span: seconds for which to remember; should be longer than servers try to deliver.
        @param limit: most deliveries to remember, and most jobs; one of each takes about 500
            bytes.
        @raise BadSetting: if one of them is not above 0.
        """
        if not span > 0 or not limit > 0:
            raise BadSetting("span and limit of a memory must be above 0")
        self._ids = RecentNumbers(span, limit)
        self._order_keys = RecentNumbers(span, limit)

    def is_handled(self, delivery: WebhookDelivery, now: float) -> bool:
        """Tell whether a delivery, or a newer one of its job, was remembered."""
        if self._ids.get(delivery.id, now) is not None:
            return True
        if delivery.job is None:
            return False
        order_key = self._order_keys.get(delivery.job, now)
        return order_key is not None and order_key >= delivery.order_key

    def remember(self, delivery: WebhookDelivery, now: float) -> None:
        """Remember that a delivery was handled."""
        self._ids.put(delivery.id, 0, now)
        if delivery.job is not None:
            known = self._order_keys.get(delivery.job, now)
            self._order_keys.put(delivery.job, max(delivery.order_key, known or 0), now)


class RecentNumbers:
    """A bounded mapping of names to numbers that forgets those put longest ago."""

    def __init__(self, span: float, limit: int) -> None:
        """
        @param span: seconds after which a number is forgotten.
        @param limit: most names.
        """
        self._span = span
        self._limit = limit
        self._entries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, now: float) -> int | None:
        """Return the number of C{name}, or C{None} if there is none or it is too old."""
        value, since = self._entries.get(name, (None, now))
        return value if now - since <= self._span else None

    def put(self, name: str, value: int, now: float) -> None:
        """Set the number of C{name}, and forget up to two others that are too old or too many."""
        self._entries[name] = (value, now)
        self._entries.move_to_end(name)
        # Two may go for one that comes: no call takes long, and old entries disappear in time.
        for _ in range(2):
            oldest, (_, since) = next(iter(self._entries.items()))
            if now - since > self._span or len(self._entries) > self._limit:
                del self._entries[oldest]
