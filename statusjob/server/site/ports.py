"""
The ports on which the server listens. Without a token these must be local.
"""

from __future__ import annotations

import errno
import resource
import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import (
    TCP4ServerEndpoint,
    TCP6ServerEndpoint,
    serverFromString,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from statusjob.server.settings import Settings
from statusjob.server.site.careful import CannotListen, CarefulReactor, RenewedContext
from statusjob.server.site.site import CONNECTION_LIMIT, BoundedSite
from statusjob.server.waiting.watchers import Watchers
from statusjob.server.web.access import is_loopback

#: Connections that may wait to be accepted: many pollers may arrive at once.
BACKLOG = 1024
#: Files that the process needs beside one for each connection: deliveries, the database, the log.
#: If it may have few, half of them.
OTHER_FILES = 1_000

#: The errors of an attempt to listen on IPv6 on a machine without it.
_NO_IPV6 = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Ports:
    """
    The ports of a server, and the end of all that came in by them.

    @ivar listening: the ports that are open.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        site: BoundedSite,
        settings: Settings,
        *,
        watchers: Watchers,
        closed: Callable[[], None],
    ) -> None:
        """
        @param site: speaks HTTP on every connection.
        @param watchers: must not need all connections.
        @param closed: called when all ports are closed, before requests in flight are waited for.
        """
        self._reactor = reactor
        self._site = site
        self._settings = settings
        self._watchers = watchers
        self._closed = closed
        self.listening: Sequence[IListeningPort] = []
        self._contexts: list[RenewedContext] = []

    def open(self) -> None:
        """
        Open the ports, unless they are open. Connections wait until the reactor runs.

        @raise CannotListen: if one of them cannot be had, or must not be without a token.
        """
        if not self.listening:
            self.listening = listen(self._reactor, self._site, self._settings, self._contexts)

    def renew_certificates(self) -> None:
        """Read the certificates of TLS endpoints again, now rather than within a minute."""
        for context in self._contexts:
            context.renew()

    def start(self) -> None:
        """
        Open the ports, and allow this process as many files as connections need. If the system
        does not, there may be fewer connections, and watchers.

        @raise CannotListen: if one of them cannot be had, or must not be without a token.
        """
        files = allow_files(CONNECTION_LIMIT + OTHER_FILES)
        connections = connections_for(files)
        if connections < CONNECTION_LIMIT:
            self._site.connection_limit = connections
            self._watchers.leave_room(connections)
            self._log.warn(
                "at most {connections} connections, because this process may open {files} files",
                connections=connections,
                files=files,
            )
        self.open()

    async def stop(self, seconds: float) -> None:
        """
        Close the ports, then let requests that are in flight finish.

        @param seconds: how long that may take. Connections that are left then are aborted.
        """
        for port in self.listening:
            await maybeDeferred(port.stopListening)
        self._closed()
        aborted = await self._site.drain(seconds)
        if aborted:
            self._log.warn("aborted {aborted} connections", aborted=aborted)


def listen(
    reactor: Any,
    factory: IProtocolFactory,
    settings: Settings,
    contexts: list[RenewedContext] | None = None,
) -> list[IListeningPort]:
    """
    Listen at the endpoints of the settings. If they name none, listen on the loopback addresses
    or, with a token, on every interface.

    @param contexts: receives the TLS contexts of the endpoints.
    @return: the ports, which listen already.
    @raise CannotListen: if listening at one of them fails, or if one is open to the network
        although there is no token. None of them listens then.
    """
    ports: list[IListeningPort] = []
    contexts = [] if contexts is None else contexts
    try:
        for description in settings.endpoint:
            ports.append(
                _by_description(
                    reactor, factory, description, [] if contexts is None else contexts
                )
            )
        if not settings.endpoint:
            ports += _by_default(reactor, factory, settings)
        if not settings.token:
            _check_loopback(ports)
    except BaseException as error:
        for port in ports:
            port.stopListening()
        if isinstance(error, CannotListenError):
            where = f"{error.interface or '*'}:{error.port}"
            raise CannotListen(f"cannot listen on {where}: {_reason(error)}") from error
        raise
    return ports


def connections_for(files: int) -> int:
    """
    Return how many connections there may be at the same time.

    @param files: how many files this process may open.
    """
    return min(CONNECTION_LIMIT, files - min(OTHER_FILES, files // 2))


def allow_files(wanted: int) -> int:
    """
    Raise this process's limit of open files. Every watcher needs a connection, and the usual limit
    is about 1,000.

    @param wanted: the limit; less is set if the system does not allow as much.
    @return: how many files this process may open, at most C{wanted}.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def describe(port: IListeningPort) -> str:
    """Say where a port listens, in words for people."""
    address = port.getHost()
    if isinstance(address, UNIXAddress):
        return f"unix:{(address.name or b'').decode(errors='replace')}"
    if isinstance(address, IPv6Address):
        return f"http://[{address.host}]:{address.port}"
    if isinstance(address, IPv4Address):
        return f"http://{address.host}:{address.port}"
    return str(address)


def _by_default(
    reactor: Any, factory: IProtocolFactory, settings: Settings
) -> Sequence[IListeningPort]:
    number = settings.port

    def ipv4(interface: str) -> IListeningPort:
        return _listen_on(TCP4ServerEndpoint(reactor, number, BACKLOG, interface), factory)

    def ipv6(interface: str) -> list[IListeningPort]:
        try:
            return [_listen_on(TCP6ServerEndpoint(reactor, number, BACKLOG, interface), factory)]
        except CannotListenError as error:
            if error.socketError.errno in _NO_IPV6:
                return []
            raise

    if settings.token:
        every = ipv6("::")
        # Usually this socket accepts IPv4 connections, too.
        if not every or _is_ipv6_only(every[0]):
            every.append(ipv4(""))
        return every
    first = ipv4("127.0.0.1")
    try:
        return [first, *ipv6("::1")]
    except CannotListenError:
        first.stopListening()
        raise


def _is_ipv6_only(port: Any) -> bool:
    """Whether a port on every IPv6 address is none on IPv4 (Linux: C{net.ipv6.bindv6only})."""
    ours: socket.socket | None = getattr(port, "socket", None)
    return ours is not None and bool(ours.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY))


def _by_description(
    reactor: Any,
    factory: IProtocolFactory,
    description: str,
    contexts: list[RenewedContext],
) -> IListeningPort:
    if description.startswith(("unix:", "ssl:")):
        reactor = CarefulReactor(reactor, description, contexts)
    try:
        return _listen_on(serverFromString(reactor, description), factory)
    except CannotListen:
        raise
    except Exception as error:
        # Endpoints are plugins that read files and open sockets: they may raise anything.
        if isinstance(error, LookupError) and description.startswith("systemd:"):
            error = LookupError("systemd has passed no such socket")
        raise CannotListen(f"cannot listen on {description!r}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = error.socketError if isinstance(error, CannotListenError) else error
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


def _listen_on(endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> IListeningPort:
    results: list[IListeningPort | Failure] = []
    listening: Deferred[IListeningPort] = endpoint.listen(factory)
    listening.addBoth(results.append)
    if not results:
        listening.cancel()
        raise CannotListen("an endpoint that does not listen at once is not supported")
    if isinstance(results[0], Failure):
        results[0].raiseException()
    if not hasattr(results[0], "stopListening"):
        # `stdio:` is an endpoint too, but it has no port.
        raise CannotListen("an endpoint without a port is not supported")
    return results[0]


def _check_loopback(ports: Sequence[IListeningPort]) -> None:
    for port in ports:
        address = port.getHost()
        if not isinstance(address, UNIXAddress) and not is_loopback(getattr(address, "host", "")):
            raise CannotListen(
                f"{describe(port)} is open to the network, which needs a token: set"
                " STATUSJOB_TOKEN, or listen on a loopback address"
            )
