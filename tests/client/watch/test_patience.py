"""What is tolerated before the first answer, and what is logged: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.logger import LogLevel, capturedLogs

from statusjob import RetriesExhausted, Status, StatusClient, Unreachable
from statusjob.addresses import CannotLookUp
from statusjob.failures import ExchangeFailed
from tests.helpers.scripted_server import BASE, COMPLETED, PENDING, ClientTestCase


class FailingTreq:
    """
    Fails requests, and then passes them on to a server.

    @ivar failures: the errors of the next requests.
    @ivar times: when requests came.
    """

    def __init__(self, case: ClientTestCase, *failures: Exception) -> None:
        self.failures = list(failures)
        self.times: list[float] = []
        self._case = case

    def request(self, *args: Any, **options: Any) -> Deferred[Any]:
        """Fail, or pass it on."""
        self.times.append(self._case.clock.seconds())
        if self.failures:
            return fail(self.failures.pop(0))
        answered: Deferred[Any] = self._case.server.stub.request(*args, **options)
        return answered


class PatienceTests(ClientTestCase):
    """Failures of a server that was never heard, and of one that was."""

    def monitor(self, treq: FailingTreq, **options: Any) -> Deferred[Status]:
        """Monitor through this."""
        client = StatusClient(
            BASE, reactor=self.clock, treq=treq, random=lambda: 0.0, on_update=None, **options
        )
        return client.start_monitoring()

    def test_what_cannot_get_better_ends_it_after_five_tries_and_thirty_seconds(self) -> None:
        self.serve()
        for kind, error in (
            ("dns", DNSLookupError()),
            ("tls", ExchangeFailed("tls", "an untrusted certificate")),
        ):
            treq = FailingTreq(self, *[error] * 20)
            begun = self.clock.seconds()
            monitored = self.monitor(treq)
            self.server.pass_time(200)
            cause = self.failureResultOf(monitored, RetriesExhausted).value.__cause__
            assert isinstance(cause, Unreachable)
            self.assertEqual(cause.kind, kind)
            self.assertEqual([each - begun for each in treq.times], [0, 4, 12, 28, 58])

    def test_thirty_seconds_must_have_passed_even_after_many_tries(self) -> None:
        self.serve()
        treq = FailingTreq(self, *[DNSLookupError()] * 50)
        begun = self.clock.seconds()
        monitored = self.monitor(treq, polling_interval=1, max_interval=2, max_retries=100)
        self.server.pass_time(200)
        self.failureResultOf(monitored, RetriesExhausted)
        self.assertEqual(treq.times[-1] - begun, 30)

    def test_a_name_that_appears_late_is_found(self) -> None:
        self.serve(COMPLETED)
        monitored = self.monitor(FailingTreq(self, *[DNSLookupError()] * 4))
        self.server.pass_time(100)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_what_may_get_better_has_all_retries(self) -> None:
        self.serve(COMPLETED)
        monitored = self.monitor(FailingTreq(self, *[ConnectionRefusedError()] * 9))
        self.server.pass_time(400)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_a_machine_without_network_for_some_minutes_has_all_retries(self) -> None:
        self.serve(COMPLETED)
        monitored = self.monitor(FailingTreq(self, *[CannotLookUp()] * 9))
        self.server.pass_time(400)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_after_an_answer_all_failures_have_all_retries(self) -> None:
        self.serve(PENDING, COMPLETED)
        treq = FailingTreq(self)
        monitored = self.monitor(treq)
        treq.failures = [DNSLookupError()] * 9
        self.server.pass_time(400)
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_the_first_failure_of_a_row_is_a_warning(self) -> None:
        self.serve(PENDING, COMPLETED)
        refused = ConnectionRefusedError()
        treq = FailingTreq(self, refused, refused)
        with capturedLogs() as events:
            self.monitor(treq)
            self.server.pass_time(13)
            treq.failures = [refused, refused]
            self.server.pass_time(100)
        levels = [each["log_level"] for each in events if "asking again" in each["log_format"]]
        self.assertEqual(levels, [LogLevel.warn, LogLevel.info] * 2)
