"""The resolver: which lookup waits for which, and threads that hang."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from statusjob.addresses import NoSuchName
from statusjob.failures import ExchangeFailed
from statusjob.server.delivery import resolver
from statusjob.server.delivery.resolver import (
    DOUBTFUL_LOOKUPS,
    LOOKUPS,
    LookupThreads,
    Resolver,
)
from tests.helpers.servers import PUBLIC
from tests.helpers.sockets import reactor


class ResolverTests(SynchronousTestCase):
    """Lookups that end when the test says."""

    def setUp(self) -> None:
        self.running: dict[str, Deferred[Sequence[str]]] = {}
        self.looked_up: list[str] = []
        self.resolver = Resolver(self.look_up)

    def look_up(self, name: str) -> Deferred[Sequence[str]]:
        self.assertNotIn(name, self.running)
        self.looked_up.append(name)
        self.running[name] = Deferred()
        return self.running[name]

    def answer(self, name: str, *addresses: str) -> None:
        self.running.pop(name).callback(addresses)

    def ask(self, *names: str) -> list[Deferred[Sequence[str]]]:
        return [self.resolver.resolve(name) for name in names]

    def assert_unknown(self, asked: Deferred[Sequence[str]]) -> None:
        error: Any = self.failureResultOf(asked, ExchangeFailed).value
        self.assertEqual(error.kind, "dns")

    def make_good(self, name: str) -> None:
        (asked,) = self.ask(name)
        self.answer(name, PUBLIC)
        self.successResultOf(asked)

    def fill(self, kind: str, number: int) -> list[str]:
        """Begin so many lookups that hang, and give their names."""
        names = [f"{kind}{n}.example" for n in range(number)]
        for name in names:
            # Its failure is of no interest.
            self.resolver.resolve(name).addErrback(lambda failure: None)
        return names

    def test_a_name_has_its_addresses_in_their_order(self) -> None:
        (asked,) = self.ask("a.example")
        self.assertNoResult(asked)
        self.answer("a.example", "2001:db8::1", PUBLIC)
        self.assertEqual(self.successResultOf(asked), ("2001:db8::1", PUBLIC))

    def test_a_name_without_addresses_fails(self) -> None:
        (asked,) = self.ask("a.example")
        self.answer("a.example")
        self.failureResultOf(asked, NoSuchName)

    def test_a_name_that_cannot_be_resolved_at_the_moment_fails_otherwise(self) -> None:
        (asked,) = self.ask("a.example")
        self.running.pop("a.example").errback(ExchangeFailed("dns", "cannot tell now"))
        error: Any = self.failureResultOf(asked, ExchangeFailed).value
        self.assertNotIsInstance(error, NoSuchName)
        self.assertEqual((error.kind, "at the moment" in error.reason), ("dns", True))

    def test_a_lookup_that_raises_an_exception_is_logged_and_frees_its_thread(self) -> None:
        for _ in range(LOOKUPS + 1):
            (asked,) = self.ask("a.example")
            self.running.pop("a.example").errback(RuntimeError("can't start new thread"))
            self.assert_unknown(asked)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), LOOKUPS + 1)

    def test_callers_during_a_lookup_get_the_same_answer(self) -> None:
        asked = self.ask("a.example", "a.example", "A.Example")
        self.assertEqual(self.looked_up, ["a.example"])
        self.answer("a.example", PUBLIC)
        for each in asked:
            self.assertEqual(self.successResultOf(each), (PUBLIC,))

    def test_a_caller_after_a_lookup_begins_a_new_one(self) -> None:
        self.make_good("a.example")
        (asked,) = self.ask("a.example")
        self.answer("a.example", "127.0.0.1")
        self.assertEqual(self.successResultOf(asked), ("127.0.0.1",))

    def test_cancelling_ends_the_wait_of_one_caller_and_not_the_lookup(self) -> None:
        first, second = self.ask("a.example", "a.example")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.answer("a.example", PUBLIC)
        self.successResultOf(second)

    def test_a_lookup_that_hangs_is_not_begun_again(self) -> None:
        for _ in range(3):
            (asked,) = self.ask("a.example")
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
        self.assertEqual(self.looked_up, ["a.example"])

    def test_a_caller_that_is_answered_may_cancel_another(self) -> None:
        first, second = self.ask("a.example", "a.example")
        first.addCallback(lambda _: second.cancel())
        self.answer("a.example", PUBLIC)
        self.failureResultOf(second, CancelledError)

    def test_a_caller_that_is_answered_may_ask_again(self) -> None:
        (asked,) = self.ask("a.example")
        again = asked.addCallback(lambda _: self.resolver.resolve("a.example"))
        self.answer("a.example", PUBLIC)
        self.assertNoResult(again)
        self.answer("a.example", "127.0.0.1")
        self.assertEqual(self.successResultOf(again), ("127.0.0.1",))

    def test_names_that_never_resolved_do_not_occupy_every_thread(self) -> None:
        self.fill("hangs", LOOKUPS)
        self.assertEqual(len(self.running), DOUBTFUL_LOOKUPS)

    def test_a_name_that_resolved_the_last_time_is_looked_up_at_once(self) -> None:
        self.make_good("good.example")
        self.fill("hangs", LOOKUPS)
        self.make_good("good.example")

    def test_a_name_that_did_not_resolve_the_last_time_is_doubtful_again(self) -> None:
        self.make_good("bad.example")
        (asked,) = self.ask("bad.example")
        self.answer("bad.example")
        self.assert_unknown(asked)
        self.fill("hangs", LOOKUPS)
        self.ask("bad.example")
        self.assertNotIn("bad.example", self.running)

    def test_doubtful_names_are_looked_up_in_the_order_of_the_calls(self) -> None:
        names = self.fill("hangs", DOUBTFUL_LOOKUPS + 2)
        self.assertEqual(self.looked_up, names[:-2])
        self.answer(names[5])
        self.answer(names[0], PUBLIC)
        self.assertEqual(self.looked_up, names)

    def test_good_names_go_first_and_are_bounded_too(self) -> None:
        good = [f"good{n}.example" for n in range(LOOKUPS + 1)]
        for name in good:
            self.make_good(name)
        hanging = self.fill("hangs", DOUBTFUL_LOOKUPS + 1)
        self.ask(*good)
        self.assertEqual(len(self.running), LOOKUPS)
        free = LOOKUPS - DOUBTFUL_LOOKUPS
        self.answer(hanging[0], PUBLIC)
        self.assertIn(good[free], self.running)
        self.assertNotIn(hanging[-1], self.running)

    def test_a_lookup_that_nobody_waits_for_is_not_begun(self) -> None:
        names = self.fill("hangs", DOUBTFUL_LOOKUPS)
        first, second, third = self.ask("a.example", "b.example", "b.example")
        for asked in (first, second):
            asked.cancel()
            self.failureResultOf(asked, CancelledError)
        self.answer(names[0])
        self.assertEqual(self.looked_up[-1], "b.example")
        self.answer("b.example", PUBLIC)
        self.successResultOf(third)

    def test_at_most_so_many_callers_may_wait(self) -> None:
        self.patch(resolver, "WAITERS", 3)
        asked = self.ask("a.example", "a.example", "b.example")
        (refused,) = self.ask("c.example")
        self.assert_unknown(refused)
        asked[0].cancel()
        self.failureResultOf(asked[0], CancelledError)
        self.answer("b.example", PUBLIC)
        self.ask("c.example", "c.example")
        self.assert_unknown(self.ask("c.example")[0])

    def test_only_the_good_names_that_were_used_last_are_remembered(self) -> None:
        self.patch(resolver, "GOOD_NAMES", 2)
        for name in ("a.example", "b.example", "a.example", "c.example"):
            self.make_good(name)
        self.fill("hangs", LOOKUPS)
        self.ask("a.example", "b.example", "c.example")
        self.assertIn("a.example", self.running)
        self.assertIn("c.example", self.running)
        self.assertNotIn("b.example", self.running)

    steps = st.sampled_from(["ask", "cancel", "good", "bad"])

    @given(st.lists(st.tuples(steps, st.integers(0, 9))))
    def test_whatever_happens_every_caller_is_answered_and_no_thread_is_lost(
        self, steps: list[tuple[str, int]]
    ) -> None:
        self.setUp()
        self.patch(resolver, "LOOKUPS", 3)
        self.patch(resolver, "DOUBTFUL_LOOKUPS", 2)
        waiting: list[Deferred[Any]] = []
        for step, n in steps:
            running = list(self.running)
            if step == "ask":
                waiting.append(self.resolver.resolve(f"{n}.example").addErrback(lambda _: None))
            elif step == "cancel" and waiting:
                waiting[n % len(waiting)].cancel()
            elif running:
                self.answer(running[n % len(running)], *([PUBLIC] if step == "good" else []))
            self.assertLessEqual(len(self.running), 3)
        while self.running:
            self.answer(next(iter(self.running)))
        for each in waiting:
            self.successResultOf(each)
        self.fill("hangs", 9)
        self.assertEqual(len(self.running), 2)


class ThreadsTests(TestCase):
    """Real threads. A lookup that hangs does so until its test is over."""

    timeout = 60

    def setUp(self) -> None:
        self.release = threading.Event()
        self.threads = LookupThreads(reactor, self.addresses)
        self.resolver = Resolver(self.threads.look_up)
        self.used: set[threading.Thread] = set()
        self.addCleanup(self.end)

    def addresses(self, name: str) -> Sequence[str]:
        self.used.add(threading.current_thread())
        if name.startswith("hangs"):
            self.release.wait(60)
        return (PUBLIC,)

    def end(self) -> None:
        """Let lookups that hang return, and check that no thread is left."""
        self.threads.stop()
        self.release.set()
        for thread in self.used:
            thread.join(10)
            self.assertFalse(thread.is_alive())

    async def test_thirty_names_that_hang_hold_up_no_other_name(self) -> None:
        await self.resolver.resolve("before.example")
        hanging = [self.resolver.resolve(f"hangs{n}.example") for n in range(30)]
        await self.resolver.resolve("before.example")
        await self.resolver.resolve("never.example")
        self.assertEqual(await deferToThread(lambda: "done"), "done")
        self.assertEqual([each.called for each in hanging], [False] * 30)
        self.assertGreaterEqual(len(self.used), 31)
        self.release.set()
        await gatherResults(hanging)

    async def test_a_stop_does_not_wait_for_a_lookup_that_hangs(self) -> None:
        hanging = self.resolver.resolve("hangs.example")
        await self.resolver.resolve("a.example")
        self.threads.stop()
        self.assertFalse(hanging.called)
        self.release.set()
        await hanging

    async def test_no_thread_begins_before_the_first_lookup(self) -> None:
        before = set(threading.enumerate())
        threads = LookupThreads(reactor, self.addresses)
        self.addCleanup(threads.stop)
        self.assertEqual(set(threading.enumerate()) - before, set())
        await threads.look_up("a.example")
        self.assertEqual(set(threading.enumerate()) - before, self.used)

    def test_threads_that_were_never_needed_can_be_stopped(self) -> None:
        self.threads.stop()


class ExitTests(SynchronousTestCase):
    """A process ends although a lookup hangs."""

    def test_a_process_does_not_wait_for_a_lookup_that_hangs(self) -> None:
        program = (
            "import threading\n"
            "from twisted.internet import reactor\n"
            "from statusjob.server.delivery.resolver import LookupThreads\n"
            "def hang(name):\n"
            "    reactor.callFromThread(reactor.stop)\n"
            "    threading.Event().wait()\n"
            "threads = LookupThreads(reactor, hang)\n"
            "reactor.callWhenRunning(threads.look_up, 'hangs.example')\n"
            "reactor.run()\n"
            "threads.stop()\n"
            "print('over')\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"over\n", b""))
