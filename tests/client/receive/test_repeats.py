"""C{WebhookReceiver}: deliveries that are repeated, and too many deliveries at once."""

from __future__ import annotations

from statusjob import InProcessMemory, WebhookDelivery, WebhookReceiver
from statusjob.client.receive import dispatch
from statusjob.client.receive.dispatch import MAX_PENDING, MAX_WAITING, Dispatcher
from statusjob.contract.jobs import webhook_payload
from tests.helpers.connections import Connection
from tests.helpers.receiver import SlowHandlerTestCase, payload
from tests.helpers.scripted_server import a_job, event


class RepetitionTests(SlowHandlerTestCase):
    """A delivery is handled once, however often it is sent."""

    def test_a_repeated_delivery_is_acknowledged_and_not_passed_on(self) -> None:
        receiver = self.receiver()
        for later in (0, 5, 36, 86_400):
            self.clock.advance(later)
            sent = self.send(receiver, timestamp=int(self.clock.seconds()))
            self.assertEqual(self.code(sent), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_delivery_without_a_job_is_recognised_by_its_id(self) -> None:
        receiver, body = self.receiver(), b'{"result":"error","timestamp":1732387200123}'
        for message_id in ("msg_1", "msg_1", "msg_2"):
            self.assertEqual(self.code(self.send(receiver, body, message_id=message_id)), 204)
        self.assertEqual(len(self.events), 2)

    def test_a_delivery_that_failed_is_handled_again(self) -> None:
        receiver = self.slow_receiver()
        for outcome, code in ((self.fail_handler, 500), (self.succeed, 204)):
            sent = self.send(receiver)
            outcome()
            self.assertEqual(self.code(sent), code)
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 2)

    def test_repetitions_of_a_running_delivery_wait_for_its_success(self) -> None:
        receiver = self.slow_receiver()
        sent = [self.send(receiver) for _ in range(3)]
        self.assertTrue(all(self.waiting(each) for each in sent))
        self.succeed()
        self.assertEqual([self.code(each) for each in sent], [204, 204, 204])
        self.assertEqual(len(self.events), 1)

    def test_repetitions_of_a_running_delivery_wait_for_its_failure(self) -> None:
        receiver = self.slow_receiver()
        sent = [self.send(receiver) for _ in range(3)]
        self.fail_handler()
        self.assertEqual([self.code(each) for each in sent], [500, 500, 500])
        again = self.send(receiver)
        self.succeed()
        self.assertEqual(self.code(again), 204)
        self.assertEqual(len(self.events), 2)

    def test_a_sender_that_hangs_up_changes_nothing_for_the_others(self) -> None:
        for leaves in (0, 1, 2):
            receiver = self.slow_receiver()
            sent = [self.send(receiver) for _ in range(3)]
            sent.pop(leaves).hang_up()
            self.succeed()
            self.assertEqual([self.code(each) for each in sent], [204, 204])
        self.assertEqual(len(self.events), 3)

    def test_a_delivery_is_handled_even_if_all_senders_hang_up(self) -> None:
        receiver = self.slow_receiver()
        for _ in range(2):
            self.send(receiver).hang_up()
        self.succeed()
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_sender_may_repeat_at_the_moment_it_is_refused(self) -> None:
        receiver = self.slow_receiver()
        first, again = self.send(receiver), list[Connection]()

        def repeat(_: bytes) -> None:
            if not again:
                again.append(self.send(receiver))

        self.patch(first.transport, "write", repeat)
        self.fail_handler()
        self.assertTrue(self.waiting(again[0]))
        self.succeed()
        self.assertEqual(self.code(again[0]), 204)


class BoundTests(SlowHandlerTestCase):
    """The number of pending deliveries and of waiting senders is limited."""

    def deliver(self, receiver: WebhookReceiver, number: int) -> Connection:
        """Deliver an update of another job for each number."""
        job = a_job("completed", id=f"01936b5e-7d4c-7e3a-8c1d-{number:012x}")
        return self.send(receiver, webhook_payload(job), message_id=f"msg_{number}")

    def assert_busy(self, sent: Connection) -> None:
        """Check that the sender is asked to wait."""
        answer = sent.answer()
        self.reason(answer, 503)
        self.assertEqual(answer.headers["retry-after"], "5")

    def test_a_limited_number_is_handled_and_other_senders_are_asked_to_wait(self) -> None:
        receiver = self.slow_receiver()
        sent = [self.deliver(receiver, number) for number in range(MAX_PENDING)]
        self.assertEqual(len(self.running), MAX_PENDING)
        self.assert_busy(self.deliver(receiver, MAX_PENDING))
        self.assertEqual(len(self.running), MAX_PENDING)
        # A running delivery may be repeated; when one ends, there is room for another.
        repeated = self.deliver(receiver, 0)
        self.succeed()
        self.assertEqual((self.code(sent[0]), self.code(repeated)), (204, 204))
        self.assertTrue(self.waiting(self.deliver(receiver, MAX_PENDING)))

    def test_queued_deliveries_count(self) -> None:
        self.patch(dispatch, "MAX_PENDING", 3)
        receiver = self.slow_receiver()
        for version in (1, 2, 3):
            self.send(receiver, payload(version), message_id=f"msg_{version}")
        self.assertEqual(len(self.running), 1)
        self.assert_busy(self.send(receiver, payload(4), message_id="msg_4"))

    def test_a_limited_number_of_senders_waits_and_one_that_leaves_makes_room(self) -> None:
        receiver = self.slow_receiver()
        sent = [self.send(receiver) for _ in range(MAX_WAITING)]
        self.assert_busy(self.send(receiver))
        sent.pop().hang_up()
        sent.append(self.send(receiver))
        self.assert_busy(self.send(receiver))
        self.succeed()
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(len(self.events), 1)

    def test_nothing_is_kept_of_a_delivery_that_is_over(self) -> None:
        dispatcher = Dispatcher(self.handle, InProcessMemory(), self.clock.seconds)
        for finish in (self.fail_handler, self.succeed):
            dispatcher.dispatch(WebhookDelivery.of("msg_1", event()), event())
            self.assertFalse(dispatcher.idle)
            finish()
            self.assertTrue(dispatcher.idle)
