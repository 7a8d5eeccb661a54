"""
The one place in which the client relies on private parts of Twisted.

Tests show that they still work as expected with the Twisted that is installed.
"""

from __future__ import annotations

from typing import Any

from twisted.internet._resolver import GAIResolver
from twisted.internet.interfaces import IHostnameResolver
from twisted.web.client import HTTPConnectionPool


def installed_resolver(reactor: Any) -> IHostnameResolver | None:
    """Return the name resolver that an application has installed; C{None} if it is Twisted's."""
    resolver: IHostnameResolver = reactor.nameResolver
    return None if type(resolver) is GAIResolver else resolver


class CleanPool(HTTPConnectionPool):
    """
    A connection pool that never keeps a connection which is being closed.

    Twisted returns a connection to its pool as soon as an answer has been parsed to its end, even
    if the reader of the answer has just aborted the connection: the rest of the answer may have
    been in the same buffer. The next request on that connection would be lost.
    """

    def _putConnection(self, key: Any, connection: Any) -> None:
        if not connection.transport.disconnecting:
            super()._putConnection(key, connection)
