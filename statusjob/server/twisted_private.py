"""
What the server touches of Twisted's private parts.

C{tests/server/test_twisted_private.py} fails if a new version of Twisted
changes any of it.
"""

from __future__ import annotations

from twisted.internet.abstract import FileDescriptor
from twisted.web.http import HTTPChannel


def has_unsent(descriptor: FileDescriptor) -> bool:
    """Whether something was written that was not sent yet. Twisted has no public way to ask."""
    return bool(descriptor._tempDataLen or descriptor.dataBuffer)


class MalformedRequestChannel(HTTPChannel):
    """
    An C{HTTPChannel} that lets its subclass answer what Twisted cannot parse as a request.

    Twisted's own answer, 400 without headers and without a body, has no public hook.
    """

    def refuse_head(self) -> None:
        """Answer a request whose headers are too large or too many, and read no more of it."""
        raise NotImplementedError

    def refuse_malformed(self) -> None:
        """Answer a malformed request, and close the connection."""
        raise NotImplementedError

    def _respondToBadRequestAndDisconnect(self) -> None:
        too_large = self._receivedHeaderSize > self.totalHeadersSize
        if too_large or self._receivedHeaderCount > self.maxHeaders:
            self.refuse_head()
        else:
            self.refuse_malformed()
