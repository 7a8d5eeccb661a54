"""
Names to addresses, in threads of their own, so that DNS that hangs holds up nobody else.

The system's resolver blocks for as long as it likes and cannot be interrupted.
So a name is looked up once at a time, names that did not resolve the last time
never take every thread, and nobody ever waits for a thread to end. How long an
answer is worth waiting for is decided by whoever waits; where its addresses
lead to is judged in L{statusjob.server.delivery.guard}.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from socket import SOCK_STREAM, gaierror, getaddrinfo
from threading import Thread
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from statusjob.failures import ExchangeFailed

#: Names looked up at the same time, and how many of them may be doubtful.
LOOKUPS = 64
DOUBTFUL_LOOKUPS = 48
#: Names that are remembered because they resolved, and callers that may wait for an answer.
GOOD_NAMES = 4096
WAITERS = 4096

#: The addresses of a name; none if it has none.
LookUp = Callable[[str], Deferred[Sequence[str]]]


def system_addresses(name: str) -> Sequence[str]:
    """Ask the system's resolver, which blocks: the addresses of a host, none if there is none."""
    try:
        # As bytes, because Python would refuse some text that the system may know.
        found = getaddrinfo(name.encode("ascii"), None, type=SOCK_STREAM)
    except (gaierror, UnicodeError):
        return ()
    return tuple(str(address[0]) for *_, address in found)


class LookupThreads:
    """
    Threads in which names are looked up, begun with the first (so after a daemon has forked).

    One that hangs cannot be ended. It delays neither L{stop} nor the end of the process.
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
        """A L{LookUp}."""
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
    """A pool of such threads."""

    threadFactory = _Daemon


@dataclass(eq=False, slots=True)
class _Lookup:
    """One name being looked up, or waiting for that."""

    name: str
    doubtful: bool
    waiters: dict[Deferred[Sequence[str]], None] = field(default_factory=dict)


class Resolver:
    """
    Has names looked up, fairly.

    Names that resolve find a thread, because those that are doubtful (never resolved yet, or not
    the last time) are looked up at most L{DOUBTFUL_LOOKUPS} at once and wait in a queue of their
    own.
    """

    _log = Logger()

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self._good: OrderedDict[str, None] = OrderedDict()
        self._lookups: dict[str, _Lookup] = {}
        # The key says whether they are doubtful.
        self._queues: dict[bool, dict[_Lookup, None]] = {False: {}, True: {}}
        self._running = {False: 0, True: 0}
        self._waiting = 0

    def resolve(self, host: str) -> Deferred[Sequence[str]]:
        """
        The addresses of a host, in the order in which they should be tried.

        The Deferred fires with at least one, or fails with an L{ExchangeFailed} of kind C{dns}.
        Cancelling it abandons the wait.
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
        """Begin as many lookups as there is room for."""
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

    def _broken(self, failure: Failure, lookup: _Lookup) -> Sequence[str]:
        self._log.failure("cannot look up {name!r}", failure, name=lookup.name)
        return ()

    def _found(self, addresses: Sequence[str], lookup: _Lookup) -> None:
        del self._lookups[lookup.name]
        self._running[lookup.doubtful] -= 1
        self._good.pop(lookup.name, None)
        if addresses:
            self._good[lookup.name] = None
            if len(self._good) > GOOD_NAMES:
                self._good.popitem(last=False)
        self._begin()
        # An answer may make one of those that wait lose interest.
        while lookup.waiters:
            waiter = next(iter(lookup.waiters))
            del lookup.waiters[waiter]
            self._waiting -= 1
            if addresses:
                waiter.callback(addresses)
            else:
                waiter.errback(ExchangeFailed("dns", "the host name cannot be resolved"))
