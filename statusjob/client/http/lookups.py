"""
Looks names up in threads of its own.

Twisted uses the threads of the reactor, which an application may occupy for hours with work of its
own. Requests that need a new connection, such as the heartbeats of that work, must not wait for
it; not even an address in place of a name is looked up without a thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from threading import Lock, Thread
from typing import Any

from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver
from twisted.python.failure import Failure
from zope.interface import implementer

from statusjob.client.http.twisted_private import resolver_in_threads

#: Most lookups of one reactor at the same time. One that hangs takes a thread for a while.
LOOKUPS = 16


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
        """
        with self._lock:
            self._waiting.append((on_result, partial(function, *args, **more)))
            if not self._free:
                return
            self._free -= 1
        Thread(target=self._work, daemon=True, name="statusjob-lookup").start()

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


@implementer(IReactorPluggableNameResolver)
class LookupReactor:
    """
    Stands in for a reactor where connections are made by name.

    @ivar nameResolver: looks names up in the threads that are given, unless the application has
        installed a resolver of its own.
    """

    def __init__(self, reactor: Any, threads: LookupThreads) -> None:
        self.nameResolver: IHostnameResolver = resolver_in_threads(reactor, threads)
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.connectTCP = reactor.connectTCP

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Replace the resolver, and return the one before."""
        previous, self.nameResolver = self.nameResolver, resolver
        return previous
