"""C{WebhookReceiver}: of one job, versions only rise."""

from __future__ import annotations

from typing import Any

from statusjob import WebhookReceiver
from statusjob.client.receive.dispatch import LIMIT
from tests.helpers.receiver import HeldTestCase, payload
from tests.helpers.scripted_server import OTHER_ID


class OrderTests(HeldTestCase):
    """Old ones are dropped, and two at a time handed over one after the other."""

    def deliver(self, receiver: WebhookReceiver, *versions: int, **members: Any) -> list[Any]:
        """Deliver these versions, each with an id of its own."""
        return [
            self.send(receiver, payload(version, **members), message_id=f"msg_{version}")
            for version in versions
        ]

    def test_an_older_or_equal_version_is_acknowledged_and_not_handed_over(self) -> None:
        receiver = self.receiver()
        sent = self.deliver(receiver, 3, 1, 2, 4)
        sent.append(self.send(receiver, payload(4), message_id="msg_of_another_webhook"))
        self.assertEqual([self.code(each) for each in sent], [204] * 5)
        self.assertEqual(self.versions, [3, 4])

    def test_jobs_do_not_concern_each_other(self) -> None:
        receiver = self.receiver()
        self.deliver(receiver, 3)
        self.deliver(receiver, 2, id=OTHER_ID)
        self.assertEqual(self.versions, [3, 2])

    def test_a_version_that_failed_does_not_count(self) -> None:
        receiver = self.held()
        [sent] = self.deliver(receiver, 3)
        self.fail_handler()
        self.assertEqual(self.code(sent), 500)
        [sent] = self.deliver(receiver, 2)
        self.succeed()
        self.assertEqual(self.code(sent), 204)
        self.assertEqual(self.versions, [3, 2])

    def test_two_versions_at_a_time_are_handled_one_after_the_other(self) -> None:
        receiver = self.held()
        older, newer = self.deliver(receiver, 2, 3)
        self.assertEqual(self.versions, [2])
        self.succeed()
        self.assertEqual(self.code(older), 204)
        self.assertTrue(self.waiting(newer))
        self.assertEqual(self.versions, [2, 3])
        self.succeed()
        self.assertEqual(self.code(newer), 204)

    def test_a_newer_one_is_handled_though_the_older_one_failed(self) -> None:
        receiver = self.held()
        older, newer = self.deliver(receiver, 2, 3)
        self.fail_handler()
        self.succeed()
        self.assertEqual((self.code(older), self.code(newer)), (500, 204))

    def test_an_older_one_that_waited_for_a_newer_one_is_dropped(self) -> None:
        for outcome, code in ((self.succeed, 204), (self.fail_handler, 500)):
            self.events.clear()
            newer, older = self.deliver(self.held(), 3, 2)
            outcome()
            self.assertEqual((self.code(newer), self.code(older)), (code, 204))
            self.assertEqual(self.versions, [3])
            self.assertEqual(self.running, [])

    def test_an_equal_one_that_waited_is_handled_if_the_first_failed(self) -> None:
        receiver = self.held()
        sent = [self.send(receiver, payload(3), message_id=each) for each in ("msg_1", "msg_2")]
        self.fail_handler()
        self.assertEqual(self.code(sent[0]), 500)
        self.succeed()
        self.assertEqual(self.code(sent[1]), 204)

    def test_two_jobs_are_handled_at_the_same_time(self) -> None:
        receiver = self.held()
        [first], [other] = self.deliver(receiver, 2), self.deliver(receiver, 3, id=OTHER_ID)
        self.assertEqual(len(self.running), 2)
        self.running.pop().callback(None)
        self.assertEqual(self.code(other), 204)
        self.assertTrue(self.waiting(first))
        self.succeed()
        self.assertEqual(self.code(first), 204)

    def test_whatever_the_order_the_newest_comes_last_and_none_after_it(self) -> None:
        receiver = self.held()
        sent = self.deliver(receiver, 2, 9, 4, 3, 7, 9, 1, 8)
        self.assertEqual(self.versions, [2])
        while self.running:
            self.succeed()
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(self.versions, [2, 9])

    def test_many_that_wait_in_one_line_are_handled_without_recursion(self) -> None:
        receiver = self.held()
        sent = self.deliver(receiver, *range(1, LIMIT + 1))
        first, self.running = self.running[0], []
        # From now on handlers end at once.
        receiver._dispatcher._handler = self.events.append
        first.callback(None)
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(self.versions, list(range(1, LIMIT + 1)))

    def test_the_end_is_never_taken_for_old(self) -> None:
        # As after a server was restored to an earlier state.
        receiver = self.receiver()
        self.deliver(receiver, 7)
        self.deliver(receiver, 4, result="completed")
        self.assertEqual(self.versions, [7, 4])

    def test_nothing_comes_after_the_end(self) -> None:
        receiver = self.receiver()
        self.deliver(receiver, 4, result="error")
        self.deliver(receiver, 5)
        self.assertEqual(self.versions, [4])
