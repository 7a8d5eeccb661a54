"""
Listening on UNIX sockets that a kill left behind, and with certificates that are renewed.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

from OpenSSL.SSL import TLS_METHOD, Context
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory
from twisted.logger import Logger
from zope.interface import implementer

#: Seconds for which a TLS context is used before its files are read again.
CONTEXT_SECONDS = 60.0


class CannotListen(Exception):
    """The server cannot or must not listen there. The message says why, in one line."""


class CarefulReactor:
    """A reactor that listens with care, for one endpoint. It is like the reactor in all else."""

    def __init__(self, reactor: Any, description: str, contexts: list[RenewedContext]) -> None:
        """
        @param description: of the endpoint, which begins with C{unix:} or C{ssl:}.
        @param contexts: receives the TLS context of the endpoint.
        """
        self._reactor = reactor
        self._description = description
        self._contexts = contexts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(self, address: str, *arguments: Any, **options: Any) -> IListeningPort:
        """
        Listen on a UNIX socket, and replace one that a killed process has left behind.

        @raise CannotListen: if somebody accepts connections there, or it is no socket.
        """
        remove_stale_socket(address)
        port: IListeningPort = self._reactor.listenUNIX(address, *arguments, **options)
        return port

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, *arguments: Any, **options: Any
    ) -> IListeningPort:
        """
        Listen for TLS connections; new ones get a certificate that was renewed.

        @raise CannotListen: if this process cannot speak TLS.
        """
        check_tls()
        renewed = RenewedContext(self._reactor, self._description, contextFactory)
        listening: IListeningPort = self._reactor.listenSSL(
            port, factory, renewed, *arguments, **options
        )
        self._contexts.append(renewed)
        return listening


@implementer(IOpenSSLContextFactory)
class RenewedContext:
    """
    The TLS context of an endpoint, made anew from its files at most once a minute.

    While the files cannot be used, say because one of them is just being written, the context
    made before serves on, and that is logged.
    """

    _log = Logger()

    def __init__(self, reactor: Any, description: str, first: Any) -> None:
        """
        @param first: the context factory that the endpoint made for its first context.
        """
        self._reactor = reactor
        self._description = description
        self._factory = first
        self._made_at: float = reactor.seconds()

    def getContext(self) -> Context:
        """The context for one new connection."""
        if self._reactor.seconds() - self._made_at >= CONTEXT_SECONDS:
            self.renew()
        context: Context = self._factory.getContext()
        return context

    def renew(self) -> None:
        """Read the files now."""
        self._made_at = self._reactor.seconds()
        try:
            factory = _context_factory(self._description)
            factory.getContext()
        except Exception as error:
            # Reading foreign files may fail in any way; the context at hand is still good.
            self._log.warn(
                "the certificate of {endpoint} is not renewed: {error}",
                endpoint=self._description,
                error=error,
            )
        else:
            self._factory = factory


class _Capture:
    """A reactor on which an endpoint does not listen, but shows its context factory."""

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **options: Any) -> None:
        self.captured = contextFactory


def _context_factory(description: str) -> Any:
    capture: Any = _Capture()
    nothing: Any = None
    serverFromString(capture, description).listen(nothing)
    return capture.captured


def remove_stale_socket(address: str) -> None:
    """
    Remove a UNIX socket that a killed process has left behind, with its lock.

    That a lock names a living process proves nothing, because process ids are used again. A
    socket is stale if nobody accepts connections on it.

    @raise CannotListen: if somebody does, or if there is something else at this path.
    """
    path = Path(os.fsdecode(address))
    if os.path.lexists(path) and not path.is_socket():
        raise CannotListen(f"cannot listen on {path}: there is something that is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            for leftover in (path, path.with_name(f"{path.name}.lock")):
                with suppress(FileNotFoundError):
                    leftover.unlink()
            return
        except OSError:
            # Somebody is there, but busy; or the path is not fit, which listening will tell.
            if not path.exists():
                return
    raise CannotListen(f"cannot listen on {path}: another server accepts connections there")


def check_tls() -> None:
    """
    Find out whether this process can speak TLS at all.

    Where a process must not make memory executable (systemd's C{MemoryDenyWriteExecute}), the
    callbacks that every TLS connection needs cannot be made.

    @raise CannotListen: if it cannot.
    """
    try:
        Context(TLS_METHOD).set_info_callback(lambda *_: None)
    except MemoryError as error:
        raise CannotListen(
            "this process cannot speak TLS: it must be allowed to make memory executable"
            " (systemd: MemoryDenyWriteExecute=no)"
        ) from error
