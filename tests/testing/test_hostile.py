"""The hostile receiver: in memory, and on sockets where that makes a difference."""

from __future__ import annotations

import zlib
from itertools import pairwise
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent

from statusjob.testing import Connection, HostileReceiver, Mode, Request, hostile, modes
from tests.helpers.sockets import SocketTestCase, Trusting, reactor

POST = b"POST /hook HTTP/1.1\r\nHost: a\r\nWebhook-Id: msg_1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /hook HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nTrailer: x\r\n\r\n"
)
CLIENT_HELLO = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"


class Caller:
    """The other end of one connection."""

    def __init__(self, receiver: HostileReceiver) -> None:
        self.protocol = cast(Connection, receiver.buildProtocol(None))
        self.transport = StringTransport(lenient=True)
        self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> Caller:
        """Send bytes to the receiver."""
        self.protocol.dataReceived(data)
        return self

    def heard(self) -> bytes:
        """The bytes that were received since the last call."""
        heard: bytes = self.transport.value()
        self.transport.clear()
        return heard

    def pull(self) -> bytes:
        """Let the producer of the other side, if it has one, write once."""
        producer = self.transport.producer
        if producer is not None:
            cast(Any, producer).resumeProducing()
        return self.heard()

    def leave(self) -> None:
        """Lose the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))


class MemoryTestCase(SynchronousTestCase):
    """Makes receivers on a clock."""

    def setUp(self) -> None:
        self.clock = Clock()

    def receiver(self, mode: Mode = modes.silent, *then: Mode) -> HostileReceiver:
        return HostileReceiver(self.clock, mode, *then)

    def call(self, mode: Mode, said: bytes = POST) -> Caller:
        """Send a request to a receiver with one mode."""
        return Caller(self.receiver(mode)).say(said)


class ModeTests(MemoryTestCase):
    """What each mode does."""

    def test_healthy_answers_when_the_request_is_complete(self) -> None:
        caller = self.call(modes.healthy, POST[:-1])
        self.assertEqual(caller.heard(), b"")
        caller.say(POST[-1:])
        self.assertTrue(caller.heard().startswith(b"HTTP/1.1 204 No Content\r\n"))
        self.assertTrue(caller.transport.disconnecting)

    def test_any_status_code_and_header(self) -> None:
        caller = self.call(modes.answer(503, {"Retry-After": "-5"}))
        expected = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: -5\r\nContent-Length: 0\r\n"
        self.assertEqual(caller.heard(), expected + b"Connection: close\r\n\r\n")
        self.assertTrue(caller.transport.disconnecting)

    def test_a_redirection(self) -> None:
        for code in (301, 302, 303, 307, 308):
            heard = self.call(modes.redirect("http://b/", code)).heard()
            self.assertTrue(heard.startswith(b"HTTP/1.1 %d " % code))
            self.assertIn(b"\r\nLocation: http://b/\r\n", heard)

    def test_silent_sends_nothing(self) -> None:
        for said in (POST, CLIENT_HELLO):
            caller = self.call(modes.silent, said)
            self.clock.advance(1000)
            self.assertEqual(caller.heard(), b"")
            self.assertFalse(caller.transport.disconnecting)

    def test_headers_are_sent_byte_by_byte(self) -> None:
        caller = self.call(modes.drip_headers)
        heard = caller.heard()
        for _ in range(500):
            self.assertEqual(len(heard), 1)
            self.clock.advance(modes.DRIP - 0.01)
            self.assertEqual(caller.transport.value(), b"")
            self.clock.advance(0.02)
            heard = caller.heard()

    def test_dripping_headers_never_end(self) -> None:
        caller = self.call(modes.drip_headers)
        self.clock.pump([modes.DRIP] * 2000)
        heard = caller.heard()
        self.assertTrue(heard.startswith(b"HTTP/1.1 200 OK\r\n"))
        self.assertGreater(len(heard), 1500)
        self.assertNotIn(b"\r\n\r\n", heard)

    def test_a_body_is_sent_byte_by_byte(self) -> None:
        caller = self.call(modes.drip_body)
        self.assertTrue(caller.heard().endswith(b"\r\n\r\nd"))
        self.clock.pump([modes.DRIP] * 100)
        self.assertIn(len(caller.heard()), (99, 100))

    def test_a_body_is_never_completed(self) -> None:
        caller = self.call(modes.hang_in_body)
        self.assertTrue(caller.heard().endswith(b"Content-Length: 100\r\n\r\nbegun"))
        self.clock.advance(1000)
        self.assertEqual(caller.heard(), b"")
        self.assertFalse(caller.transport.disconnecting)

    def test_endless_data_is_sent_only_as_fast_as_it_is_read(self) -> None:
        for mode, piece in (
            (modes.endless_body, b"xxxx"),
            (modes.endless_header, b"xxxx"),
            (modes.endless_headers, b"X-Endless: x\r\n"),
            (modes.endless_continue, b"HTTP/1.1 100 Continue\r\n\r\n"),
        ):
            caller = self.call(mode)
            self.assertNotIn(piece, caller.heard())
            self.assertIs(caller.transport.streaming, False)
            for _ in range(100):
                pulled = caller.pull()
                self.assertEqual(pulled, piece * (len(pulled) // len(piece)))
                self.assertTrue(0 < len(pulled) < 100_000)

    def test_endless_headers_are_well_formed(self) -> None:
        for mode in (modes.endless_header, modes.endless_headers):
            caller = self.call(mode)
            heard = caller.heard() + caller.pull() + caller.pull()
            self.assertTrue(heard.startswith(b"HTTP/1.1 200 OK\r\n"))
            self.assertNotIn(b"\r\n\r\n", heard)

    def test_a_huge_body_has_100_megabytes(self) -> None:
        caller = self.call(modes.huge_body)
        self.assertIn(b"Content-Length: 100000000\r\n", caller.heard())
        size = 0
        while pulled := caller.pull():
            size += len(pulled)
        self.assertEqual(size, 100_000_000)
        self.assertTrue(caller.transport.disconnecting)

    def test_a_gzip_bomb_unpacks_to_a_thousand_times_its_size(self) -> None:
        caller = self.call(modes.gzip_bomb)
        head = caller.heard()
        packed = caller.pull()
        self.assertIn(b"Content-Encoding: gzip\r\n", head)
        self.assertIn(b"Content-Length: %d\r\n" % len(packed), head)
        self.assertLess(len(packed), 210 * 1024)
        # One member, for those who stop after the first; and sound, for those who check.
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        size = 0
        while packed:
            size += len(unpacker.decompress(packed, 1024 * 1024))
            packed = unpacker.unconsumed_tail
        self.assertEqual((size, unpacker.eof), (200 * 1024 * 1024, True))

    def test_connections_are_reset(self) -> None:
        for mode, end in (
            (modes.reset, b""),
            (modes.reset_in_headers, b"text/plain\r\n"),
            (modes.reset_in_body, b"\r\n\r\nbegun"),
        ):
            caller = self.call(mode)
            self.clock.advance(1)
            self.assertTrue(caller.heard().endswith(end))
            self.assertTrue(caller.transport.disconnected, mode.__name__)

    def test_lengths_are_wrong(self) -> None:
        for mode, longer in ((modes.short_length, True), (modes.long_length, False)):
            caller = self.call(mode)
            head, _, body = caller.heard().partition(b"\r\n\r\n")
            length = int(head.partition(b"Content-Length: ")[2])
            self.assertEqual(len(body) > length, longer)
            self.assertTrue(caller.transport.disconnecting)

    def test_a_chunk_is_malformed(self) -> None:
        self.assertIn(b"\r\nfive\r\n", self.call(modes.bad_chunks).heard())

    def test_a_status_code_is_malformed(self) -> None:
        self.assertRegex(self.call(modes.absurd_code).heard(), rb"\AHTTP/1.1 2{30} OK\r\n")

    def test_gibberish_and_plain_http_answer_the_first_bytes(self) -> None:
        for said in (POST[:1], CLIENT_HELLO):
            self.assertTrue(self.call(modes.gibberish, said).heard().startswith(b"SSH-2.0"))
            self.assertTrue(self.call(modes.plain_http, said).heard().startswith(b"HTTP/1.1 204"))

    def test_every_mode_has_a_docstring_of_one_line(self) -> None:
        for mode in modes.ALL:
            self.assertRegex(mode.__doc__ or "", r"\A[A-Z][^\n]{10,90}\.\Z", mode.__name__)


class ReceiverTests(MemoryTestCase):
    """Requests are read and remembered, and nothing is left behind."""

    def test_a_request_is_remembered(self) -> None:
        receiver = self.receiver()
        Caller(receiver).say(POST)
        (request,) = receiver.requests
        self.assertEqual((request.line, request.body), (b"POST /hook HTTP/1.1", b"hello"))
        self.assertEqual((request.header("webhook-id"), request.header("no")), ("msg_1", None))

    @given(st.sampled_from([POST, CHUNKED]), st.lists(st.integers(0, len(POST) - 1)))
    def test_a_request_is_read_in_whatever_pieces_it_comes(
        self, said: bytes, cuts: list[int]
    ) -> None:
        receiver = HostileReceiver(Clock(), modes.silent)
        caller = Caller(receiver)
        places = [0, *sorted(cuts), len(said)]
        for start, end in pairwise(places):
            self.assertEqual(receiver.received, 0)
            caller.say(said[start:end])
        self.assertEqual([each.body for each in receiver.requests], [b"hello"])

    def test_on_request_is_called_with_every_complete_request(self) -> None:
        told: list[Request] = []
        receiver = HostileReceiver(self.clock, modes.silent, on_request=told.append)
        Caller(receiver).say(POST[:-1])
        self.assertEqual(told, [])
        Caller(receiver).say(POST)
        self.assertEqual([each.body for each in told], [b"hello"])

    def test_a_malformed_request_is_not_remembered(self) -> None:
        for said in (
            CLIENT_HELLO,
            b"\r\n\r\n",
            b"POST /hook\r\n\r\n",
            POST.replace(b": 5", b": x"),
            POST.replace(b": 5", b": -5"),
            CHUNKED.replace(b"3;", b"z;"),
        ):
            receiver = self.receiver()
            Caller(receiver).say(said)
            self.assertEqual(receiver.received, 0, said)

    def test_bytes_after_a_request_are_ignored(self) -> None:
        receiver = self.receiver()
        Caller(receiver).say(POST + POST).say(POST)
        self.assertEqual(receiver.received, 1)

    def test_it_remembers_the_last_requests_and_counts_all(self) -> None:
        receiver = self.receiver()
        for number in range(hostile.REMEMBERED + 5):
            Caller(receiver).say(POST.replace(b"hello", b"%05d" % number))
        self.assertEqual(receiver.received, hostile.REMEMBERED + 5)
        self.assertEqual(len(receiver.requests), hostile.REMEMBERED)
        self.assertEqual(receiver.requests[0].body, b"00005")

    def test_a_connection_with_a_too_long_request_is_aborted(self) -> None:
        receiver = self.receiver()
        caller = Caller(receiver)
        caller.say(b"x" * hostile.REQUEST_LIMIT)
        self.assertFalse(caller.transport.disconnected)
        caller.say(b"x")
        self.assertTrue(caller.transport.disconnected)

    def test_each_connection_gets_the_next_mode_and_the_last_one_stays(self) -> None:
        receiver = self.receiver(modes.answer(503), modes.answer(410), modes.healthy)
        codes = [Caller(receiver).say(POST).heard()[9:12] for _ in range(4)]
        self.assertEqual(codes, [b"503", b"410", b"204", b"204"])
        self.assertEqual(receiver.accepted, 4)

    def test_a_mode_ends_with_its_connection(self) -> None:
        for mode in modes.ALL:
            if mode in (modes.never_read, modes.never_part, modes.self_signed):
                continue
            receiver = self.receiver(mode)
            silent, caller = Caller(receiver), Caller(receiver).say(POST)
            self.assertEqual(len(receiver.connections), 2)
            silent.leave()
            caller.leave()
            self.assertEqual(self.clock.getDelayedCalls(), [], mode.__name__)
            self.assertIsNone(caller.transport.producer, mode.__name__)
            self.assertEqual(receiver.connections, set())

    def test_a_mode_that_raises_is_logged_and_its_connection_aborted(self) -> None:
        async def broken(connection: Connection) -> None:
            await connection.request()
            raise ZeroDivisionError

        caller = self.call(broken)
        self.assertTrue(caller.transport.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_it_is_closed_when_the_last_connection_is_lost(self) -> None:
        receiver = self.receiver()
        self.successResultOf(receiver.wait_until_closed())
        callers = [Caller(receiver), Caller(receiver)]
        waiting = [receiver.wait_until_closed(), receiver.wait_until_closed()]
        callers[0].leave()
        self.assertNoResult(waiting[0])
        callers[1].leave()
        for each in waiting:
            self.successResultOf(each)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_waiting_for_a_connection_that_stays_open_times_out(self) -> None:
        receiver = self.receiver()
        caller = Caller(receiver)
        closed = receiver.wait_until_closed(5)
        self.clock.advance(5)
        self.failureResultOf(closed, TimeoutError)
        caller.leave()


class Peer(Protocol):
    """
    The other end of a real connection.

    @ivar heard: fires with the first bytes that are received.
    """

    transport: Any

    def __init__(self) -> None:
        self.heard: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if not self.heard.called:
            self.heard.callback(data)


class SocketTests(SocketTestCase):
    """Behaviour that a transport in memory cannot show."""

    async def connect(self, receiver: HostileReceiver) -> Peer:
        """Connect to a receiver."""
        port = int(self.listen(receiver).rpartition(":")[2])
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        peer: Peer = await connectProtocol(endpoint, Peer())
        self.addCleanup(peer.transport.abortConnection)
        return peer

    async def test_never_read_notices_that_the_other_side_has_closed(self) -> None:
        receiver = HostileReceiver(reactor, modes.never_read)
        peer = await self.connect(receiver)
        peer.transport.write(POST)
        with self.assertRaises(TimeoutError):
            await receiver.wait_until_closed(0.2)
        peer.transport.loseConnection()
        await receiver.wait_until_closed()
        self.assertEqual((receiver.accepted, receiver.received), (1, 0))

    async def test_it_does_not_notice_while_the_other_side_has_more_to_send(self) -> None:
        receiver = HostileReceiver(reactor, modes.never_read)
        peer = await self.connect(receiver)
        peer.transport.write(bytes(32 * 1024 * 1024))
        peer.transport.loseConnection()
        with self.assertRaises(TimeoutError):
            await receiver.wait_until_closed(0.2)
        peer.transport.abortConnection()
        await receiver.wait_until_closed()

    async def test_never_part_has_answered(self) -> None:
        receiver = HostileReceiver(reactor, modes.never_part)
        peer = await self.connect(receiver)
        peer.transport.write(POST)
        self.assertTrue((await peer.heard).endswith(b"\r\n\r\n{}"))
        with self.assertRaises(TimeoutError):
            await receiver.wait_until_closed(0.2)
        peer.transport.loseConnection()
        await receiver.wait_until_closed()

    async def test_self_signed_answers_a_client_that_trusts_it(self) -> None:
        url, receiver = self.misbehaving(modes.self_signed)
        url = url.replace("http:", "https:")
        response = await Agent(reactor, Trusting()).request(b"GET", url.encode())
        self.assertEqual(response.code, 204)
        await receiver.wait_until_closed()
        self.assertEqual(receiver.received, 1)
