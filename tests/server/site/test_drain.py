"""When a server stops, requests finish, and nothing that was acknowledged is lost."""

from __future__ import annotations

import shutil

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress

from statusjob.server.forecast.learner import REST
from statusjob.server.site.channels import LINGER_SECONDS
from statusjob.server.site.site import LAST_REQUEST_SECONDS
from tests.helpers.bounded_site import BoundedSiteTestCase
from tests.helpers.connections import Connection
from tests.helpers.lanes import HeldLane
from tests.helpers.messages import request_bytes
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase, directory

DRAIN = 8.0


class DrainTests(BoundedSiteTestCase):
    """The drain of the site, whose ports are closed already."""

    def drain(self) -> Deferred[int]:
        return Deferred.fromCoroutine(self.site.drain(DRAIN))

    def test_without_connections_the_drain_ends_at_once(self) -> None:
        self.assertEqual(self.successResultOf(self.drain()), 0)

    def test_idle_connections_are_closed_at_once(self) -> None:
        fresh, used = self.connect(), self.connect()
        used.ask("GET /")
        self.assertEqual(self.successResultOf(self.drain()), 0)
        self.assertFalse(fresh.open or used.open)
        self.assertFalse(fresh.aborted or used.aborted)

    def test_a_request_in_flight_is_answered_and_then_its_connection_is_closed(self) -> None:
        slow, slower = self.connect(), self.connect()
        slow.ask("GET /held")
        slower.ask("GET /held")
        drained = self.drain()
        self.assertTrue(slow.open and slower.open)
        self.clock.advance(DRAIN - 1)
        self.echo.finish()
        answer = slow.answer()
        self.assertEqual((answer.body, answer.headers["connection"]), (b"done", "close"))
        self.assertFalse(slow.open)
        self.assertNoResult(drained)
        self.echo.finish()
        self.assertEqual(slower.answer().headers["connection"], "close")
        self.assertEqual(self.successResultOf(drained), 0)

    def test_a_request_that_is_still_being_sent_may_finish(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 4")
        connection.send(b"xx")
        drained = self.drain()
        connection.send(b"xx")
        answer = connection.answer()
        self.assertEqual((answer.body, answer.headers["connection"]), (b"4", "close"))
        self.assertEqual(self.successResultOf(drained), 0)

    def test_a_request_that_is_pipelined_behind_another_is_not_begun(self) -> None:
        connection = self.connect()
        connection.ask("GET /held")
        connection.ask("POST /", body=b"behind")
        drained = self.drain()
        self.echo.finish()
        self.assertEqual(connection.answer().body, b"done")
        self.assertEqual(self.echo.bodies, [0])
        self.assertEqual(self.successResultOf(drained), 0)

    def test_a_request_that_takes_longer_than_the_drain_is_aborted(self) -> None:
        stuck, idle = self.connect(), self.connect()
        stuck.ask("GET /held")
        drained = self.drain()
        self.assertFalse(idle.open)
        self.clock.advance(DRAIN - 0.1)
        self.assertNoResult(drained)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(drained), 1)
        self.assertTrue(stuck.aborted)
        self.assertEqual(self.echo.held, [])

    def test_a_client_that_has_sent_a_part_of_a_request_is_soon_cut_off(self) -> None:
        for part in (
            b"GET / HTTP/1.1\r\nHost:",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nxx",
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx",
        ):
            connection = self.connect()
            connection.send(part)
            self.clock.advance(1)
            drained = self.drain()
            self.clock.advance(LAST_REQUEST_SECONDS - 0.1)
            self.assertTrue(connection.open)
            self.clock.advance(0.1)
            self.assertTrue(connection.aborted)
            self.assertEqual(self.successResultOf(drained), 0)

    def test_a_client_whose_body_is_refused_still_reads_the_answer(self) -> None:
        connection = self.connect()
        connection.ask("POST /", "Content-Length: 9999999")
        drained = self.drain()
        self.assert_too_large(connection)
        self.clock.advance(LINGER_SECONDS)
        self.assertEqual(self.successResultOf(drained), 0)
        self.assertFalse(connection.aborted)

    def test_the_drain_does_not_wait_for_clients_that_hang_up(self) -> None:
        connection = self.connect()
        connection.ask("GET /held")
        drained = self.drain()
        connection.hang_up()
        self.assertEqual(self.successResultOf(drained), 0)

    def test_before_the_drain_connections_are_kept_after_an_answer(self) -> None:
        connection = self.connect()
        connection.ask("GET /")
        self.assertNotIn("connection", connection.answer().headers)
        self.assertTrue(connection.open)


class StopTests(ServerTestCase):
    """A whole server with a database file is stopped while a write is held."""

    def setUp(self) -> None:
        self.path = str(directory(self) / "jobs.sqlite")
        first = InMemoryServer(STATUSJOB_DATABASE=self.path)
        self.job = self.create(first, webhook={"url": "http://127.0.0.1:9999/"})["links"]["self"]
        self.stop(first)
        self.lane = HeldLane()
        # The demo job is slow, so that for a while no alarm rings.
        self.fake = InMemoryServer(self.lane, STATUSJOB_DATABASE=self.path, STATUS_DELAY="1000000")
        # What there is to do at a start takes some turns.
        for _ in range(3):
            self.fake.clock.advance(REST)
            while self.lane.held:
                self.lane.step()
        self.connection = Connection(self.fake.server.site)

    def report(self) -> None:
        """Send a worker's last report, which is held before its commit."""
        body = b'{"result":"completed"}'
        self.connection.ask(f"PATCH {self.job}", "Content-Type: application/json", body=body)
        self.assertEqual(self.lane.held, 1)

    def assert_kept(self) -> None:
        """Check that after a restart the job is completed and its delivery pending."""
        later = self.serve(STATUSJOB_DATABASE=self.path, start=EPOCH + 60)
        self.assertEqual(self.ask(later, "GET", self.job).json["result"], "completed")
        count = later.server.store.read(
            lambda tx: tx.all("SELECT type FROM deliveries WHERE state = 'pending'")
        )
        types = [row["type"] for row in self.successResultOf(count)]
        self.assertEqual(types, ["job.completed"])

    def test_the_held_write_is_finished_and_acknowledged(self) -> None:
        self.report()
        stopped = self.fake.server.stopService()
        self.fake.clock.advance(1)
        self.assertNoResult(stopped)
        self.assertEqual(self.connection.received(), b"")
        self.lane.step()
        answer = self.connection.answer()
        self.assertEqual((answer.code, answer.headers["connection"]), (200, "close"))
        self.assertFalse(self.connection.open)
        self.successResultOf(stopped)
        self.assert_kept()

    def test_a_write_held_for_too_long_is_finished_but_not_acknowledged(self) -> None:
        self.report()
        stopped = self.fake.server.stopService()
        self.fake.clock.advance(DRAIN)
        self.assertTrue(self.connection.aborted)
        self.assertNoResult(stopped)
        self.lane.step()
        self.successResultOf(stopped)
        self.assert_kept()

    def test_the_report_of_a_worker_that_hangs_up_is_kept(self) -> None:
        self.report()
        self.connection.hang_up()
        self.lane.step()
        self.successResultOf(self.fake.server.stopService())
        self.assert_kept()

    def test_nothing_is_left_on_the_clock(self) -> None:
        self.connection.ask("GET /healthz")
        self.fake.server.site.doStart()
        self.report()
        stopped = self.fake.server.stopService()
        self.lane.step()
        self.successResultOf(stopped)
        self.fake.server.site.doStop()
        self.assertEqual(self.fake.clock.getDelayedCalls(), [])


class CrashTests(ServerTestCase):
    """A server crashes between its commit and its answer."""

    def test_an_idempotent_retry_finds_the_one_job(self) -> None:
        alive, dead = directory(self) / "alive", directory(self) / "dead"
        alive.mkdir()
        fake = self.serve(STATUSJOB_DATABASE=str(alive / "jobs.sqlite"))

        def crash(_: object) -> None:
            shutil.copytree(alive, dead)

        # The feed is told after the commit and before the answer.
        fake.server.feed.subscribe(crash)
        given = {"Idempotency-Key": "k1"}
        first = self.ask(fake, "POST", "/jobs", body={"kind": "a"}, headers=given)
        later = self.serve(STATUSJOB_DATABASE=str(dead / "jobs.sqlite"), start=EPOCH + 60)
        again = self.ask(later, "POST", "/jobs", body={"kind": "a"}, headers=given)
        self.assertEqual((first.code, again.code), (201, 200))
        self.assertEqual(again.json["id"], first.json["id"])
        self.assertEqual(len(self.ask(later, "GET", "/jobs").json["jobs"]), 1)


class TargetTests(ServerTestCase):
    """Request targets and hosts that only a raw request can have."""

    def ask_raw(self, fake: InMemoryServer, request: bytes, host: IAddress | None = None) -> int:
        connection = Connection(fake.server.site, host)
        connection.send(request)
        return connection.answer().code

    def test_a_target_in_absolute_form_gives_the_path_and_the_host(self) -> None:
        fake = self.serve()
        for target, code in (
            (b"http://localhost/status", 200),
            (b"HTTP://127.0.0.1:8080/status?x=1", 200),
            (b"http://localhost", 404),
            (b"http://localhost?/status", 404),
            (b"http://evil.example/status", 421),
            (b"http://user@localhost/status", 400),
            (b"http:///status", 400),
        ):
            request = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target
            self.assertEqual(self.ask_raw(fake, request), code, target)

    def test_a_target_that_is_not_a_path_is_refused(self) -> None:
        fake = self.serve()
        for target in (b"status", b"xstatus", b"localhost:80", b"ftp://localhost/status", b"?x"):
            request = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % target
            self.assertEqual(self.ask_raw(fake, request), 400, target)

    def test_exactly_one_host_header_is_required(self) -> None:
        for fake in (self.serve(), self.serve(STATUSJOB_TOKEN="x")):
            for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
                request = b"GET /status HTTP/1.1\r\n%b\r\n" % hosts
                self.assertEqual(self.ask_raw(fake, request), 400)

    def test_a_target_in_absolute_form_hides_no_missing_or_second_host(self) -> None:
        for fake in (self.serve(), self.serve(STATUSJOB_TOKEN="x")):
            for hosts in (
                b"",
                b"Host: localhost\r\nHost: localhost\r\n",
                b"Host: evil.example\r\nHost: localhost\r\n",
                b"Host: local host\r\n",
            ):
                request = b"GET http://localhost/status HTTP/1.1\r\n%b\r\n" % hosts
                self.assertEqual(self.ask_raw(fake, request), 400, hosts)
            request = b"GET http://localhost/status HTTP/1.1\r\nHost: other.example\r\n\r\n"
            self.assertEqual(self.ask_raw(fake, request), 200)
            request = b"GET http://localhost/status HTTP/1.0\r\n\r\n"
            self.assertEqual(self.ask_raw(fake, request), 200)

    def test_a_request_of_http_1_0_needs_no_host_if_it_comes_from_this_machine(self) -> None:
        near, far = (IPv4Address("TCP", host, 9) for host in ("127.0.0.1", "192.0.2.7"))
        for path in (b"GET /healthz", b"OPTIONS /", b"OPTIONS *"):
            request = path + b" HTTP/1.0\r\n\r\n"
            code = 200 if path.startswith(b"GET") else 204
            for address in (near, IPv6Address("TCP", "::1", 9), UNIXAddress("/run/statusjob")):
                self.assertEqual(self.ask_raw(self.serve(), request, address), code, address)
            self.assertEqual(self.ask_raw(self.serve(), request, far), 421)
            self.assertEqual(self.ask_raw(self.serve(STATUSJOB_TOKEN="x"), request, far), code)
            empty = path + b" HTTP/1.0\r\nHost:\r\n\r\n"
            self.assertEqual(self.ask_raw(self.serve(), empty, near), 400)

    def test_no_method_but_options_asks_about_the_server_as_a_whole(self) -> None:
        for method, code in ((b"OPTIONS", 204), (b"GET", 404), (b"DELETE", 404)):
            request = method + b" * HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.assertEqual(self.ask_raw(self.serve(), request), code, method)
        foreign = b"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        self.assertEqual(self.ask_raw(self.serve(), foreign), 421)

    def test_an_answer_that_has_no_content_declares_no_length(self) -> None:
        fake = self.serve()
        job = self.create(fake)["id"]
        self.ask(fake, "PATCH", f"/jobs/{job}", body={"result": "completed"})
        for request in (
            request_bytes("OPTIONS /status"),
            request_bytes(f"GET /jobs/{job}/events", "Last-Event-ID: 2"),
        ):
            connection = Connection(fake.server.site)
            connection.send(request)
            answer = connection.answer()
            self.assertEqual((answer.code, answer.body), (204, b""))
            self.assertEqual({"content-length", "transfer-encoding"} & {*answer.headers}, set())
            connection.send(request_bytes("GET /healthz"))
            self.assertEqual(connection.answer().code, 200)

    def test_requests_are_served_on_a_unix_socket(self) -> None:
        socket = UNIXAddress("/run/statusjob")
        for version, headers in ((b"1.0", b""), (b"1.1", b"Host: localhost\r\n")):
            request = b"GET /status HTTP/%b\r\n%b\r\n" % (version, headers)
            fake = self.serve(STATUSJOB_TOKEN="x")
            self.assertEqual(self.ask_raw(fake, request, socket), 200, request)

    def test_a_target_that_is_not_utf_8_is_refused(self) -> None:
        fake = self.serve()
        for first_line in (b"GET /\xff", b"GET /jobs/\xc3\x28", b"G\xc9T /status"):
            request = first_line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
            self.assertEqual(self.ask_raw(fake, request), 400, first_line)
