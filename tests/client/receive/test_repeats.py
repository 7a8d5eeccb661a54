"""C{WebhookReceiver}: what comes twice, and what comes all at once."""

from __future__ import annotations

from statusjob import WebhookReceiver
from statusjob.client.receive import dispatch
from statusjob.client.receive.dispatch import LIMIT, WAITING_LIMIT
from statusjob.contract.jobs import webhook_payload
from tests.helpers.connections import Connection
from tests.helpers.receiver import HeldTestCase, payload
from tests.helpers.scripted_server import a_job


class RepetitionTests(HeldTestCase):
    """A delivery is handled once, however often it is made."""

    def test_one_that_was_handled_is_acknowledged_and_not_handed_over(self) -> None:
        receiver = self.receiver()
        for later in (0, 5, 36, 86_400):
            self.clock.advance(later)
            sent = self.send(receiver, timestamp=int(self.clock.seconds()))
            self.assertEqual(self.code(sent), 204)
        self.assertEqual(len(self.events), 1)

    def test_one_without_a_job_is_told_by_its_id(self) -> None:
        receiver, body = self.receiver(), b'{"result":"error","timestamp":1732387200123}'
        for message_id in ("msg_1", "msg_1", "msg_2"):
            self.assertEqual(self.code(self.send(receiver, body, message_id=message_id)), 204)
        self.assertEqual(len(self.events), 2)

    def test_one_that_failed_is_handled_again(self) -> None:
        receiver = self.held()
        for outcome, code in ((self.fail_handler, 500), (self.succeed, 204)):
            sent = self.send(receiver)
            outcome()
            self.assertEqual(self.code(sent), code)
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 2)

    def test_while_it_is_handled_repetitions_wait_for_its_success(self) -> None:
        receiver = self.held()
        sent = [self.send(receiver) for _ in range(3)]
        self.assertTrue(all(self.waiting(each) for each in sent))
        self.succeed()
        self.assertEqual([self.code(each) for each in sent], [204, 204, 204])
        self.assertEqual(len(self.events), 1)

    def test_while_it_is_handled_repetitions_wait_for_its_failure(self) -> None:
        receiver = self.held()
        sent = [self.send(receiver) for _ in range(3)]
        self.fail_handler()
        self.assertEqual([self.code(each) for each in sent], [500, 500, 500])
        again = self.send(receiver)
        self.succeed()
        self.assertEqual(self.code(again), 204)
        self.assertEqual(len(self.events), 2)

    def test_whoever_hangs_up_changes_nothing_for_the_others(self) -> None:
        for leaves in (0, 1, 2):
            receiver = self.held()
            sent = [self.send(receiver) for _ in range(3)]
            sent.pop(leaves).hang_up()
            self.succeed()
            self.assertEqual([self.code(each) for each in sent], [204, 204])
        self.assertEqual(len(self.events), 3)

    def test_when_all_hang_up_it_is_handled_all_the_same(self) -> None:
        receiver = self.held()
        for _ in range(2):
            self.send(receiver).hang_up()
        self.succeed()
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(len(self.events), 1)

    def test_a_sender_may_repeat_in_the_moment_it_is_refused(self) -> None:
        receiver = self.held()
        first, again = self.send(receiver), list[Connection]()

        def repeat(_: bytes) -> None:
            if not again:
                again.append(self.send(receiver))

        self.patch(first.transport, "write", repeat)
        self.fail_handler()
        self.assertTrue(self.waiting(again[0]))
        self.succeed()
        self.assertEqual(self.code(again[0]), 204)


class BoundTests(HeldTestCase):
    """Nobody can fill the receiver."""

    def deliver(self, receiver: WebhookReceiver, number: int) -> Connection:
        """Deliver an update of a job of its own."""
        job = a_job("completed", id=f"01936b5e-7d4c-7e3a-8c1d-{number:012x}")
        return self.send(receiver, webhook_payload(job), message_id=f"msg_{number}")

    def busy(self, sent: Connection) -> None:
        """The sender is asked to wait."""
        answer = sent.answer()
        self.reason(answer, 503)
        self.assertEqual(answer.headers["retry-after"], "5")

    def test_so_many_are_handled_at_a_time_and_others_are_asked_to_wait(self) -> None:
        receiver = self.held()
        sent = [self.deliver(receiver, number) for number in range(LIMIT)]
        self.assertEqual(len(self.running), LIMIT)
        self.busy(self.deliver(receiver, LIMIT))
        self.assertEqual(len(self.running), LIMIT)
        # One that runs may be repeated; when one ends there is room for another.
        repeated = self.deliver(receiver, 0)
        self.succeed()
        self.assertEqual((self.code(sent[0]), self.code(repeated)), (204, 204))
        self.assertTrue(self.waiting(self.deliver(receiver, LIMIT)))

    def test_those_that_wait_for_their_turn_count_too(self) -> None:
        self.patch(dispatch, "LIMIT", 3)
        receiver = self.held()
        for version in (1, 2, 3):
            self.send(receiver, payload(version), message_id=f"msg_{version}")
        self.assertEqual(len(self.running), 1)
        self.busy(self.send(receiver, payload(4), message_id="msg_4"))

    def test_so_many_wait_for_an_outcome_and_whoever_leaves_makes_room(self) -> None:
        receiver = self.held()
        sent = [self.send(receiver) for _ in range(WAITING_LIMIT)]
        self.busy(self.send(receiver))
        sent.pop().hang_up()
        sent.append(self.send(receiver))
        self.busy(self.send(receiver))
        self.succeed()
        self.assertEqual({self.code(each) for each in sent}, {204})
        self.assertEqual(len(self.events), 1)

    def test_nothing_is_kept_of_what_is_over(self) -> None:
        receiver = self.held()
        for finish in (self.fail_handler, self.succeed):
            self.send(receiver)
            finish()
        dispatcher = receiver._dispatcher
        self.assertEqual((dispatcher._under_way, dispatcher._lines), ({}, {}))
