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
            self.assertEqual(self.server.paths, ["", EVENTS, ""])
            self.server.pass_time(30)
            self.server.change(progress=0.5)
            self.server.pass_time(10)
            self.server.change("completed")
            self.successResultOf(followed)
            self.assertEqual(self.versions, [1, 2, 3])
            # What may be the answer of a proxy is tried once more.
            self.assertLessEqual(self.server.paths.count(EVENTS), 2)
            sent = [each for each in self.server.requests if not each.path.endswith(EVENTS)]
            etags = [each.header("If-None-Match") for each in sent]
            self.assertEqual(etags, ['"0"', '"1"', '"2"'])

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
        self.assertEqual(self.waits()[:4], [0, 0, 2, 6])
        self.assertEqual(self.server.paths[2:], [""] * (len(self.server.requests) - 2))

    def test_behind_a_proxy_that_buffers_streams_the_job_is_long_polled(self) -> None:
        def only_headers(request: Any) -> int:
            request.setHeader("Content-Type", "text/event-stream")
            request.write(b"")
            return NOT_DONE_YET

        for instead in (hold, only_headers):
            self.server = StreamServer(self.clock)
            self.server.instead, self.server.holds = instead, True
            self.jobs.clear()
            followed = self.follow(max_retries=0)
            # The job is known at once, and its progress after the three seconds of a stream.
            self.assertEqual(self.versions, [1])
            self.server.change(progress=0.5)
            self.server.pass_time(3)
            self.assertEqual(self.versions, [1, 2])
            for _ in range(10):
                self.server.pass_time(20)
                self.server.change(progress=0.5)
            self.assertEqual(self.server.paths.count(EVENTS), 2)
            self.server.change("completed")
            self.server.pass_time(3)
            self.successResultOf(followed)
            self.assertEqual(self.versions, list(range(1, 14)))

    def test_a_stream_that_is_refused_for_now_is_tried_again_later(self) -> None:
        for refusal in (problem(503, "too many", Retry_After="25"), answer(404, b"<html>")):
            self.server = StreamServer(self.clock)
            self.server.instead, self.server.holds = refusal, True
            self.jobs.clear()
            followed = self.follow(max_retries=0)
            self.assertEqual((self.server.paths, self.versions), (["", EVENTS, ""], [1]))
            self.server.instead = None
            for _ in range(2):
                self.server.pass_time(20)
                self.server.change(progress=0.5)
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
            self.assertLessEqual(self.server.paths.count(EVENTS), 2, data[:50])
            self.server.change("completed")
            self.server.pass_time(60)
            self.successResultOf(followed)
