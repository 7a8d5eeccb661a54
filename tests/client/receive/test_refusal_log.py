"""What a receiver logs of the deliveries that it refuses."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.helpers.receiver import NOW, ReceiverTestCase
from tests.helpers.secrets import SECRET


class RefusalLogTests(ReceiverTestCase):
    """In memory."""

    def refusals(self, events: Any) -> list[str]:
        """Return what was logged of refusals."""
        return [formatEvent(each) for each in events if "refused" in each["log_format"]]

    def test_the_reason_is_logged_without_a_secret(self) -> None:
        for options, reason in (
            ({"timestamp": NOW - 400}, "401: 'webhook-timestamp is -400 s off'"),
            ({"secret": "whsec_" + "b" * 32}, "401: 'no signature matches'"),
            ({"webhook_signature": None}, "401: 'webhook-signature is missing'"),
            ({"method": "GET"}, "405: 'deliveries must be sent by POST'"),
            ({"body": b"{}"}, "400: "),
        ):
            receiver = self.receiver()
            with capturedLogs() as events:
                self.send(receiver, **options)
            (logged,) = self.refusals(events)
            self.assertIn(reason, logged)
            self.assertNotIn(SECRET.removeprefix("whsec_"), logged)

    def test_many_refusals_are_one_line_in_ten_seconds_which_counts_the_others(self) -> None:
        receiver = self.receiver()
        with capturedLogs() as events:
            for _ in range(5):
                self.send(receiver, webhook_id=None)
            self.clock.advance(9.75)
            self.send(receiver, webhook_id=None)
            # A refusal of another kind is not hidden by them.
            self.send(receiver, method="GET")
            self.clock.advance(0.25)
            self.send(receiver, webhook_id=None)
        logged = self.refusals(events)
        self.assertEqual(len(logged), 3)
        self.assertIn("(5 more", logged[-1])

    def test_a_clock_that_is_set_back_does_not_silence_it(self) -> None:
        receiver = self.receiver()
        with capturedLogs() as events:
            self.send(receiver, webhook_id=None)
            self.clock.rightNow -= 3600
            self.send(receiver, webhook_id=None)
        self.assertEqual(len(self.refusals(events)), 2)

    def test_nothing_is_logged_of_a_delivery_that_is_accepted(self) -> None:
        with capturedLogs() as events:
            self.send(self.receiver())
        self.assertEqual(self.refusals(events), [])


class WallClockTests(ReceiverTestCase):
    """A reactor whose timers do not follow the wall clock."""

    def test_the_age_of_a_signature_is_that_by_the_wall_clock(self) -> None:
        receiver = self.receiver(reactor=Clock(), now=lambda: NOW + 200.0)
        self.assertEqual(self.code(self.send(receiver)), 204)
        late = self.receiver(reactor=self.clock, now=lambda: NOW + 400.0)
        self.refused(self.send(late), 401)

    def test_a_memory_is_told_the_time_by_the_wall_clock(self) -> None:
        told: list[float] = []

        class Memory:
            """Notes the times that it is told."""

            def is_handled(self, delivery: object, now: float) -> bool:
                told.append(now)
                return False

            def remember(self, delivery: object, now: float) -> None:
                told.append(now)

        receiver = self.receiver(reactor=Clock(), now=lambda: NOW + 1.0, memory=Memory())
        self.assertEqual(self.code(self.send(receiver)), 204)
        self.assertEqual(told, [NOW + 1.0] * 2)
