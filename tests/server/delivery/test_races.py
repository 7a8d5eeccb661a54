"""Delivery while others write: whatever comes first, nothing is lost, and no promise is broken."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import WebhookChange
from statusjob.jobs import EventType, Job
from statusjob.server.errors import WebhookConflict
from statusjob.server.store import single_process
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import COMPLETED, Core, a_report, hook, new_job
from tests.helpers.delivery import OK, REFUSED, DeliveryTestCase
from tests.helpers.lanes import HeldLane

T = TypeVar("T")


class RaceTestCase(DeliveryTestCase):
    """
    A store whose transactions run when a test says so: what is asked for meanwhile shares the
    next one, in the order in which it was asked for.
    """

    def setUp(self) -> None:
        self.lane = HeldLane()
        core = Core(lane=self.lane)
        self.addCleanup(self.close, core)
        self.deliver(core)
        self.deliveries = Deliveries(core.store)
        self.settle_down()
        self.sender.answers = lambda claim: None

    def close(self, core: Core) -> None:
        closing = Deferred.fromCoroutine(core.store.close())
        while self.lane.held:
            self.lane.step()
        self.successResultOf(closing)

    def settle_down(self) -> None:
        """Run all work that is held, and the rounds that follow."""
        for _ in range(6):
            while self.lane.held:
                self.lane.step()
            self.box.clock.advance(0.003)

    def done(self, answer: Deferred[T]) -> T:
        """Give the result of a call that needs a transaction."""
        while self.lane.held:
            self.lane.step()
        return self.successResultOf(answer)

    def begin_round(self) -> None:
        """Let the next round ask for its transaction, which the lane holds."""
        self.box.clock.advance(0.003)
        self.assertEqual(self.lane.held, 1)

    def watched(self) -> tuple[Job, str]:
        """Make a job with a webhook for all types of events."""
        job = self.done(self.box.lifecycle.create(new_job())).job
        registering = self.box.registrations.register(job.id, hook(events=list(EventType)))
        return job, self.done(registering).id

    def say(self, job: Job, body: bytes = COMPLETED) -> Deferred[Job]:
        return self.box.lifecycle.report(job.id, a_report(body))

    def held_states(self) -> list[str]:
        reading = self.box.store.read(
            lambda tx: tx.all("SELECT state FROM deliveries ORDER BY version")
        )
        return [row["state"] for row in self.done(reading)]


class RoundRaceTests(RaceTestCase):
    """What happens during the transaction of a round."""

    def test_an_update_during_a_round_is_not_missed(self) -> None:
        first, _ = self.watched()
        second, _ = self.watched()
        self.done(self.say(first))
        self.begin_round()
        self.say(second)
        self.settle_down()
        self.assertEqual([claim.job_id for _, claim in self.sender.sent], [first.id, second.id])

    def test_an_attempt_that_ends_during_a_round_is_settled_by_the_next_one(self) -> None:
        first, _ = self.watched()
        second, _ = self.watched()
        self.done(self.say(first))
        self.settle_down()
        self.say(second)
        self.lane.step()
        self.begin_round()
        self.sender.under_way[0].callback(OK)
        self.settle_down()
        self.assertEqual(sorted(self.held_states()), ["delivered", "sending"])

    def test_nothing_begins_after_a_stop_during_a_round_and_all_stays_due(self) -> None:
        job, _ = self.watched()
        self.done(self.say(job))
        self.begin_round()
        stopping = self.stop(10)
        self.assertNoResult(stopping)
        self.done(stopping)
        self.assertEqual((self.sender.sent, self.held_states()), ([], ["sending"]))
        self.done(self.box.store.write(single_process.release_leases))
        self.assertEqual(self.held_states(), ["pending"])

    def test_a_newer_update_during_a_round_is_sent_after_the_older_one(self) -> None:
        job, _ = self.watched()
        self.done(self.say(job, b'{"progress":0.5}'))
        self.begin_round()
        self.say(job)
        self.settle_down()
        self.assertEqual(self.sender.versions, [2])
        self.sender.under_way[0].callback(REFUSED)
        self.settle_down()
        self.assertEqual(self.sender.versions, [2, 3])
        self.assertEqual(self.held_states(), ["superseded", "sending"])

    def test_a_newer_update_just_before_a_round_is_sent_alone(self) -> None:
        job, _ = self.watched()
        self.done(self.say(job, b'{"progress":0.5}'))
        self.say(job)
        self.box.clock.advance(0.003)
        self.settle_down()
        self.assertEqual(self.sender.versions, [3])


class DeletionRaceTests(RaceTestCase):
    """Webhooks that are deleted or disabled."""

    def test_a_webhook_that_is_deleted_before_a_round_gets_nothing(self) -> None:
        job, webhook_id = self.watched()
        self.say(job)
        removing = self.box.registrations.remove(webhook_id)
        self.done(removing)
        self.settle_down()
        self.assertEqual(self.sender.sent, [])

    def test_the_attempts_of_a_round_begin_before_a_later_deletion_is_answered(self) -> None:
        job, webhook_id = self.watched()
        self.done(self.say(job))
        self.begin_round()
        removing = self.box.registrations.remove(webhook_id)
        begun: list[int] = []
        removing.addCallback(lambda _: begun.append(len(self.sender.sent)))
        self.settle_down()
        self.assertEqual((begun, len(self.sender.sent)), ([1], 1))

    def test_an_attempt_under_way_is_neither_settled_nor_made_again_after_a_deletion(self) -> None:
        for outcome in (OK, REFUSED, Outcome("http", 410)):
            self.setUp()
            job, webhook_id = self.watched()
            self.done(self.say(job))
            self.settle_down()
            self.done(self.box.registrations.remove(webhook_id))
            self.sender.under_way[0].callback(outcome)
            self.settle_down()
            self.box.clock.advance(100)
            self.settle_down()
            self.assertEqual((self.held_states(), len(self.sender.sent)), (["dead"], 1))

    def test_a_webhook_that_is_disabled_before_a_round_gets_nothing(self) -> None:
        job, webhook_id = self.watched()
        self.say(job)
        self.box.registrations.change(webhook_id, WebhookChange(enabled=False))
        self.settle_down()
        self.assertEqual((self.sender.sent, self.held_states()), ([], ["dead"]))

    def test_no_attempt_follows_the_one_during_which_the_webhook_is_disabled(self) -> None:
        job, webhook_id = self.watched()
        self.done(self.say(job, b'{"progress":0.5}'))
        self.settle_down()
        self.box.registrations.change(webhook_id, WebhookChange(enabled=False))
        self.say(job)
        self.settle_down()
        self.sender.under_way[0].callback(REFUSED)
        self.box.clock.advance(100)
        self.settle_down()
        self.assertEqual((self.sender.versions, self.held_states()), ([2], ["dead"]))


class RedeliveryRaceTests(RaceTestCase):
    """Redelivery during rounds."""

    def told(self) -> tuple[Job, str, str]:
        """Make a job with a webhook, and a delivery of progress that is being sent."""
        job, webhook_id = self.watched()
        self.done(self.say(job, b'{"progress":0.5}'))
        self.settle_down()
        self.sender.under_way.pop().callback(OK)
        self.settle_down()
        ((_, claim),) = self.sender.sent
        return job, webhook_id, claim.id

    def test_the_redelivery_of_what_is_being_sent_is_refused(self) -> None:
        job, webhook_id = self.watched()
        self.done(self.say(job))
        self.settle_down()
        redelivering = self.deliveries.redeliver(webhook_id, self.sender.sent[0][1].id)
        self.lane.step()
        self.failureResultOf(redelivering, WebhookConflict)
        self.sender.under_way[0].callback(OK)
        self.settle_down()
        self.assertEqual((len(self.sender.sent), self.held_states()), (1, ["delivered"]))

    def test_the_redelivery_of_what_has_just_been_settled_is_made(self) -> None:
        job, webhook_id = self.watched()
        self.done(self.say(job))
        self.settle_down()
        self.sender.under_way[0].callback(OK)
        self.begin_round()
        redelivering = self.deliveries.redeliver(webhook_id, self.sender.sent[0][1].id)
        self.settle_down()
        self.assertEqual(self.successResultOf(redelivering), 1)
        first, second = (claim for _, claim in self.sender.sent)
        self.assertEqual((first.id, first.body), (second.id, second.body))

    def test_a_newer_update_prevents_a_redelivery_or_takes_its_place(self) -> None:
        job, webhook_id, delivery_id = self.told()
        saying = self.say(job)
        redelivering = self.deliveries.redeliver(webhook_id, delivery_id)
        self.done(saying)
        self.failureResultOf(redelivering, WebhookConflict)
        self.setUp()
        job, webhook_id, delivery_id = self.told()
        redelivering = self.deliveries.redeliver(webhook_id, delivery_id)
        saying = self.say(job)
        self.done(saying)
        self.assertEqual(self.successResultOf(redelivering), 1)
        self.settle_down()
        self.assertEqual(self.sender.versions, [2, 3])
