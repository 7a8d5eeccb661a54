"""What the server touches of Twisted's private parts is still as it expects."""

from __future__ import annotations

from twisted.internet.abstract import FileDescriptor
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from statusjob.server.twisted_private import MalformedRequestChannel, has_unsent


class Refusing(MalformedRequestChannel):
    """Counts what it refuses."""

    refusals = 0
    refused_heads = 0

    def refuse_malformed(self) -> None:
        self.refusals += 1
        self.loseConnection()

    def refuse_head(self) -> None:
        self.refused_heads += 1
        self.loseConnection()


class MalformedRequestTests(SynchronousTestCase):
    """Twisted leaves the answer to a malformed request to L{MalformedRequestChannel}."""

    def test_it_is_asked_to_refuse_and_twisted_writes_nothing(self) -> None:
        for data in (
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"GET / HTTP/1.1\r\nno header\r\n\r\n",
            b"GET / HTTP/1.1\r\nb\xc3d: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        ):
            channel, transport = Refusing(), StringTransport()
            channel.makeConnection(transport)
            channel.dataReceived(data)
            self.assertEqual((channel.refusals, transport.value()), (1, b""), data)
            self.assertTrue(transport.disconnecting)
            channel.setTimeout(None)
            for request in channel.requests:
                # Twisted keeps a chunked body in a temporary file.
                if request.content is not None:
                    request.content.close()

    def test_it_is_asked_to_refuse_headers_that_are_too_large_or_too_many(self) -> None:
        for headers in (b"X: " + b"x" * 9_000 + b"\r\nY: " + b"y" * 9_000, b"X: x\r\n" * 501):
            channel, transport = Refusing(), StringTransport()
            channel.makeConnection(transport)
            channel.dataReceived(b"GET / HTTP/1.1\r\n" + headers + b"\r\n\r\n")
            self.assertEqual((channel.refused_heads, channel.refusals), (1, 0))
            self.assertEqual(transport.value(), b"")
            channel.setTimeout(None)

    def test_a_subclass_must_say_how_it_refuses(self) -> None:
        channel = MalformedRequestChannel()
        self.assertRaises(NotImplementedError, channel.refuse_malformed)
        self.assertRaises(NotImplementedError, channel.refuse_head)


class Narrow(FileDescriptor):
    """A descriptor that sends two bytes at a time."""

    connected = 1

    def writeSomeData(self, data: bytes) -> int:
        return min(2, len(data))


class UnsentTests(SynchronousTestCase):
    """Whether a descriptor has something to send can be told without a public way to ask."""

    def test_data_is_unsent_from_when_it_was_written_until_the_last_byte_was_sent(self) -> None:
        descriptor = Narrow(MemoryReactorClock())
        self.assertFalse(has_unsent(descriptor))
        descriptor.write(b"abc")
        self.assertTrue(has_unsent(descriptor))
        descriptor.doWrite()
        self.assertTrue(has_unsent(descriptor))
        descriptor.doWrite()
        self.assertFalse(has_unsent(descriptor))
