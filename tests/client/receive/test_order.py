"""C{WebhookReceiver}: the versions of one job that are passed on only rise."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from statusjob import WebhookEvent, WebhookReceiver
from statusjob.client.receive.dispatch import MAX_PENDING
from tests.helpers.receiver import SlowHandlerTestCase, payload
from tests.helpers.scripted_server import OTHER_ID


class OrderTests(SlowHandlerTestCase):
    """Old versions are ignored, and the others are passed on one after the other."""

    def deliver(self, receiver: WebhookReceiver, *versions: int, **members: Any) -> list[Any]:
        """Deliver these versions, each with an id of its own; return the connections."""
        return [
            self.send(receiver, payload(version, **members), message_id=f"msg_{version}")
            for version in versions
        ]

    def test_an_older_or_equal_version_is_acknowledged_and_not_passed_on(self) -> None:
        receiver = self.receiver()
        sent = self.deliver(receiver, 3, 1, 2, 4)
        sent.append(self.send(receiver, payload(4), message_id="msg_of_another_webhook"))
        self.assertEqual([self.code(each) for each in sent], [204] * 5)
        self.assertEqual(self.versions, [3, 4])

    def test_the_versions_of_different_jobs_are_independent(self) -> None:
        receiver = self.receiver()
        self.deliver(receiver, 3)
        self.deliver(receiver, 2, id=OTHER_ID)
        self.assertEqual(self.versions, [3, 2])

    def test_a_version_that_failed_does_not_count(self) -> None:
        receiver = self.slow_receiver()
        [sent] = self.deliver(receiver, 3)
        self.fail_handler()
        self.assertEqual(self.code(sent), 500)
        [sent] = self.deliver(receiver, 2)
        self.succeed()
        self.assertEqual(self.code(sent), 204)
        self.assertEqual(self.versions, [3, 2])

    def test_two_versions_of_a_job_are_handled_one_after_the_other(self) -> None:
        receiver = self.slow_receiver()
        older, newer = self.deliver(receiver, 2, 3)
        self.assertEqual(self.versions, [2])
        self.succeed()
        self.assertEqual(self.code(older), 204)
        self.assertTrue(self.waiting(newer))
        self.assertEqual(self.versions, [2, 3])
        self.succeed()
        self.assertEqual(self.code(newer), 204)

    def test_a_newer_version_is_handled_even_if_the_older_one_failed(self) -> None:
        receiver = self.slow_receiver()
        older, newer = self.deliver(receiver, 2, 3)
        self.fail_handler()
        self.succeed()
        self.assertEqual((self.code(older), self.code(newer)), (500, 204))

    def test_an_older_version_that_waited_for_a_newer_one_is_ignored(self) -> None:
        for outcome, code in ((self.succeed, 204), (self.fail_handler, 500)):
            self.events.clear()
            newer, older = self.deliver(self.slow_receiver(), 3, 2)
            outcome()
            self.assertEqual((self.code(newer), self.code(older)), (code, 204))
            self.assertEqual(self.versions, [3])
            self.assertEqual(self.running, [])

    def test_an_equal_version_that_waited_is_handled_if_the_first_failed(self) -> None:
        receiver = self.slow_receiver()
        sent = [self.send(receiver, payload(3), message_id=each) for each in ("msg_1", "msg_2")]
        self.fail_handler()
        self.assertEqual(self.code(sent[0]), 500)
        self.succeed()
        self.assertEqual(self.code(sent[1]), 204)

    def test_two_jobs_are_handled_at_the_same_time(self) -> None:
        receiver = self.slow_receiver()
        [first], [other] = self.deliver(receiver, 2), self.deliver(receiver, 3, id=OTHER_ID)
        self.assertEqual(len(self.running), 2)
        self.running.pop().callback(None)
        self.assertEqual(self.code(other), 204)
        self.assertTrue(self.waiting(first))
        self.succeed()
        self.assertEqual(self.code(first), 204)

    def test_in_any_order_the_newest_version_is_the_last_that_is_passed_on(self) -> None:
        receiver = self.slow_receiver()
        sent = self.deliver(receiver, 2, 9, 4, 3, 7, 9, 1, 8)
        self.assertEqual(self.versions, [2])
        while self.running:
            self.succeed()
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(self.versions, [2, 9])

    def test_a_long_queue_is_handled_without_recursion(self) -> None:
        first: Deferred[None] = Deferred()

        def handle(event: WebhookEvent) -> Deferred[None]:
            self.events.append(event)
            return first if len(self.events) == 1 else succeed(None)

        sent = self.deliver(self.receiver(on_update=handle), *range(1, MAX_PENDING + 1))
        self.assertEqual(self.versions, [1])
        first.callback(None)
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(self.versions, list(range(1, MAX_PENDING + 1)))

    def test_the_end_of_a_job_is_never_taken_for_old(self) -> None:
        # As after a server was restored to an earlier state.
        receiver = self.receiver()
        self.deliver(receiver, 7)
        self.deliver(receiver, 4, result="completed")
        self.assertEqual(self.versions, [7, 4])

    def test_nothing_is_passed_on_after_the_end_of_a_job(self) -> None:
        receiver = self.receiver()
        self.deliver(receiver, 4, result="error")
        self.deliver(receiver, 5)
        self.assertEqual(self.versions, [4])
