"""Following a job by streams: in memory, on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from statusjob import (
    BadAnswer,
    BadBaseURL,
    DurationMemory,
    JobNotFound,
    MonitoringTimeout,
    NotAuthorized,
    RetriesExhausted,
    Unreachable,
)
from tests.helpers.scripted_server import BASE, answer, hang_up, located, problem
from tests.helpers.scripted_streams import EVENTS, StreamServer, UpdatesTestCase


class StreamTests(UpdatesTestCase):
    """Streams that last until the job ends."""

    def test_one_stream_brings_all_states_to_the_last(self) -> None:
        followed = self.follow()
        self.assertEqual(self.versions, [1])
        self.server.change(progress=0.5)
        self.server.pass_time(40)
        self.assertEqual([each.progress for each in self.jobs], [None, 0.5])
        self.server.change("completed", output={"a": 1})
        self.successResultOf(followed)
        self.assertEqual(self.jobs[-1], located(self.server.job))
        self.assertEqual(self.server.paths, ["", EVENTS])
        _, asked = self.server.requests
        self.assertEqual(asked.header("Accept"), "text/event-stream")
        self.assert_nothing_left()

    def test_a_job_that_has_ended_has_one_state(self) -> None:
        self.server.change("error", code="no-sound")
        self.successResultOf(self.follow())
        self.assertEqual(self.jobs, [located(self.server.job)])

    def test_nothing_is_requested_before_the_first_state_is_asked_for(self) -> None:
        updates = self.client().updates()
        self.server.settle()
        self.assertEqual(self.server.requests, [])
        self.successResultOf(updates.aclose())
        self.successResultOf(self.consume(updates))
        self.assertEqual((self.jobs, self.server.requests), ([], []))

    def test_a_slow_consumer_gets_the_newest_state_and_the_last_one(self) -> None:
        gates: list[Deferred[None]] = []

        async def consume() -> None:
            async for job in self.client().updates():
                self.jobs.append(job)
                gates.append(Deferred())
                await gates[-1]

        done = self.begin(consume())
        for each in range(1, 6):
            self.server.change(progress=each / 10)
        gates.pop().callback(None)
        self.assertEqual(self.versions, [1, 6])
        self.server.change(progress=0.6)
        self.server.change("completed")
        self.server.pass_time(100)
        gates.pop().callback(None)
        self.assertEqual(self.versions, [1, 6, 8])
        gates.pop().callback(None)
        self.successResultOf(done)

    def test_unknown_events_are_ignored(self) -> None:
        followed = self.follow()
        self.server.write(b"event: job.paused\ndata: {}\n\ndata: hello\n\n: hm\n\n")
        self.server.change("completed")
        self.successResultOf(followed)
        self.assertEqual(self.versions, [1, 2])

    def test_a_repeated_state_is_ignored(self) -> None:
        followed = self.follow()
        self.server.write(self.server.event())
        self.server.change("completed")
        self.successResultOf(followed)
        self.assertEqual(self.versions, [1, 2])

    def test_the_duration_of_the_job_is_learned(self) -> None:
        memory = DurationMemory()
        self.follow(durations=memory)
        self.server.pass_time(20)
        self.server.change("completed")
        self.assertEqual(memory.recall("http://example.test/jobs").seen, ((20, 20),))

    def test_the_token_is_sent(self) -> None:
        self.follow(token="t0ken")
        self.assertEqual(self.server.requests[0].header("Authorization"), "Bearer t0ken")
        self.server.change("completed")

    def test_a_base_url_without_a_job_id_is_refused(self) -> None:
        for base in ("http://example.test", "http://example.test/jobs/7", BASE + "/status"):
            self.assertRaises(BadBaseURL, self.client(base).updates)


class ResumptionTests(UpdatesTestCase):
    """Streams that end before the job does."""

    def test_a_new_stream_begins_after_the_newest_known_state(self) -> None:
        for end in (StreamServer.end, StreamServer.cut):
            self.server = StreamServer(self.clock)
            self.jobs.clear()
            followed = self.follow(max_retries=0)
            self.server.change(progress=0.1)
            self.server.pass_time(30)
            end(self.server)
            begun = self.clock.seconds()
            self.server.pass_time(10)
            # The backoff of 4 s is longer than the 3 s that the stream asked for.
            self.assertEqual(self.server.times[2] - begun, 4)
            self.assertEqual(self.server.requests[2].header("Last-Event-ID"), "2")
            self.server.change("completed")
            self.successResultOf(followed)
            self.assertEqual(self.versions, [1, 2, 3])

    def test_the_retry_field_of_a_stream_delays_the_next_one(self) -> None:
        self.follow()
        self.server.write(b"retry: 7000\n\n")
        self.server.pass_time(30)
        self.server.end()
        begun = self.clock.seconds()
        self.server.pass_time(10)
        self.assertEqual(self.server.times[2] - begun, 7)
        self.server.change("completed")

    def test_a_silent_stream_is_replaced(self) -> None:
        followed = self.follow(max_retries=0)
        self.server.pass_time(30)
        self.server.write(b":\n\n")
        self.server.pass_time(44.75)
        self.assertEqual(len(self.server.streams), 1)
        self.server.pass_time(0.25)
        self.assertEqual(self.server.streams, [])
        self.server.pass_time(4)
        self.assertEqual(len(self.server.streams), 1)
        self.server.change("completed")
        self.successResultOf(followed)

    def test_following_continues_after_a_restart_of_the_server(self) -> None:
        followed = self.follow(max_retries=3)
        self.server.pass_time(30)
        self.server.then(*[hang_up] * 3)
        self.server.end()
        self.server.pass_time(40)
        # The second stream fails; then polls find out whether the server is there.
        self.assertEqual(self.server.paths, ["", EVENTS, EVENTS, "", "", "", EVENTS])
        self.server.change("completed")
        self.successResultOf(followed)

    def test_after_a_short_stream_the_next_one_follows_after_ten_seconds(self) -> None:
        for holds in (True, False):
            self.server = StreamServer(self.clock)
            self.server.holds = holds
            respond = self.server.stream

            def brief(request: Any, respond: Any = respond) -> int:
                respond(request)
                self.clock.callLater(1, request.finish)
                return NOT_DONE_YET

            self.server.instead = brief
            followed = self.follow()
            self.server.pass_time(300)
            self.assertLess(len(self.server.requests), 60)
            self.server.instead = None
            self.server.change("completed")
            self.server.pass_time(30)
            self.successResultOf(followed)

    def test_a_stream_for_which_the_server_has_no_room_is_asked_for_when_it_says(self) -> None:
        self.server.holds = True

        def no_room(request: Any) -> bytes:
            request.setHeader("Content-Type", "text/event-stream")
            event: bytes = self.server.event()
            return b"retry: 14000\n" + event

        self.server.instead = no_room
        followed = self.follow()
        self.server.pass_time(5)
        self.server.change(progress=0.25)
        self.server.pass_time(10)
        # Meanwhile the job is long-polled.
        self.assertEqual(self.server.paths, ["", EVENTS, "", ""])
        self.server.instead = None
        self.server.change(progress=0.5)
        self.server.pass_time(3)
        self.assertEqual(len(self.server.streams), 1)
        self.server.change("completed")
        self.successResultOf(followed)
        self.assertEqual(self.versions, [1, 2, 3, 4])


class RestoredTests(UpdatesTestCase):
    """A server whose database was restored, so that versions begin anew."""

    def begin_at_version_4(self) -> Deferred[None]:
        """Follow the job through its first versions."""
        followed = self.follow()
        for each in range(3):
            self.server.change(progress=each / 10, updated_at=self.clock.seconds() + each)
        self.assertEqual(self.versions, [1, 2, 3, 4])
        return followed

    def test_the_end_is_told_whatever_its_version_and_time_are(self) -> None:
        for streams in (True, False):
            self.server = StreamServer(self.clock)
            self.jobs.clear()
            if not streams:
                self.server.instead, self.server.holds = problem(404, "no"), True
            followed = self.follow()
            self.server.pass_time(30)
            self.server.change(version=9)
            self.server.pass_time(30)
            self.server.change("completed", version=3, updated_at=1)
            self.server.pass_time(10)
            self.successResultOf(followed)
            self.assertEqual(self.versions, [1, 9, 3])

    def test_a_later_state_is_told_although_its_version_is_lower(self) -> None:
        followed = self.begin_at_version_4()
        self.server.change(version=2, updated_at=self.clock.seconds() - 60)
        self.assertEqual(self.versions, [1, 2, 3, 4])
        self.server.change(progress=0.7, updated_at=self.clock.seconds() + 60)
        self.assertEqual(self.versions, [1, 2, 3, 4, 3])
        self.server.change("error")
        self.successResultOf(followed)

    def test_long_polls_go_on_from_the_version_that_the_server_has_now(self) -> None:
        self.server.instead, self.server.holds = problem(404, "no"), True
        followed = self.follow()
        self.server.pass_time(3)
        self.server.change(version=4, updated_at=self.clock.seconds())
        self.server.pass_time(3)
        self.assertEqual(self.versions, [1, 4])
        self.server.change(version=2, updated_at=self.clock.seconds() - 60)
        self.server.pass_time(40)
        self.assertEqual(len(self.server.held), 1)
        self.assertEqual(self.server.requests[-1].header("If-None-Match"), '"2"')
        self.server.change("completed")
        self.server.pass_time(1)
        self.successResultOf(followed)
        self.assertEqual(self.versions, [1, 4, 3])


class EndTests(UpdatesTestCase):
    """Errors, refusals and timeouts."""

    def test_a_missing_job_is_an_error(self) -> None:
        for code, kind in ((404, JobNotFound), (401, NotAuthorized)):
            self.serve(otherwise=problem(code, "no"))
            self.failureResultOf(self.follow(), kind)

    def test_an_unreachable_server_is_an_error(self) -> None:
        self.serve(otherwise=hang_up)
        followed = self.follow(max_retries=2)
        self.server.pass_time(60)
        error = self.failureResultOf(followed, RetriesExhausted).value
        self.assertIsInstance(error.__cause__, Unreachable)
        self.assertEqual(len(self.server.requests), 3)

    def test_answers_that_are_no_jobs_are_an_error(self) -> None:
        self.serve(otherwise=answer(200, b'{"result": "pending"}'))
        followed = self.follow(max_retries=2)
        self.server.pass_time(60)
        error = self.failureResultOf(followed, RetriesExhausted).value
        self.assertIsInstance(error.__cause__, BadAnswer)

    def test_not_modified_before_the_first_state_is_an_error(self) -> None:
        self.serve(otherwise=answer(304))
        self.failureResultOf(self.follow(max_retries=0), RetriesExhausted)

    def test_states_come_before_the_failure(self) -> None:
        gate: Deferred[None] = Deferred()

        async def consume() -> None:
            async for job in self.client(max_retries=0).updates():
                self.jobs.append(job)
                await gate

        done = self.begin(consume())
        self.server.change(progress=0.5)
        self.server.then(hang_up)
        self.server.pass_time(30)
        self.server.cut()
        self.server.pass_time(10)
        gate.callback(None)
        self.failureResultOf(done, RetriesExhausted)
        self.assertEqual(self.versions, [1, 2])

    def test_the_timeout_covers_everything(self) -> None:
        followed = self.follow(timeout=100)
        self.server.pass_time(30)
        self.server.write(b":\n\n")
        self.server.pass_time(30)
        self.server.write(b":\n\n")
        self.server.pass_time(39.75)
        self.assertNoResult(followed)
        self.server.pass_time(0.25)
        self.failureResultOf(followed, MonitoringTimeout)
        self.assert_nothing_left()
