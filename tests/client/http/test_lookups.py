"""Names are looked up while the threads of the reactor are busy."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from statusjob import StatusClient
from statusjob.client.http.lookups import LookupReactor, LookupThreads
from statusjob.client.http.twisted_private import resolver_in_threads
from tests.helpers.scripted_server import COMPLETED, ScriptedServer
from tests.helpers.sockets import SocketTestCase, reactor


class LookupTests(SocketTestCase):
    """On the real reactor."""

    async def test_an_application_that_occupies_all_threads_does_not_delay_requests(self) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        pool = reactor.getThreadPool()
        busy = [deferToThread(released.wait) for _ in range(pool.max)]
        base = self.serve(ScriptedServer(Clock(), otherwise=COMPLETED))
        for url in (base, base.replace("127.0.0.1", "localhost")):
            await StatusClient(url, reactor=reactor).get_status()
        self.assertFalse(any(each.called for each in busy))
        released.set()
        await gatherResults(busy)

    async def test_so_many_lookups_that_hang_do_not_take_more_threads(self) -> None:
        released = threading.Event()
        self.addCleanup(released.set)
        threads, running = LookupThreads(2), threading.Semaphore(0)

        def hang() -> str:
            running.release()
            released.wait()
            return threading.current_thread().name

        hanging = [deferToThreadPool(reactor, threads, hang) for _ in range(9)]  # type: ignore[arg-type]
        for _ in range(2):
            running.acquire()
        self.assertFalse(running.acquire(timeout=0.05))
        released.set()
        self.assertEqual(set(await gatherResults(hanging)), {"statusjob-lookup"})

    async def test_a_failure_in_a_thread_is_passed_on(self) -> None:
        threads: Any = LookupThreads(1)
        for _ in range(2):
            failing = deferToThreadPool(reactor, threads, lambda: 1 / 0)
            await self.assertFailure(failing, ZeroDivisionError)
        self.assertEqual(await deferToThreadPool(reactor, threads, lambda: 7), 7)


class ResolverTests(SynchronousTestCase):
    """The resolver of the reactor."""

    def test_a_resolver_that_the_application_has_installed_is_used(self) -> None:
        @implementer(IHostnameResolver)
        class Installed:
            def resolveHostName(self, *arguments: Any, **more: Any) -> Any:
                raise NotImplementedError

        stand_in, threads = LookupReactor(reactor, LookupThreads()), LookupThreads()
        own = stand_in.nameResolver
        self.assertIsNot(own, reactor.nameResolver)
        self.assertIs(stand_in.installNameResolver(installed := Installed()), own)
        self.assertIs(resolver_in_threads(stand_in, threads), installed)

    def test_a_lookup_takes_no_thread_of_the_reactor(self) -> None:
        threads = LookupThreads()
        asked: list[Any] = []
        self.patch(threads, "callInThreadWithCallback", lambda *given: asked.append(given))
        resolver: Any = resolver_in_threads(reactor, threads)

        class Receiver:
            def resolutionBegan(self, resolution: object) -> None:
                pass

        resolver.resolveHostName(Receiver(), "localhost")
        self.assertIn("localhost", asked[0])
