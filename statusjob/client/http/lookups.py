"""
Connects to hosts by name, and looks the names up in threads of its own.

Twisted uses the threads of the reactor, which an application may occupy for hours with work of its
own. Requests that need a new connection, such as the heartbeats of that work, must not wait for
it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, Thread
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from statusjob.addresses import (
    AddressedReactor,
    CannotLookUp,
    NoSuchName,
    connect_to,
    is_address,
    system_addresses,
)
from statusjob.client.http.twisted_private import installed_resolver

#: Most lookups of one reactor at the same time. One that hangs takes a thread for a while.
LOOKUPS = 16
#: Seconds that one address may take to accept a connection. Requests have deadlines of their own.
CONNECT_TIMEOUT = 30.0


class LookupThreads:
    """
    A few threads, each of which ends when it has nothing to do.

    They do not keep the process alive. This is a thread pool as far as
    C{twisted.internet.threads.deferToThreadPool} needs one.
    """

    def __init__(self, limit: int = LOOKUPS) -> None:
        """
        @param limit: the greatest number of threads at the same time.
        """
        self._lock = Lock()
        self._free = limit
        self._waiting: deque[tuple[Callable[[bool, Any], object], Callable[[], object]]] = deque()

    def callInThreadWithCallback(
        self,
        on_result: Callable[[bool, Any], object],
        function: Callable[..., object],
        *args: Any,
        **more: Any,
    ) -> None:
        """
        Call a function in a thread.

        @param on_result: called there with whether it succeeded, and the result or the failure.
            If no thread can be started, it is called here, with L{CannotLookUp}.
        """
        call = on_result, partial(function, *args, **more)
        with self._lock:
            self._waiting.append(call)
            if not self._free:
                return
            self._free -= 1
        try:
            Thread(target=self._work, daemon=True, name="statusjob-lookup").start()
        except RuntimeError:
            with self._lock:
                self._free += 1
                if call not in self._waiting:
                    # Another thread has taken it meanwhile.
                    return
                self._waiting.remove(call)
            on_result(False, Failure(CannotLookUp()))

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                on_result, function = self._waiting.popleft()
            try:
                result = function()
            except BaseException:
                on_result(False, Failure())
            else:
                on_result(True, result)


class Lookups:
    """
    Looks names up in threads, each name once at a time, however many ask for it.

    While a resolver hangs, requests time out and are made again: what is queued must not grow.
    """

    def __init__(self) -> None:
        # For each name that is being looked up, those who wait for its addresses.
        self._waiters: dict[str, set[Deferred[Sequence[str]]]] = {}
        self._threads: Any = LookupThreads()

    def addresses(self, reactor: Any, host: str) -> Deferred[Sequence[str]]:
        """
        Look a name up.

        @return: fires with its addresses, which are empty if there are none; fails with
            L{CannotLookUp}. Cancelling it ends the waiting, but not the lookup.
        """
        if host not in self._waiters:
            self._waiters[host] = set()
            found = deferToThreadPool(reactor, self._threads, system_addresses, host)
            found.addBoth(self._answer, host)
        waiters = self._waiters[host]
        waiter: Deferred[Sequence[str]] = Deferred(waiters.discard)
        waiters.add(waiter)
        return waiter

    def _answer(self, result: Sequence[str] | Failure, host: str) -> None:
        waiters = self._waiters.pop(host)
        while waiters:
            waiters.pop().callback(result)


@implementer(IStreamClientEndpoint)
class HostEndpoint:
    """Connects to one host, whatever its name looks like."""

    def __init__(self, reactor: Any, lookups: Lookups, host: str, port: int) -> None:
        """
        @param host: a name in ASCII, or an IP address.
        """
        self._reactor = reactor
        self._lookups = lookups
        self._host = host
        self._port = port

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the host up, and connect to the first of its addresses that answers."""
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        found = await self._look_up()
        if not found:
            raise NoSuchName
        addressed = AddressedReactor(self._reactor, found)
        return await connect_to(addressed, self._port, factory, timeout=CONNECT_TIMEOUT)

    async def _look_up(self) -> Sequence[str]:
        """Look the host up in a thread, or by the resolver that the application has installed."""
        if is_address(self._host):
            return (self._host,)
        resolver = installed_resolver(self._reactor)
        if resolver is not None:
            answer = _Answer()
            resolver.resolveHostName(answer, self._host, self._port)
            return await answer.complete
        return await self._lookups.addresses(self._reactor, self._host)


@implementer(IResolutionReceiver)
class _Answer:
    """
    The answer of a resolver of Twisted.

    @ivar complete: fires with the addresses.
    """

    def __init__(self) -> None:
        self.complete: Deferred[Sequence[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Do nothing."""

    def addressResolved(self, address: IAddress) -> None:
        """Take note of an address."""
        found: Any = address
        self._found.append(found.host)

    def resolutionComplete(self) -> None:
        """Tell the addresses."""
        self.complete.callback(self._found)
