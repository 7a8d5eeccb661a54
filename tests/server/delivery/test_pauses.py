"""Pauses, as the delivery worker sees them: what is sent at once, and what is sent in the end."""

from __future__ import annotations

from statusjob.jobs import TEST_EVENT
from statusjob.server.store.origins import PAUSE_AFTER
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.delivery import OK, REFUSED, DeliveryTestCase


class PauseTests(DeliveryTestCase):
    """Origins and URLs that are paused."""

    def test_a_test_is_sent_at_once_although_its_origin_is_paused(self) -> None:
        self.sender.answers = lambda claim: REFUSED
        jobs = [self.job() for _ in range(PAUSE_AFTER)]
        for job in jobs:
            self.finish(job)
            self.rounds(3)
        self.sender.answers = lambda claim: OK
        sent = len(self.sender.sent)
        self.rounds(5)
        self.assertEqual(len(self.sender.sent), sent)
        webhook_id = self.sender.sent[-1][1].webhook_id
        self.successResultOf(Deliveries(self.box.store).test(webhook_id))
        self.rounds(3)
        self.assertEqual(self.sender.sent[sent][1].type, TEST_EVENT)
        # It has succeeded, so that the others follow.
        self.rounds(20)
        self.assertEqual(self.states().count("delivered"), PAUSE_AFTER + 1)

    def test_a_url_that_limits_the_rate_gets_everything_in_the_end(self) -> None:
        answered: list[float] = []

        def limited(claim: Claim) -> Outcome:
            # At most one request in two seconds.
            now = self.box.clock.seconds()
            if answered and now < answered[-1] + 2:
                return Outcome("http", 429, "answered 429")
            answered.append(now)
            return OK

        self.sender.answers = limited
        for _ in range(6):
            self.finish(self.job())
        self.pump(300)
        self.assertEqual(self.states(), ["delivered"] * 6)
        self.assertLess(len(self.sender.sent), 60)
