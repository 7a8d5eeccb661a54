"""
The one place in which the client relies on a private part of Twisted.

A test shows that it still works as expected with the Twisted that is installed.
"""

from __future__ import annotations

from typing import Any

from twisted.web.client import HTTPConnectionPool


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
