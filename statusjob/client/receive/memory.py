"""
What a receiver of webhooks remembers, so that no update is handled twice or out of order.

Servers deliver at least once: what was handled may come again, days later. What
is remembered here, or in a database of the user's own behind the same interface,
tells. It knows nothing of deliveries that are still being handled, and no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from statusjob.client.errors import BadSetting
from statusjob.client.http.answers import WebhookEvent

#: Seconds for which a delivery is remembered. A server's default schedule ends after 31 hours,
#: 39 with its jitter, and its pauses come on top.
SPAN = 7 * 86_400.0
#: Deliveries that are remembered, at most, and as many jobs.
LIMIT = 100_000

#: Greater than every version; both together still fit a database's 64 bits.
_TERMINAL = 2**62


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """
    What is remembered of a delivery.

    @ivar id: the same however often it is made.
    @ivar job: the job's id; C{None} if the server names none.
    @ivar order_key: the job's version, plus 2**62 once the job is terminal. The end of a job is
        therefore never taken for old, even after a server was restored to an earlier state.
    """

    id: str
    job: str | None = None
    order_key: int = 0

    @classmethod
    def of(cls, message_id: str, event: WebhookEvent) -> WebhookDelivery:
        """The delivery that brought an event."""
        if event.job is None:
            return cls(message_id)
        order_key = event.job.version + (_TERMINAL if event.result.terminal else 0)
        return cls(message_id, event.job.id, order_key)


class WebhookMemory(Protocol):
    """
    Remembers what was handled. Put a database behind it, and it outlives the process and can be
    shared by several::

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

    Both methods may return their result or something to await, such as a C{Deferred}. If one
    fails, so does the delivery, and the server makes it again. Forgetting is harmless, if
    handling twice is: what is unknown is handed over.

    A receiver asks before a delivery is handled and tells after that succeeded, and within
    one process it does so for one version of a job after the other. Two processes that are
    brought the same delivery at the same time both handle it.
    """

    def is_handled(self, delivery: WebhookDelivery, now: float) -> bool | Awaitable[bool]:
        """
        Whether a delivery need not be handled: its id was remembered, or for its job (if it is
        not C{None}) the same C{order_key} or a greater one.

        @param now: seconds since the epoch.
        """

    def remember(self, delivery: WebhookDelivery, now: float) -> Awaitable[object] | object:
        """
        Remember a delivery that was handled; of each job the greatest C{order_key} counts.

        @param now: seconds since the epoch.
        """


class InProcessMemory:
    """
    A memory that ends with its process, and is bounded: what is too old is forgotten, and what
    is oldest goes first when there is too much.
    """

    def __init__(self, *, span: float = SPAN, limit: int = LIMIT) -> None:
        """
        @param span: seconds for which to remember; longer than servers try.
        @param limit: deliveries to remember at most, and jobs; one of each takes about 500
            bytes.
        @raise BadSetting: if one is not above 0.
        """
        if not span > 0 or not limit > 0:
            raise BadSetting("span and limit of a memory must be above 0")
        self._ids = _Recent(span, limit)
        self._order_keys = _Recent(span, limit)

    def is_handled(self, delivery: WebhookDelivery, now: float) -> bool:
        """Whether a delivery, or a newer one of its job, was remembered."""
        if self._ids.get(delivery.id, now) is not None:
            return True
        if delivery.job is None:
            return False
        order_key = self._order_keys.get(delivery.job, now)
        return order_key is not None and order_key >= delivery.order_key

    def remember(self, delivery: WebhookDelivery, now: float) -> None:
        """Remember a delivery that was handled."""
        self._ids.put(delivery.id, 0, now)
        if delivery.job is not None:
            known = self._order_keys.get(delivery.job, now)
            self._order_keys.put(delivery.job, max(delivery.order_key, known or 0), now)


class _Recent:
    """Numbers by name, those unchanged for longest first."""

    def __init__(self, span: float, limit: int) -> None:
        self._span = span
        self._limit = limit
        self._entries: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def get(self, name: str, now: float) -> int | None:
        value, since = self._entries.get(name, (None, now))
        return value if now - since <= self._span else None

    def put(self, name: str, value: int, now: float) -> None:
        self._entries[name] = (value, now)
        self._entries.move_to_end(name)
        # Two go for one that comes, so that no call takes long and what is old is gone in the end.
        for _ in range(2):
            oldest, (_, since) = next(iter(self._entries.items()))
            if now - since > self._span or len(self._entries) > self._limit:
                del self._entries[oldest]
