"""Coroutines that whoever cancels them ends for certain."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.http.cancelling import Cancellation, cancellable
from statusjob.client.http.exchange import Answer, exchange
from statusjob.failures import ExchangeFailed


class CancellableTests(SynchronousTestCase):
    """C{cancellable}."""

    def begin(self, waiting: Deferred[Any]) -> Deferred[Any]:
        """Begin a coroutine that waits for a Deferred."""

        async def run(cancellation: Cancellation) -> Any:
            self.cancellation = cancellation
            return await waiting

        return cancellable(run)

    def test_a_result_and_an_error_are_passed_on(self) -> None:
        waiting: Deferred[str] = Deferred()
        outcome = self.begin(waiting)
        self.assertNoResult(outcome)
        waiting.callback("done")
        self.assertEqual(self.successResultOf(outcome), "done")
        waiting = Deferred()
        outcome = self.begin(waiting)
        waiting.errback(ZeroDivisionError())
        self.failureResultOf(outcome, ZeroDivisionError)
        self.assertFalse(self.cancellation.requested)
        self.cancellation.check()

    def test_a_cancellation_that_became_another_error_is_one_all_the_same(self) -> None:
        lookup: Deferred[None] = Deferred(lambda each: each.errback(DNSLookupError()))
        outcome = self.begin(lookup)
        outcome.cancel()
        error = self.failureResultOf(outcome, CancelledError).value
        self.assertIsInstance(error.__cause__, DNSLookupError)
        self.assertRaises(CancelledError, self.cancellation.check)

    def test_a_result_in_spite_of_the_cancellation_is_discarded(self) -> None:
        outcome = self.begin(Deferred(lambda each: each.callback("done")))
        outcome.cancel()
        self.failureResultOf(outcome, CancelledError)

    def test_a_cancelled_coroutine_is_waited_for(self) -> None:
        cleaned: Deferred[None] = Deferred()

        async def run(_: Cancellation) -> None:
            try:
                await Deferred()
            finally:
                await cleaned

        outcome = cancellable(run)
        outcome.cancel()
        self.assertNoResult(outcome)
        cleaned.callback(None)
        self.failureResultOf(outcome, CancelledError)

    def test_who_waits_in_a_chain_or_in_a_coroutine_may_cancel_too(self) -> None:
        def chain() -> Deferred[Any]:
            started: Deferred[None] = Deferred()
            started.callback(None)
            return started.addCallback(lambda _: self.begin(Deferred()))

        async def wait() -> None:
            await self.begin(Deferred())

        for begin in (chain, lambda: Deferred.fromCoroutine(wait())):
            outer = begin()
            outer.cancel()
            self.failureResultOf(outer, CancelledError)
            self.assertTrue(self.cancellation.requested)


class ExchangeTests(SynchronousTestCase):
    """An exchange while the host's name is being resolved."""

    def setUp(self) -> None:
        self.clock = Clock()

    def ask(self) -> Deferred[Answer]:
        """Make an exchange with a host whose name is never resolved, as C{HostnameEndpoint}."""
        lookup: Deferred[Any] = Deferred(lambda each: each.errback(DNSLookupError()))
        return exchange(self.clock, lambda: lookup, deadline=10, limit=100)

    def test_cancelling_is_no_failure_of_the_lookup(self) -> None:
        asked = self.ask()
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_timeout_of_the_caller_is_no_failure_of_the_lookup(self) -> None:
        asked = self.ask().addTimeout(1, self.clock)
        self.clock.advance(1)
        self.failureResultOf(asked, TimeoutError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_deadline_is_a_failure_by_timeout(self) -> None:
        asked = self.ask()
        self.clock.advance(10)
        error = self.failureResultOf(asked, ExchangeFailed).value
        self.assertEqual(error.kind, "timeout")
