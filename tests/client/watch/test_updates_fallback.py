"""Following a job where streams do not work: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.web.server import NOT_DONE_YET

from statusjob.client.http.connections import LONG_POLL_SLOTS, shared_connections
from tests.helpers.scripted_server import OTHER_ID, a_job, answer, hold, job_body, problem
from tests.helpers.scripted_streams import EVENTS, StreamServer, UpdatesTestCase


class FallbackTests(UpdatesTestCase):
    """Servers and proxies that do not stream."""

    def test_a_server_without_streams_is_long_polled(self) -> None:
        for instead in (
            problem(404, "nothing there"),
            problem(405, "no"),
            answer(200, b"{}", Content_Type="application/json"),
            answer(204),
        ):
            self.server = StreamServer(self.clock)
            self.server.instead, self.server.holds = instead, True
            self.jobs.clear()
            followed = self.follow()
            self.assertEqual(self.server.paths, [EVENTS, "", ""])
            self.server.pass_time(30)
            self.server.change(progress=0.5)
            self.server.pass_time(10)
            self.server.change("completed")
            self.successResultOf(followed)
            self.assertEqual((self.versions, len(self.server.requests)), ([1, 2, 3], 4))
            sent = [each.header("If-None-Match") for each in self.server.requests]
            self.assertEqual(sent, [None, '"0"', '"1"', '"2"'])

    def test_many_changes_cause_no_busy_loop(self) -> None:
        self.server.instead, self.server.holds = problem(404, "no"), True
        followed = self.follow()
        for _ in range(80):
            self.server.change(progress=0.5)
            self.server.pass_time(0.25)
        self.assertLessEqual(len(self.server.requests), 14)
        self.server.change("completed")
        self.server.pass_time(2)
        self.successResultOf(followed)

    def test_a_server_without_streams_and_long_polls_is_polled(self) -> None:
        self.server.instead = problem(404, "no")
        followed = self.follow()
        self.server.pass_time(20)
        self.server.change(progress=0.5)
        self.server.pass_time(20)
        self.assertEqual(self.versions, [1, 2])
        self.server.change("error")
        self.server.pass_time(20)
        self.successResultOf(followed)
        self.assertEqual(self.waits()[1:4], [2, 6, 10])
        self.assertEqual(self.server.paths[2:], [""] * (len(self.server.requests) - 2))

    def test_behind_a_proxy_that_buffers_streams_the_job_is_long_polled(self) -> None:
        self.server.instead, self.server.holds = hold, True
        followed = self.follow(request_timeout=6)
        self.server.pass_time(60)
        self.assertEqual(self.server.paths[:4], [EVENTS, "", EVENTS, ""])
        self.assertEqual(self.server.paths.count(EVENTS), 2)
        self.server.change("completed")
        self.server.pass_time(60)
        self.successResultOf(followed)

    def test_a_stream_that_is_refused_for_now_is_tried_again_later(self) -> None:
        self.server.instead = problem(503, "too many", Retry_After="5")
        followed = self.follow(max_retries=1)
        self.server.pass_time(60)
        self.assertGreater(self.server.paths.count(EVENTS), 2)
        self.assertLess(len(self.server.requests), 14)
        self.server.instead = None
        self.server.pass_time(60)
        self.assertEqual(len(self.server.streams), 1)
        self.server.change("completed")
        self.successResultOf(followed)

    def test_without_a_slot_the_job_is_polled(self) -> None:
        self.patch(shared_connections(self.clock), "free_slots", 0)
        followed = self.follow()
        self.server.pass_time(10)
        self.assertEqual(self.server.paths, [""] * 3)
        self.patch(shared_connections(self.clock), "free_slots", LONG_POLL_SLOTS)
        self.server.pass_time(10)
        self.assertEqual(len(self.server.streams), 1)
        self.server.change("completed")
        self.successResultOf(followed)

    def test_streams_that_break_the_contract_are_replaced_by_polling(self) -> None:
        other = job_body(a_job(id=OTHER_ID))
        for data in (b"{}", b"<html>", other, b"x" * (3 * 1024 * 1024), b"[" * 20_000):
            self.server = StreamServer(self.clock)
            stream = self.server.stream

            def bad(request: Any, data: bytes = data, stream: Any = stream) -> int:
                request.setHeader("Content-Type", "text/event-stream")
                request.write(b"event: job.progress\ndata: " + data + b"\n\n")
                return NOT_DONE_YET

            self.server.instead = bad
            followed = self.follow()
            self.server.pass_time(60)
            self.assertEqual(self.server.paths.count(EVENTS), 2, data[:50])
            self.server.change("completed")
            self.server.pass_time(60)
            self.successResultOf(followed)
