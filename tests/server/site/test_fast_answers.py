"""Fast answers are to the byte what the routes would answer, and are given only where they may."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from statusjob.server.site.fast_answers import HEAD_LIMIT
from statusjob.server.site.site import IDLE_SECONDS
from statusjob.server.waiting import events
from statusjob.server.web.ready_answers import KEPT_SECONDS
from tests.helpers.client_heads import CLIENTS
from tests.helpers.memory_sockets import MemorySocket
from tests.helpers.twins import Step, TwinTestCase, get, post, wait

STATUS = get("/status")
CHUNKED = (
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)
HELD = get("/status", "Prefer: wait=2")
NOTHING = get("/nothing")

#: Header fields with which a request takes the slow way.
SLOW = (
    "Connection: close",
    "Connection: keep-alive, upgrade",
    "Connection:",
    "Content-Length: 0",
    "Expect: 100-continue",
    'If-Match: "1"',
    "If-Unmodified-Since: Sat, 23 Nov 2024 18:00:00 GMT",
    "Origin: http://localhost:3000",
    "Origin: https://elsewhere.example",
    "Prefer: respond-async",
    "Range: bytes=0-3",
    "TE: trailers",
    "Upgrade: h2c",
    "Host: localhost",
    "Host: elsewhere.example",
    "X: a\x00b",
    "X: a\rb",
    "X: a\nY: b",
    "X: a\x0bb",
    "X : b",
    "no colon",
    ": no name",
    "X\xe4: b",
    "X: a\r\n folded",
    "X: " + "x" * HEAD_LIMIT,
)

#: Whole requests that take the slow way.
OTHERS = {
    "HEAD": b"HEAD" + STATUS[3:],
    "OPTIONS": b"OPTIONS" + STATUS[3:],
    "a method in lower case": b"get" + STATUS[3:],
    "HTTP/1.0": b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n",
    "HTTP/1.0 that is to last": b"GET /status HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a query": get("/status?x=1"),
    "a fragment": get("/status#x"),
    "an escape": get("/stat%75s"),
    "two slashes": get("//status"),
    "a slash more": get("/status/"),
    "an absolute target": get("http://localhost/status"),
    "an absolute target of a foreign host": get("http://elsewhere.example/status"),
    "no target": b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two spaces": b"GET  /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space after the version": b"GET /status HTTP/1.1 \r\nHost: localhost\r\n\r\n",
    "lines that end in LF": b"GET /status HTTP/1.1\nHost: localhost\n\n",
    "no header": b"GET /status HTTP/1.1\r\n\r\n",
    "an empty line first": b"\r\n" + STATUS,
    "an empty line after": STATUS + b"\r\n" + STATUS,
    "a body": get("/status", "Content-Length: 5") + b"hello" + STATUS,
    "a chunked body": get("/status", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + STATUS,
    "both lengths": get("/status", "Content-Length: 5", "Transfer-Encoding: chunked")
    + b"0\r\n\r\n"
    + STATUS,
    "two lengths": get("/status", "Content-Length: 0", "Content-Length: 5") + b"hello" + STATUS,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a half": STATUS[:-2],
    "two at once": STATUS * 2,
    "many at once": STATUS * 50,
    "one with the beginning of another": STATUS + STATUS[:9],
    "a mixture": STATUS + post(b"{}") + STATUS + NOTHING + STATUS,
    "too many header fields": get("/status", *["a:"] * 550),
}


class SameBytesTests(TwinTestCase):
    """Requests to a server without a token."""

    def test_what_clients_send_by_default_is_answered_fast(self) -> None:
        targets = ("/status", f"/jobs/{self.job}", f"/jobs/{self.job}/status")
        self.warm_up(*targets)
        for name, fields in CLIENTS.items():
            for target in targets:
                before = self.given()
                received = self.compare(get(target, *fields), get(target, *fields))
                self.assertEqual(received.count(b"HTTP/1.1 200 OK"), 2, name)
                self.assertEqual(self.given(), before + 2, name)

    def test_a_client_that_has_the_entity_is_told_so(self) -> None:
        demo = self.successResultOf(self.quick.fake.server.lifecycle.get(None)).id
        tags = {"/status": f'"{demo}.pending"', f"/jobs/{self.job}": '"1"'}
        self.warm_up(*tags)
        for target, tag in tags.items():
            for fields, code in (
                ([tag], 304),
                ([f"W/{tag}"], 304),
                ([f'"x", {tag}'], 304),
                (['"x"', tag], 304),
                ([f"{tag[:-1]}-gzip{tag[-1]}"], 304),
                ([" * "], 304),
                (['"x"'], 200),
                ([tag[1:-1]], 200),
                ([""], 200),
            ):
                before = self.given()
                lines = [f"If-None-Match: {each}" for each in fields]
                received = self.compare(get(target, *lines))
                self.assertIn(b"HTTP/1.1 %d " % code, received)
                self.assertEqual(self.given(), before + 1, lines)

    def test_requests_that_may_mean_more_take_the_slow_way(self) -> None:
        self.warm_up("/status")
        for request in (*(get("/status", field) for field in SLOW), *OTHERS.values()):
            before = self.given()
            self.compare(request)
            self.compare(request[:11], request[11:])
            self.assertEqual(self.given(), before, request)
            self.compare(request, STATUS)

    def test_the_next_request_after_any_other_is_answered_likewise(self) -> None:
        self.warm_up("/status")
        self.patch(events, "randint", lambda least, most: least)
        job = f"/jobs/{self.job}"
        for steps in (
            [STATUS] * 3,
            [NOTHING, STATUS],
            [HELD, STATUS, STATUS],
            [HELD, STATUS, wait(3), STATUS],
            [HELD + STATUS, wait(3), STATUS],
            [post(b"{}"), STATUS],
            [post(b"[]"), STATUS],
            [post(b'{"metadata":{"x":"%b"}}' % (b"x" * 100_000)), STATUS],
            [post(b"x" * 2_000_000), STATUS, wait(3)],
            [CHUNKED, STATUS],
            [CHUNKED[:-5], STATUS, wait(70)],
            [STATUS, b"\r\n", STATUS, STATUS],
            [STATUS, STATUS[:20], STATUS[20:] + STATUS, STATUS],
            [STATUS, STATUS[:20], wait(70), STATUS],
            [b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(STATUS)]
            + [STATUS] * 3,
            [get("/status", "Connection: close"), STATUS],
            [bytes([each]) for each in STATUS + STATUS],
            [get(job), post(b'{"progress":0.5}', method="PATCH", target=job), get(job), get(job)],
            [get(f"{job}/events"), STATUS, STATUS],
        ):
            self.compare(*steps)
        self.assertGreater(self.given(), 10)

    def test_a_second_request_in_one_piece_waits_for_its_turn(self) -> None:
        self.warm_up("/status")
        self.compare(STATUS, STATUS * 3, STATUS)
        self.assertEqual(self.given(), 2)

    def test_what_arrives_before_the_server_has_got_round_to_the_rest_waits(self) -> None:
        self.warm_up("/status")
        last = get("/status", "Connection: close")
        for pieces in (
            [STATUS * 3, STATUS],
            [NOTHING * 3, STATUS],
            [last, STATUS],
            [HELD, STATUS],
        ):

            def burst(connection: MemorySocket, pieces: list[bytes] = pieces) -> None:
                for piece in pieces:
                    connection.protocol.dataReceived(piece)
                    # What was written is sent, but no turn is taken yet.
                    connection.send_unsent()

            self.compare(burst, wait(3), STATUS)
        # Only the requests at the end, where the connections are still open.
        self.assertEqual(self.given(), 3)

    def test_what_arrives_on_a_connection_that_is_being_closed_is_ignored(self) -> None:
        self.warm_up("/status")

        def close(connection: MemorySocket) -> None:
            connection.protocol.loseConnection()
            connection.protocol.dataReceived(STATUS)

        self.assertEqual(self.compare(close), b"<closed>")

    def test_a_client_that_reads_slowly_gets_every_byte_in_order(self) -> None:
        self.warm_up("/status")
        stall: Step = lambda connection: connection.read(0)  # noqa: E731
        resume: Step = lambda connection: connection.read()  # noqa: E731
        drip: list[Step] = [lambda connection: connection.read(100)] * 20
        self.compare(stall, *[STATUS] * 5, *drip, resume, STATUS)
        self.compare(STATUS, stall, STATUS, NOTHING, HELD, wait(3), resume, STATUS)
        self.compare(stall, *[STATUS + NOTHING] * 200, wait(5), resume, STATUS)
        self.assertGreater(self.given(), 4)

    def test_nothing_is_sent_before_what_waits_to_be_sent(self) -> None:
        self.warm_up("/status")
        connection = self.quick.connect()
        connection.read(10)
        connection.send(STATUS)
        self.assertEqual((self.given(), len(connection.received)), (1, 10))
        connection.send(STATUS)
        self.assertEqual(self.given(), 1)
        connection.reset()

    def test_a_client_that_never_reads_is_cut_off_at_the_same_time(self) -> None:
        self.warm_up("/status")
        stall: Step = lambda connection: connection.read(50)  # noqa: E731
        received = self.compare(stall, STATUS, wait(59), wait(59), wait(9))
        self.assertTrue(received.endswith(b"<lost>"))
        self.assertEqual(self.given(), 1)

    def test_a_client_that_sends_no_more_is_answered_and_its_connection_closed(self) -> None:
        self.warm_up("/status")
        for sent in ([], [STATUS], [STATUS, STATUS], [NOTHING + STATUS], [STATUS[:9]]):
            steps: list[Step] = [*sent, MemorySocket.send_no_more]
            received = self.compare(*steps)
            self.assertTrue(received.endswith(b"<closed>"))

    def test_a_connection_that_is_lost_meanwhile_is_noticed(self) -> None:
        self.warm_up("/status")

        def lose(connection: MemorySocket) -> None:
            connection.broken = True

        ways: list[list[Step]] = [[lose, STATUS], [STATUS, lose, STATUS], [lose, STATUS * 2]]
        for steps in ways:
            self.assertTrue(self.compare(*steps).endswith(b"<lost>"))
        self.compare(STATUS, MemorySocket.reset)
        self.assertEqual(len(self.quick.fake.server.site.channels), 0)

    def test_a_stopping_server_closes_connections_after_their_answers(self) -> None:
        self.warm_up("/status")
        connection = self.quick.connect()
        connection.send(STATUS)
        self.quick.fake.server.site.draining = True
        connection.send(STATUS)
        self.assertEqual(self.given(), 1)
        self.assertIn(b"Connection: close", connection.received)
        self.assertTrue(connection.received.endswith(b"<closed>"))

    def test_the_date_and_the_time_to_ask_again_move_on_once_a_second(self) -> None:
        self.warm_up("/status")
        received = self.compare(*[STATUS, wait(1)] * 4)
        for second in range(4):
            self.assertEqual(received.count(b"18:00:0%d GMT\r\nVary" % second), 1)
        self.assertEqual(self.given(), 4)
        answers = self.quick.play([STATUS, wait(0.5)] * 3).split(b"HTTP/1.1")[1:]
        self.assertEqual([answers.index(each) for each in answers], [0, 0, 2])

    @settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_however_requests_are_cut_the_same_bytes_come(self, data: st.DataObject) -> None:
        job = f"/jobs/{self.job}"
        parts = [
            STATUS,
            get("/status", 'If-None-Match: "x", *'),
            get(job),
            get(f"{job}/status", "Connection: keep-alive"),
            post(b"{}"),
            CHUNKED,
            NOTHING,
            get("/healthz"),
            get("/status", "Prefer: wait=1"),
            b"\r\n",
        ]
        stream = b"".join(data.draw(st.lists(st.sampled_from(parts), min_size=1, max_size=8)))
        cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
        pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
        steps: list[Step] = []
        for piece in pieces:
            pause = data.draw(st.sampled_from([None, None, wait(1), wait(3)]))
            steps += [piece] if pause is None else [piece, pause]
        self.compare(*steps, MemorySocket.send_no_more, wait(3))

    def tearDown(self) -> None:
        # No connection may be left, however it ended.
        for twin in (self.quick, self.plain):
            self.assertEqual(twin.fake.server.site.channels, set())


class BookkeepingTests(TwinTestCase):
    """What the site notes of a fast answer."""

    def setUp(self) -> None:
        super().setUp()
        self.warm_up("/status")
        self.site = self.quick.fake.server.site

    def test_a_fast_answer_renews_the_time_for_which_a_connection_may_be_idle(self) -> None:
        polls: list[Step] = [STATUS, wait(KEPT_SECONDS - 1)] * 5
        received = self.compare(*polls, wait(IDLE_SECONDS - KEPT_SECONDS), STATUS)
        self.assertEqual(received.count(b"200 OK"), 6)
        self.assertGreater(self.given(), 2)
        received = self.compare(STATUS, STATUS, wait(IDLE_SECONDS), STATUS)
        self.assertTrue(received.endswith(b"<closed>"))

    def test_the_connection_that_was_idle_for_longest_gives_way(self) -> None:
        first, second = self.quick.connect(), self.quick.connect()
        first.send(STATUS)
        self.assertEqual(self.given(), 1)
        self.site.connection_limit = 2
        third = self.quick.connect()
        second.settle()
        self.assertEqual((first.connected, second.connected), (1, 0))
        first.reset()
        third.reset()

    def test_answers_are_counted_by_their_routes(self) -> None:
        job = f"/jobs/{self.job}"
        self.warm_up(job, f"{job}/status")
        self.quick.fake.server.api.answered.clear()
        for target in ("/status", job, f"{job}/status"):
            self.quick.play([get(target), get(target, "If-None-Match: *")])
        self.assertEqual(
            dict(self.quick.fake.server.api.answered),
            {
                (f"GET {route}", code): 1
                for route in ("/status", "/jobs/<job_id>", "/jobs/<job_id>/status")
                for code in (200, 304)
            },
        )
        self.assertEqual(self.given(), 6)
