"""
Deliveries, for whoever answers for a receiver: what became of them, a test, once more.

How they are made is L{statusjob.server.delivery.worker}'s matter; what is written here
it hears of by the feed.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import Delivery, DeliveryState, webhook_test_payload
from statusjob.server.errors import UnknownDelivery, WebhookConflict
from statusjob.server.store import delivery_log, webhooks
from statusjob.server.store.interface import Store, Tx, Update

#: Deliveries that are made due again in one transaction.
REDELIVERY_BATCH = 500


class Deliveries:
    """What was, is and will be brought to webhooks."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(
        self,
        webhook_id: str,
        *,
        limit: int,
        before: tuple[float, str] | None,
        state: DeliveryState | None,
    ) -> Deferred[tuple[list[Delivery], bool]]:
        """
        List a webhook's deliveries with their attempts, the newest first.

        The Deferred fails with L{UnknownWebhook}.

        @param before: go on after this delivery: its C{created_at} and id.
        @param state: only deliveries in this state.
        @return: fires with at most C{limit} deliveries, and whether there are older ones.
        """

        def work(tx: Tx) -> tuple[list[Delivery], bool]:
            webhooks.get(tx, webhook_id)
            return delivery_log.page(tx, webhook_id, limit=limit, before=before, state=state)

        return self._store.read(work)

    def test(self, webhook_id: str) -> Deferred[str]:
        """
        Send a message that only tests a webhook, also a disabled one; its delivery's id. There is
        one at a time.

        The Deferred fails with L{UnknownWebhook}.
        """

        def work(tx: Tx) -> str:
            webhook = webhooks.get(tx, webhook_id)
            body = webhook_test_payload(webhook.id, webhook.name, tx.now)
            delivery_id, new = delivery_log.add_test(tx, webhook_id, body)
            tx.announce(Update(deliveries=int(new)))
            return delivery_id

        return self._store.write(work)

    def redeliver(self, webhook_id: str, delivery_id: str) -> Deferred[int]:
        """
        Make one delivery once more, whatever became of it, with the same id: C{1}. One that waits
        for its next attempt waits no longer.

        The Deferred fails with L{UnknownWebhook}, L{UnknownDelivery}, or L{WebhookConflict} while
        it is being sent, another update of its job is under way or the webhook is disabled.
        """

        def work(tx: Tx) -> int:
            _enabled(tx, webhook_id)
            state = delivery_log.state_of(tx, webhook_id, delivery_id)
            if state is None:
                raise UnknownDelivery
            if not delivery_log.redeliver(tx, delivery_id):
                raise WebhookConflict(
                    "this delivery is being sent"
                    if state is DeliveryState.SENDING
                    else "another update of its job is on its way"
                )
            tx.announce(Update(deliveries=1))
            return 1

        return self._store.write(work)

    def redeliver_failed(self, webhook_id: str, since: float) -> Deferred[int]:
        """
        Make all that died since a time (seconds since the epoch) once more, of each job the
        newest, with the same ids: how many. What dies meanwhile is left out: it is no reason to
        go on for ever. Whoever hangs up before the answer may have had only a part of it made.

        The Deferred fails with L{UnknownWebhook}, or L{WebhookConflict} if it is disabled.
        """
        return Deferred.fromCoroutine(self._redeliver_failed(webhook_id, since))

    async def _redeliver_failed(self, webhook_id: str, since: float) -> int:
        def work(tx: Tx) -> tuple[int, float]:
            _enabled(tx, webhook_id)
            last = tx.now if until is None else until
            count = delivery_log.redeliver_dead(tx, webhook_id, since, last, REDELIVERY_BATCH)
            tx.announce(Update(deliveries=count))
            return count, last

        total, until = 0, None
        while True:
            count, until = await self._store.write(work)
            total += count
            if count < REDELIVERY_BATCH:
                return total


def _enabled(tx: Tx, webhook_id: str) -> None:
    """
    Refuse to deliver to a webhook that is disabled.

    @raise UnknownWebhook: if there is none.
    @raise WebhookConflict: if it is disabled.
    """
    if not webhooks.get(tx, webhook_id).enabled:
        raise WebhookConflict("this webhook is disabled: enable it first")
