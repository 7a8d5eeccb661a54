"""
The resolver: looks names up in threads of its own, so that slow DNS delays only those who ask it.

The system's resolver blocks its thread for as long as it likes, and cannot be
interrupted. So no name is looked up twice at the same time, names that did not
resolve the last time never occupy every thread, and nothing waits for a thread
to end. Callers decide how long they wait for an answer. Whether its addresses
may be reached is decided in L{statusjob.server.delivery.guard}.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from statusjob.addresses import CannotLookUp, NoSuchName, system_addresses
from statusjob.failures import ExchangeFailed

#: Most names that are looked up at the same time.
LOOKUPS = 64
#: Most of these that may be doubtful: names that have not resolved yet, or not the last time.
DOUBTFUL_LOOKUPS = 48
#: Most names that are remembered because they resolved the last time.
GOOD_NAMES = 4096
#: Most callers that may wait for an answer at the same time.
WAITERS = 4096

#: Looks up the addresses of a name. It gives an empty sequence if there are none, and fails with
#: L{ExchangeFailed} if that cannot be told now.
LookUp = Callable[[str], Deferred[Sequence[str]]]


class LookupThreads:
    """
    Threads that look names up.

    They begin with the first lookup, and so after a daemon has forked. A thread that hangs cannot
    be ended, but delays neither L{stop} nor the end of the process.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        addresses: Callable[[str], Sequence[str]] = system_addresses,
    ) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self._pool = _Daemons(0, LOOKUPS, "statusjob-names")

    def look_up(self, name: str) -> Deferred[Sequence[str]]:
        """
        Look up a name in a thread.

        @return: a Deferred that fires with its addresses; see L{LookUp}.
        """
        if not self._pool.started:
            self._pool.start()
        return deferToThreadPool(self._reactor, self._pool, self._addresses, name)

    def start(self) -> None:
        """Do nothing: the first lookup begins the threads."""

    def stop(self, seconds: float = 0.0) -> Deferred[None]:
        """
        End the threads. One that is looking something up ends when that returns.

        @param seconds: not used. A lookup that hangs is not waited for.
        @return: a Deferred that has fired already.
        """
        # The pool's own stop() waits for every thread.
        self._pool.adjustPoolsize(0, 0)
        return succeed(None)


class _Daemon(Thread):
    """A thread that does not keep the process alive."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, daemon=True, **more)


class _Daemons(ThreadPool):
    """A pool of threads that do not keep the process alive."""

    threadFactory = _Daemon


@dataclass(eq=False, slots=True)
class _Lookup:
    """
    A lookup that is running, or waits in a queue.

    @ivar doubtful: whether the name did not resolve the last time, or was never looked up.
    @ivar waiters: those who wait for the answer, in the order in which they asked.
    """

    name: str
    doubtful: bool
    waiters: dict[Deferred[Sequence[str]], None] = field(default_factory=dict)


class Resolver:
    """
    Looks names up, and shares the threads fairly.

    Of the doubtful names, which did not resolve the last time or were never looked up, at most
    L{DOUBTFUL_LOOKUPS} are looked up at the same time. They wait in a queue of their own, so that
    a name that does resolve always finds a thread.

    @ivar _good: the names that resolved the last time; the one looked up last comes last.
    @ivar _lookups: all lookups that are running or wait, by name.
    @ivar _queues: the lookups that wait, by whether they are doubtful.
    @ivar _running: how many lookups are running, by whether they are doubtful.
    @ivar _waiting: how many callers wait for an answer.
    """

    _log = Logger()

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._good: OrderedDict[str, None] = OrderedDict()
        self._lookups: dict[str, _Lookup] = {}
        self._queues: dict[bool, dict[_Lookup, None]] = {False: {}, True: {}}
        self._running = {False: 0, True: 0}
        self._waiting = 0

    def resolve(self, host: str) -> Deferred[Sequence[str]]:
        """
        Find the addresses of a host.

        @return: a Deferred that fires with at least one address, in the order in which they should
            be tried. It fails with L{NoSuchName} if there are none, and with L{ExchangeFailed} of
            kind C{dns} if that cannot be told now. To cancel it ends the wait, but not the lookup.
        """
        if self._waiting >= WAITERS:
            return fail(ExchangeFailed("dns", "too many host names are being resolved"))
        name = host.lower()
        lookup = self._lookups.get(name)
        if lookup is None:
            lookup = self._lookups[name] = _Lookup(name, doubtful=name not in self._good)
            self._queues[lookup.doubtful][lookup] = None
        waiter: Deferred[Sequence[str]] = Deferred(partial(self._abandon, lookup))
        lookup.waiters[waiter] = None
        self._waiting += 1
        self._begin()
        return waiter

    def _abandon(self, lookup: _Lookup, waiter: Deferred[Sequence[str]]) -> None:
        del lookup.waiters[waiter]
        self._waiting -= 1
        queue = self._queues[lookup.doubtful]
        if not lookup.waiters and lookup in queue:
            del queue[lookup], self._lookups[lookup.name]

    def _begin(self) -> None:
        """Begin as many lookups as there are threads for."""
        while (lookup := self._next()) is not None:
            self._running[lookup.doubtful] += 1
            found = maybeDeferred(self._look_up, lookup.name)
            found.addErrback(self._broken, lookup)
            found.addCallback(self._found, lookup)

    def _next(self) -> _Lookup | None:
        free = LOOKUPS - sum(self._running.values())
        for doubtful, room in (
            (False, free),
            (True, min(free, DOUBTFUL_LOOKUPS - self._running[True])),
        ):
            queue = self._queues[doubtful]
            if queue and room > 0:
                lookup = next(iter(queue))
                del queue[lookup]
                return lookup
        return None

    def _broken(self, failure: Failure, lookup: _Lookup) -> None:
        if not failure.check(ExchangeFailed):
            self._log.failure("cannot look up {name!r}", failure, name=lookup.name)

    def _found(self, addresses: Sequence[str] | None, lookup: _Lookup) -> None:
        """
        Answer all who wait for a lookup that is over.

        @param addresses: C{None} if the lookup has failed.
        """
        del self._lookups[lookup.name]
        self._running[lookup.doubtful] -= 1
        self._good.pop(lookup.name, None)
        if addresses:
            self._good[lookup.name] = None
            if len(self._good) > GOOD_NAMES:
                self._good.popitem(last=False)
        self._begin()
        # A caller that is answered may cancel the wait of another.
        while lookup.waiters:
            waiter = next(iter(lookup.waiters))
            del lookup.waiters[waiter]
            self._waiting -= 1
            if addresses:
                waiter.callback(addresses)
            else:
                waiter.errback(CannotLookUp() if addresses is None else NoSuchName())
