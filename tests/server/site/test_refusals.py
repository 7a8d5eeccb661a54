"""What cannot be a request for a route is answered all the same, as a problem."""

from __future__ import annotations

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.site.channels import LINGER_SECONDS
from statusjob.server.site.requests import BODIES_LIMIT
from tests.helpers.bounded_site import BoundedSiteTestCase
from tests.helpers.connections import Connection
from tests.helpers.messages import request_bytes


class HeadTests(BoundedSiteTestCase):
    """Request targets and headers that are too long."""

    def assert_refused(self, connection: Connection, code: int, slug: str) -> None:
        """Check that the last answer is a problem, and that the connection is closed soon."""
        answer = connection.answers()[-1]
        self.assertEqual((answer.code, answer.json["type"]), (code, f"urn:statusjob:{slug}"))
        self.assertEqual(answer.headers["connection"], "close")
        connection.send(b"x" * 100_000 + b"\r\n\r\n" + request_bytes("GET /"))
        self.settle()
        self.assertEqual((connection.received(), connection.open), (b"", True))
        self.clock.advance(LINGER_SECONDS)
        self.assertEqual((connection.open, connection.aborted), (False, False))

    def test_a_target_that_is_too_long_is_refused(self) -> None:
        for first in (b"", request_bytes("GET /")):
            for size in (17_000, 200_000):
                connection = self.connect()
                connection.send(first + b"GET /" + b"x" * size + b" HTTP/1.1\r\nHost: a\r\n\r\n")
                self.settle()
                self.assert_refused(connection, 414, "target-too-long")

    def test_a_target_that_comes_byte_by_byte_is_refused_as_soon_as_it_is_too_long(self) -> None:
        connection = self.connect()
        for _ in range(20):
            connection.send(b"x" * 1_000)
        self.assert_refused(connection, 414, "target-too-long")

    def test_headers_that_are_too_long_or_too_many_are_refused(self) -> None:
        first = b"GET / HTTP/1.1\r\nHost: a\r\n"
        for lines in (
            b"X: " + b"x" * 17_000,
            b"X: " + b"x" * 17_000 + b"\r\n\r\n",
            b"X: " + b"x" * 9_000 + b"\r\nY: " + b"y" * 9_000 + b"\r\n\r\n",
            b"X: x\r\n" * 600 + b"\r\n",
            b"X: x\r\n" * 499 + b" x\r\n" * 9_000,
        ):
            connection = self.connect()
            connection.send(first + lines)
            self.settle()
            self.assert_refused(connection, 431, "head-too-large")
        self.assertEqual(self.echo.bodies, [])


class BodiesTests(BoundedSiteTestCase):
    """Bodies are kept in memory, of which there is not too much."""

    def begin(self, size: int, *headers: str) -> Connection:
        """Send all but the last byte of a body."""
        connection = self.connect()
        connection.ask("POST /", f"Content-Length: {size}", *headers)
        connection.send(b"x" * (size - 1))
        return connection

    def test_bodies_need_no_temporary_files(self) -> None:
        for headers in ("Content-Length: 200000", "Transfer-Encoding: chunked"):
            connection = self.connect()
            connection.ask("POST /held", headers)
            connection.send(
                b"30d40\r\n" * ("chunked" in headers) + b"x" * 200_000 + b"\r\n0\r\n\r\n"
            )
            self.settle()
            content = self.echo.held[-1].content
            self.assertEqual(type(content).__name__, "BytesIO")
            connection.hang_up()

    def test_if_all_together_are_too_large_the_oldest_is_refused(self) -> None:
        count = BODIES_LIMIT // BODY_LIMIT
        crowd = [self.begin(BODY_LIMIT) for _ in range(count)]
        self.assertEqual([each.received() for each in crowd], [b""] * count)
        self.connect().ask("POST /", body=b"x" * 1_000)
        self.assertEqual((self.echo.bodies, crowd[0].received()), ([1_000], b""))
        late = self.begin(1_000)
        late.send(b"x")
        self.assertEqual(late.answer().body, b"1000")
        answer = crowd[0].answer()
        self.assertEqual((answer.code, answer.headers["retry-after"]), (503, "1"))
        self.assertEqual(answer.json["type"], "urn:statusjob:unavailable")
        self.clock.advance(LINGER_SECONDS)
        self.assertFalse(crowd[0].open)
        for each in crowd[1:]:
            each.send(b"x")
            self.assertEqual(each.answer().body, b"%d" % BODY_LIMIT)
        self.assertEqual((self.site.bodies.size, self.site.limits.reached["bodies"]), (0, 1))

    def test_bodies_whose_clients_hang_up_or_are_refused_do_not_count(self) -> None:
        self.begin(1_000).hang_up()
        refused = self.connect()
        refused.ask("POST /", "Transfer-Encoding: chunked")
        refused.send(b"%x\r\n" % (2 * BODY_LIMIT) + b"x" * BODY_LIMIT)
        self.settle()
        self.assertGreater(self.site.bodies.size, 0)
        refused.send(b"x" * BODY_LIMIT)
        self.settle()
        self.assertEqual(self.site.bodies.size, 0)
