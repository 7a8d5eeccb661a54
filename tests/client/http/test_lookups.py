"""Names are looked up while the threads of the reactor are busy."""

from __future__ import annotations

import threading
from socket import EAI_AGAIN, EAI_NONAME, gaierror
from typing import Any
from unittest import mock

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from statusjob import StatusClient, Unreachable, addresses
from statusjob.addresses import AddressedReactor, CannotLookUp
from statusjob.client.http import lookups as lookups_module
from statusjob.client.http.lookups import HostEndpoint, Lookups, LookupThreads
from statusjob.client.http.twisted_private import installed_resolver
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

    async def test_threads_that_cannot_be_started_fail_a_lookup_and_no_later_one(self) -> None:
        threads: Any = LookupThreads(1)

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with mock.patch.object(threading.Thread, "start", refuse):
            for _ in range(3):
                failing = deferToThreadPool(reactor, threads, lambda: 7)
                await self.assertFailure(failing, CannotLookUp)
        self.assertEqual(await deferToThreadPool(reactor, threads, lambda: 7), 7)

    async def test_a_name_that_cannot_be_looked_up_now_is_told_from_one_that_does_not_exist(
        self,
    ) -> None:
        for code, lasting in ((EAI_AGAIN, False), (EAI_NONAME, True)):
            failing = mock.Mock(side_effect=gaierror(code, "no"))
            self.patch(addresses, "getaddrinfo", failing)
            with self.assertRaises(Unreachable) as raised:
                await StatusClient("http://a.example", reactor=reactor).get_status()
            self.assertEqual(raised.exception.kind, "dns")
            self.assertIs(raised.exception.lasting, lasting)

    async def test_all_who_wait_get_the_answer_and_who_comes_later_gets_a_new_one(self) -> None:
        lookups = Lookups()
        for found in (("127.0.0.1",), ("127.0.0.2",)):
            self.patch(lookups_module, "system_addresses", lambda _, found=found: found)
            finding = [lookups.addresses(reactor, "a.example") for _ in range(3)]
            self.assertEqual(await gatherResults(finding), [found] * 3)


class ResolverTests(SynchronousTestCase):
    """The resolver of the reactor."""

    def test_a_resolver_that_the_application_has_installed_is_used(self) -> None:
        @implementer(IHostnameResolver)
        class Installed:
            def resolveHostName(self, *arguments: Any, **more: Any) -> Any:
                raise NotImplementedError

        stand_in: Any = AddressedReactor(reactor, [])
        stand_in.nameResolver = Installed()
        connecting = HostEndpoint(stand_in, Lookups(), "localhost", 80).connect(Factory())
        self.failureResultOf(connecting, NotImplementedError)
        self.assertIsNone(installed_resolver(reactor))

    def test_a_lookup_takes_no_thread_of_the_reactor_and_is_shared_by_all_who_ask(self) -> None:
        asked: list[Any] = []
        self.patch(
            LookupThreads, "callInThreadWithCallback", lambda _, *given: asked.append(given)
        )
        lookups = Lookups()
        for host in ("a.example", "b.example") * 3:
            finding = [lookups.addresses(reactor, host) for _ in range(3)]
            for each in finding:
                each.cancel()
                self.failureResultOf(each, CancelledError)
        self.assertEqual([each[-1] for each in asked], ["a.example", "b.example"])
