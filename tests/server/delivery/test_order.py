"""The order of deliveries: which updates of a job a webhook gets, and in which order."""

from __future__ import annotations

from itertools import pairwise

from statusjob.jobs import Job
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from statusjob.server.store.outbox_write import PROGRESS_INTERVAL
from tests.helpers.core import COMPLETED, hook, version_of
from tests.helpers.delivery import OK, REFUSED, DeliveryTestCase
from tests.helpers.outbox import ALL
from tests.helpers.servers import EPOCH

BROKEN = Outcome("http", 500)


class OrderTestCase(DeliveryTestCase):
    """A job with a webhook for all types of events."""

    def setUp(self) -> None:
        super().setUp()
        self.watched = self.job(events=ALL)
        self.broken: set[int] = set()
        self.received: list[int] = []
        self.reports = 0
        self.sender.answers = self.answer

    def answer(self, claim: Claim) -> Outcome:
        """Answer 500 once for each version in C{broken}, and 200 for all others."""
        version = version_of(claim)
        if version in self.broken:
            self.broken.remove(version)
            return BROKEN
        if claim.job_id == self.watched.id:
            self.received.append(version)
        return OK

    def progress(self, job: Job | None = None) -> int:
        """Make one more report, and give its version."""
        self.reports += 1
        body = b'{"message":"%d"}' % self.reports
        return self.report(self.box, job or self.watched, body).version

    def since(self, sent: int) -> list[tuple[float, int]]:
        """Give the times and versions of what was sent after the first C{sent} attempts."""
        return [(time, version_of(claim)) for time, claim in self.sender.sent[sent:]]


class RisingTests(OrderTestCase):
    """Versions only rise."""

    def test_versions_rise_whichever_report_fails_and_however_fast_they_come(self) -> None:
        for gap in (0.0, 0.1, 0.6, 2.0, 8.0):
            for broken in range(2, 7):
                self.setUp()
                self.broken = {broken}
                for _ in range(4):
                    self.progress()
                    self.box.clock.pump([gap / 4] * 4)
                ended = self.box.clock.seconds() - EPOCH
                self.finish(self.watched)
                self.pump(1, 0.002)
                at = dict((version, time) for time, version in self.since(0)[::-1])[6]
                self.assertLess(at, ended + 0.01, (gap, broken))
                self.pump(60)
                self.assertEqual(self.received, sorted(set(self.received)), (gap, broken))
                self.assertEqual(self.received[-1], 6)

    def test_the_end_of_a_job_does_not_wait_for_the_retry_of_its_progress(self) -> None:
        self.broken = {2}
        self.progress()
        self.rounds()
        self.box.clock.advance(1)
        sent = len(self.sender.sent)
        self.finish(self.watched)
        self.rounds()
        ((time, version),) = self.since(sent)
        self.assertEqual((version, self.received), (3, [3]))
        self.assertLess(time, 1.01)

    def test_an_attempt_for_one_job_holds_up_no_other_job(self) -> None:
        others = [self.job(f"http://{host}.example/") for host in ("receiver", "other")]
        self.sender.answers = lambda claim: (
            None if claim.job_id == self.watched.id else self.answer(claim)
        )
        self.progress()
        self.rounds()
        self.progress()
        for job in others:
            self.finish(job)
        self.rounds()
        self.assertEqual(self.states(), ["sending", "delivered", "delivered", "pending"])

    def test_of_the_updates_that_come_during_an_attempt_the_newest_is_sent_after_it(self) -> None:
        self.sender.answers = lambda claim: None
        self.progress()
        self.rounds()
        for _ in range(3):
            self.progress()
            self.box.clock.advance(1)
        self.finish(self.watched)
        self.rounds()
        self.assertEqual(self.sender.versions, [2])
        self.sender.under_way[0].callback(OK)
        self.rounds()
        self.assertEqual(self.sender.versions, [2, 6])


class LatestTests(OrderTestCase):
    """A receiver that was down gets the newest state, and not all that it missed."""

    def be_away(self, reports: int) -> int:
        """Let the receiver be down during so many reports, and count the attempts."""
        self.sender.answers = lambda claim: REFUSED
        for _ in range(reports):
            self.progress()
            self.box.clock.pump([0.05, 0.05])
        self.sender.answers = self.answer
        return len(self.sender.sent)

    def test_of_1000_missed_reports_the_newest_arrives_and_then_the_end(self) -> None:
        sent = self.be_away(1000)
        self.pump(400)
        self.assertEqual([version for _, version in self.since(sent)], [1001])
        self.finish(self.watched)
        self.pump(10)
        self.assertEqual([version for _, version in self.since(sent)], [1001, 1002])

    def test_if_the_job_ended_meanwhile_the_receiver_gets_the_end_alone(self) -> None:
        sent = self.be_away(1000)
        self.finish(self.watched)
        self.pump(400)
        self.assertEqual([version for _, version in self.since(sent)], [1002])

    def test_reports_do_not_hammer_a_receiver_that_is_down(self) -> None:
        self.assertLess(self.be_away(1000), 12)

    def test_the_end_of_a_job_is_due_at_once_after_the_pause_of_its_origin(self) -> None:
        sent = self.be_away(1000)
        ((paused_until,),) = self.rows(self.box, "SELECT paused_until FROM origins")
        self.assertGreater(paused_until, self.box.now() + 1)
        self.finish(self.watched)
        self.rounds()
        self.assertEqual(len(self.sender.sent), sent)
        self.box.clock.advance(paused_until - self.box.now())
        self.rounds()
        self.assertEqual([version for _, version in self.since(sent)], [1002])


class PaceTests(OrderTestCase):
    """Progress of one job reaches one webhook at most every half second."""

    def gaps(self) -> list[float]:
        return [round(later - sooner, 3) for sooner, later in pairwise(self.sender.times)]

    def test_progress_is_sent_at_most_every_half_second_however_often_it_is_reported(self) -> None:
        for _ in range(200):
            self.progress()
            self.box.clock.advance(0.05)
        self.assertGreaterEqual(min(self.gaps()), PROGRESS_INTERVAL)
        self.assertGreater(len(self.sender.sent), 10 / 0.6)

    def test_the_last_report_is_sent_as_well(self) -> None:
        for _ in range(3):
            last = self.progress()
            self.box.clock.advance(0.05)
        self.pump(1, 0.01)
        self.assertEqual(self.received, [2, last])

    def test_a_report_after_a_while_is_sent_at_once(self) -> None:
        self.progress()
        self.box.clock.advance(0)
        self.box.clock.advance(PROGRESS_INTERVAL)
        self.progress()
        self.box.clock.advance(0)
        self.assertEqual(self.gaps(), [PROGRESS_INTERVAL])

    def test_the_end_of_a_job_is_not_delayed(self) -> None:
        self.progress()
        self.rounds()
        self.progress()
        self.rounds()
        self.assertEqual(self.received, [2])
        self.report(self.box, self.watched, COMPLETED)
        self.rounds()
        self.assertEqual(self.received, [2, 4])
        self.assertLess(self.sender.times[-1], 0.02)

    def test_the_interval_holds_for_each_job_and_each_webhook_alone(self) -> None:
        second = self.job(events=ALL)
        registering = self.box.registrations.register
        self.successResultOf(registering(self.watched.id, hook("http://b.example/", events=ALL)))
        self.progress()
        self.progress(second)
        self.rounds()
        self.assertEqual(len(self.sender.sent), 3)

    def test_progress_is_sent_although_the_clock_is_set_back(self) -> None:
        self.progress()
        self.rounds()
        self.box.ahead -= 3600
        for _ in range(4):
            last = self.progress()
            self.box.clock.advance(PROGRESS_INTERVAL + 0.01)
        self.rounds()
        self.assertEqual(self.received[-1], last)
