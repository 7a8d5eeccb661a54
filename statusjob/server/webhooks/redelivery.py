"""
Deliveries, for people who operate a receiver: lists, tests and redelivery.

Deliveries are made by L{statusjob.server.delivery.worker}, which hears by the feed of those that
are written here.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import Delivery, DeliveryState, webhook_test_payload
from statusjob.server.errors import UnknownDelivery, WebhookConflict
from statusjob.server.store import delivery_log, webhooks
from statusjob.server.store.interface import Store, Tx, Update

#: Most deliveries that become due in one transaction.
REDELIVERY_BATCH = 500


class Deliveries:
    """The deliveries to webhooks."""

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
        Send a message that only tests a webhook, even if it is disabled or its origin is paused. A
        test that is pending or being sent is not sent a second time.

        The Deferred fails with L{UnknownWebhook}.

        @return: fires with the id of the test's delivery.
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
        Repeat one delivery with the same id, whatever its state is. If it waits for its next
        attempt, that is made now.

        The Deferred fails with L{UnknownWebhook}, with L{UnknownDelivery}, or with
        L{WebhookConflict} if the delivery is being sent, if another update of its job is pending
        or being sent, or if the webhook is disabled.

        @return: fires with the number of deliveries, which is 1.
        """

        def work(tx: Tx) -> int:
            _check_enabled(tx, webhook_id)
            state = delivery_log.state_of(tx, webhook_id, delivery_id)
            if state is None:
                raise UnknownDelivery
            if not delivery_log.redeliver(tx, webhook_id, delivery_id):
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
        Repeat the deliveries that died since a time, for each job only the newest, with the same
        ids.

        Deliveries that die meanwhile are left out, so that this ends. A Deferred that is cancelled
        may have repeated some of the deliveries.

        The Deferred fails with L{UnknownWebhook}, or with L{WebhookConflict} if the webhook is
        disabled.

        @param since: seconds since the epoch.
        @return: fires with the number of deliveries.
        """
        return Deferred.fromCoroutine(self._redeliver_failed(webhook_id, since))

    async def _redeliver_failed(self, webhook_id: str, since: float) -> int:
        def work(tx: Tx) -> tuple[int, float]:
            _check_enabled(tx, webhook_id)
            last = tx.now if until is None else until
            count = delivery_log.redeliver_dead(
                tx, webhook_id, since, last, REDELIVERY_BATCH, probe=total == 0
            )
            tx.announce(Update(deliveries=count))
            return count, last

        total, until = 0, None
        while True:
            count, until = await self._store.write(work)
            total += count
            if count < REDELIVERY_BATCH:
                return total


def _check_enabled(tx: Tx, webhook_id: str) -> None:
    """
    @raise UnknownWebhook: if there is no such webhook.
    @raise WebhookConflict: if it is disabled.
    """
    if not webhooks.get(tx, webhook_id).enabled:
        raise WebhookConflict("this webhook is disabled: enable it first")
