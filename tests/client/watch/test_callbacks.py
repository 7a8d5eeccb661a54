"""Callbacks that take their time: in memory, on a clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail

from statusjob import MonitoringTimeout, Status, StatusClient
from tests.helpers.scripted_server import (
    COMPLETED,
    PENDING,
    ClientTestCase,
    answer,
    event,
)

HOOK = "https://receiver.test/hook"


class CallbackTestCase(ClientTestCase):
    """
    A client whose callback is under way until a test lets it end.

    @ivar gates: let the calls end, one each.
    """

    def setUp(self) -> None:
        super().setUp()
        self.gates: list[Deferred[None]] = []

    def hold(self, status: Status) -> Deferred[None]:
        """The callback."""
        self.seen.append(status)
        self.gates.append(Deferred())
        return self.gates[-1]

    async def hold_in_a_coroutine(self, status: Status) -> None:
        """The same as a coroutine function."""
        await self.hold(status)

    def let_go(self) -> None:
        """Let the call end that is under way."""
        self.gates.pop(0).callback(None)
        self.server.settle()


class AwaitedTests(CallbackTestCase):
    """What a callback returns is awaited."""

    def test_the_next_request_waits_until_the_callback_is_done(self) -> None:
        for callback in (self.hold, self.hold_in_a_coroutine):
            self.seen.clear()
            self.serve(PENDING, COMPLETED)
            monitored = self.client(on_update=callback).start_monitoring()
            self.server.pass_time(100)
            self.assertEqual((self.seen, len(self.server.requests)), ([Status.PENDING], 1))
            self.let_go()
            self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])
            self.assertNoResult(monitored)
            self.let_go()
            self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_the_time_of_a_callback_does_not_lengthen_the_wait(self) -> None:
        self.serve(PENDING, COMPLETED)
        self.client(on_update=self.hold).start_monitoring()
        self.server.pass_time(1.5)
        self.let_go()
        self.server.pass_time(1)
        self.assertEqual(self.waits(), [2])
        self.let_go()

    def test_its_failure_fails_the_monitoring(self) -> None:
        async def fail_in_a_coroutine(status: Status) -> None:
            raise ZeroDivisionError

        callbacks: list[Callable[[Status], object]] = [
            fail_in_a_coroutine,
            lambda _: fail(ZeroDivisionError()),
        ]
        for callback in callbacks:
            for said in (PENDING, COMPLETED):
                self.serve(said)
                monitored = self.client(on_update=callback).start_monitoring()
                self.failureResultOf(monitored, ZeroDivisionError)

    def test_a_failure_that_takes_its_time_fails_the_monitoring_too(self) -> None:
        for said in (PENDING, COMPLETED):
            self.serve(said)
            monitored = self.client(on_update=self.hold_in_a_coroutine).start_monitoring()
            self.assertNoResult(monitored)
            self.gates.pop().errback(ZeroDivisionError())
            self.failureResultOf(monitored, ZeroDivisionError)
            self.assertEqual(len(self.server.requests), 1)

    def test_an_end_that_a_webhook_tells_meanwhile_is_told_afterwards(self) -> None:
        self.serve(PENDING)
        client = self.client(on_update=self.hold)
        monitored = client.start_monitoring()
        client.notify(event("completed"))
        client.notify(event("completed"))
        self.assertEqual(self.seen, [Status.PENDING])
        self.let_go()
        self.assertEqual(self.seen, [Status.PENDING, Status.COMPLETED])
        self.assertNoResult(monitored)
        self.let_go()
        self.assertIs(self.successResultOf(monitored), Status.COMPLETED)

    def test_cancelling_the_monitoring_cancels_the_callback(self) -> None:
        for said in (PENDING, COMPLETED):
            self.serve(said)
            monitored = self.client(on_update=self.hold).start_monitoring()
            monitored.cancel()
            self.failureResultOf(monitored, CancelledError)
            self.assertTrue(self.gates.pop().called)

    def test_a_callback_that_cancels_the_monitoring_is_cancelled_at_its_next_await(self) -> None:
        async def cancel(status: Status) -> None:
            if status is Status.COMPLETED:
                monitored.cancel()
                await self.hold(status)

        self.serve(PENDING, COMPLETED)
        monitored = self.client(on_update=cancel).start_monitoring()
        self.server.pass_time(10)
        self.failureResultOf(monitored, CancelledError)
        self.assertTrue(self.gates.pop().called)

    def test_the_timeout_includes_the_callback(self) -> None:
        for said in (PENDING, COMPLETED):
            self.serve(said)
            monitored = self.client(on_update=self.hold, timeout=5).start_monitoring()
            self.server.pass_time(4.75)
            self.assertNoResult(monitored)
            self.server.pass_time(0.25)
            self.failureResultOf(monitored, MonitoringTimeout)
            self.assertTrue(self.gates.pop().called)


class StoppingTests(CallbackTestCase):
    """Stopping the monitoring while a callback is under way."""

    def stopping(self, *said: Any, after: Callable[[], object] = lambda: None) -> StatusClient:
        """Return a client that is stopped by its own callback, which then goes on."""
        self.serve(*said, otherwise=answer(200, b"{}"))

        async def stop(status: Status) -> None:
            self.seen.append(status)
            await client.stop_monitoring()
            after()
            await self.hold(status)

        client = self.client(on_update=stop, webhook_url=HOOK)
        return client

    def test_a_callback_may_wait_until_the_monitoring_has_stopped(self) -> None:
        for said, result in ((COMPLETED, Status.COMPLETED), (PENDING, Status.PENDING)):
            client = self.stopping(answer(200, b"{}"), said)
            monitored = client.start_monitoring()
            self.assertIs(self.successResultOf(monitored), result)
            self.assertEqual(self.server.asked[-1].split("/")[-1], "unregister")
            # The callback is still under way, and nothing waits for it.
            self.assertNoResult(self.gates[-1])
            self.gates.pop().callback(None)

    def test_stopping_from_outside_neither_waits_for_a_callback_nor_cancels_it(self) -> None:
        for said, result in ((COMPLETED, Status.COMPLETED), (PENDING, Status.PENDING)):
            self.serve(said)
            client = self.client(on_update=self.hold)
            monitored = client.start_monitoring()
            self.assertNoResult(monitored)
            self.successResultOf(client.stop_monitoring())
            self.assertIs(self.successResultOf(monitored), result)
            self.assertNoResult(self.gates[-1])
            self.gates.pop().callback(None)

    def test_what_fails_after_that_is_logged(self) -> None:
        def fail() -> None:
            raise ZeroDivisionError

        client = self.stopping(answer(200, b"{}"), COMPLETED, after=fail)
        self.assertIs(self.successResultOf(client.start_monitoring()), Status.COMPLETED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_it_can_be_monitored_again_while_the_callback_goes_on(self) -> None:
        self.serve(otherwise=COMPLETED)
        client = self.client(on_update=self.hold)
        for _ in range(2):
            monitored = client.start_monitoring()
            self.successResultOf(client.stop_monitoring())
            self.assertIs(self.successResultOf(monitored), Status.COMPLETED)
        self.let_go()
        self.let_go()
