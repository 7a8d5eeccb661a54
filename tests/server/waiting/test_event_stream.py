"""The stream of one job: C{GET /jobs/{id}/events}."""

from __future__ import annotations

from typing import ClassVar

from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import new_job_id
from statusjob.server.waiting.event_stream import BEAT_SECONDS, BEATS_PER_READ
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.connections import Connection, Following
from tests.helpers.lanes import HeldLane
from tests.helpers.servers import EPOCH, ServerTestCase
from tests.helpers.streams import FollowTestCase


class StreamTests(FollowTestCase):
    """A stream from its beginning to its end."""

    def setUp(self) -> None:
        super().setUp()
        self.job = self.new_job(kind="video-translation")

    def test_a_stream_begins_at_once_with_the_present_state(self) -> None:
        followed = self.follow_job(self.job)
        (event,) = followed.events()
        self.assertEqual((event.id, event.type), ("1", "job.progress"))
        self.assertEqual(event.data, self.ask(self.fake, "GET", f"/jobs/{self.job}").json)
        self.assertTrue(1_000 <= followed.retry <= 3_000, followed.retry)

    def test_its_headers_keep_proxies_from_buffering_it(self) -> None:
        followed = self.follow_job(self.job)
        followed.events()
        assert followed.head is not None
        headers = followed.head.headers
        self.assertEqual((followed.head.code, headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(headers["cache-control"], "no-store, no-transform")
        self.assertEqual(headers["x-accel-buffering"], "no")
        self.assertNotIn("content-length", headers)

    def test_every_update_is_an_event_with_the_whole_job(self) -> None:
        followed = self.follow_job(self.job)
        followed.events()
        self.report(self.job, progress=0.5, message="half")
        (event,) = followed.events()
        self.assertEqual((event.id, event.type), ("2", "job.progress"))
        self.assertEqual((event.data["progress"], event.data["message"]), (0.5, "half"))
        self.assertEqual(event.data["links"]["events"], f"/jobs/{self.job}/events")

    def test_a_heartbeat_is_not_an_event(self) -> None:
        followed = self.follow_job(self.job)
        followed.events()
        self.report(self.job)
        self.assertEqual(followed.events(), [])

    def test_the_terminal_event_is_the_last(self) -> None:
        for result in ("completed", "error"):
            job = self.new_job()
            followed = self.follow_job(job)
            followed.events()
            self.report(job, result=result)
            (event,) = followed.events()
            self.assertEqual((event.id, event.type), ("2", f"job.{result}"))
            self.assertTrue(followed.ended)
            self.assert_nobody_follows()

    def test_the_connection_of_a_stream_can_be_used_again(self) -> None:
        followed = self.follow_job(self.job)
        self.report(self.job, result="completed")
        self.assertEqual(followed.versions(), [1, 2])
        followed.connection.ask(f"GET /jobs/{self.job}/status")
        self.assertEqual(followed.connection.answer().json, {"result": "completed"})

    def test_the_stream_of_a_cancelled_job_ends_too(self) -> None:
        followed = self.follow_job(self.job)
        self.ask(self.fake, "DELETE", f"/jobs/{self.job}")
        self.fake.clock.advance(0)
        self.assertEqual(followed.events()[-1].data["error"]["code"], "cancelled")
        self.assertTrue(followed.ended)

    def test_newlines_of_any_kind_in_a_message_do_not_break_an_event(self) -> None:
        message = "one\ntwo\r\n\n: x\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e\\u2028"
        followed = self.follow_job(self.job)
        followed.events()
        self.report(self.job, message=message)
        text = followed.connection.transport.value().decode()
        # The size of the chunk, its three lines, the line after it.
        self.assertEqual(len(text.split("id: 2")[1].splitlines()), 5)
        self.assertEqual(followed.events()[-1].data["message"], message)

    def test_no_empty_line_ends_what_is_not_an_event(self) -> None:
        followed = self.follow_job(self.job)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        self.report(self.job, progress=0.5)
        text = followed.connection.transport.value().decode()
        self.assertEqual(text.count("\n\n"), 2)
        self.assertEqual(text.count("data: "), 2)
        self.assertEqual((followed.versions(), followed.comments), ([1, 2], 1))

    def test_of_several_updates_at_once_only_the_newest_is_sent(self) -> None:
        followed = self.follow_job(self.job)
        followed.events()
        lifecycle = self.fake.server.lifecycle
        for progress in (0.1, 0.2, 0.3):
            lifecycle.report(self.job, Report(progress=progress))
        self.fake.clock.advance(0)
        self.assertEqual(followed.versions(), [4])

    def test_the_demo_job_is_followed_by_its_id(self) -> None:
        fake = self.serve(STATUS_DELAY="2000", STATUSJOB_ERROR_RATE="0")
        fake.clock.advance(0)
        link = self.ask(fake, "GET", "/status").header("Link") or ""
        followed = self.follow(link.partition(">")[0].lstrip("<") + "/events", fake=fake)
        fake.clock.pump([0.25] * 10)
        types = [event.type for event in followed.events()]
        self.assertEqual(types, [*["job.progress"] * 4, "job.completed"])
        self.assertTrue(followed.ended)

    def test_a_client_of_http_1_0_gets_the_stream_without_chunks(self) -> None:
        connection = Connection(self.fake.server.site)
        request = f"GET /jobs/{self.job}/events HTTP/1.0\r\nHost: localhost\r\n\r\n"
        connection.send(request.encode())
        self.report(self.job, result="completed")
        head, _, text = connection.received().partition(b"\r\n\r\n")
        self.assertNotIn(b"Transfer-Encoding", head)
        self.assertEqual(text.count(b"\nevent: job."), 2)
        self.assertFalse(connection.open)

    def test_head_is_answered_with_the_headers_of_a_stream(self) -> None:
        connection = Connection(self.fake.server.site)
        connection.ask(f"HEAD /jobs/{self.job}/events")
        answer = connection.answer()
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-type"], "text/event-stream")
        self.assertTrue(connection.open)
        self.assert_nobody_follows()

    def test_links_carry_the_path_of_the_public_url(self) -> None:
        fake = self.serve(STATUSJOB_PUBLIC_URL="http://jobs.example/base")
        job = self.create(fake)["id"]
        (event,) = self.follow(f"/jobs/{job}/events", fake=fake).events()
        self.assertEqual(event.data["links"]["self"], f"/base/jobs/{job}")


class ResumeTests(FollowTestCase):
    """A client that reconnects sends the last version that it has seen."""

    def setUp(self) -> None:
        super().setUp()
        self.job = self.new_job()
        self.report(self.job, progress=0.1)
        self.report(self.job, progress=0.2)

    def resume(self, last: str) -> Following:
        return self.follow_job(self.job, f"Last-Event-ID: {last}")

    def test_the_newest_state_replaces_those_that_were_missed(self) -> None:
        self.assertEqual(self.resume("1").versions(), [3])

    def test_a_version_that_the_client_has_seen_is_not_sent_again(self) -> None:
        followed = self.resume("3")
        self.assertEqual((followed.events(), followed.open), ([], True))
        self.report(self.job, progress=0.3)
        self.assertEqual(followed.versions(), [4])

    def test_an_invalid_last_event_id_is_ignored(self) -> None:
        for last in ("4", "99", "-1", "x", "1.5", "", "9" * 100, "\u0663", "3 ", "0"):
            expected = [] if last == "3 " else [3]
            self.assertEqual(self.resume(last).versions(), expected, last)

    def test_a_terminal_event_that_was_missed_is_sent_and_ends_the_stream(self) -> None:
        self.report(self.job, result="completed")
        for headers in ((), ("Last-Event-ID: 3",), ("Last-Event-ID: 99",)):
            followed = self.follow_job(self.job, *headers)
            (event,) = followed.events()
            self.assertEqual((event.id, event.type, followed.ended), ("4", "job.completed", True))

    def test_a_client_that_has_seen_the_end_is_answered_204(self) -> None:
        self.report(self.job, result="completed")
        events = f"/jobs/{self.job}/events"
        for followed in (self.resume("4"), self.follow(f"{events}?lastEventId=4")):
            followed.events()
            assert followed.refusal is not None
            self.assertEqual((followed.refusal.code, followed.refusal.body), (204, b""))
            self.assertEqual(followed.refusal.headers["cache-control"], "no-store")
            self.assert_nobody_follows()

    def test_a_client_that_cannot_send_the_header_may_put_the_version_into_the_query(self) -> None:
        events = f"/jobs/{self.job}/events"
        for query, expected in (
            ("lastEventId=3", []),
            ("lastEventId=2", [3]),
            ("lastEventId=1&lastEventId=3", []),
            ("lastEventId=", [3]),
            ("lastEventId=99", [3]),
            ("lastEventId=x&other=3", [3]),
        ):
            self.assertEqual(self.follow(f"{events}?{query}").versions(), expected, query)
        # The header is newer: it is sent by who reconnects to the very same URL.
        resumed = self.follow(f"{events}?lastEventId=1", "Last-Event-ID: 3")
        self.assertEqual(resumed.versions(), [])

    def test_a_client_that_tells_no_version_after_the_end_comes_back_once_a_minute(self) -> None:
        self.report(self.job, result="completed")
        for headers, shortest, longest in (
            ((), 60_000, 90_000),
            (("Last-Event-ID: 3",), 1_000, 3_000),
        ):
            followed = self.follow_job(self.job, *headers)
            self.assertEqual(followed.versions(), [4])
            self.assertTrue(shortest <= followed.retry <= longest, followed.retry)


class HeartbeatTests(FollowTestCase):
    """A comment from time to time keeps the connection alive."""

    def test_a_comment_is_sent_while_nothing_happens(self) -> None:
        followed = self.follow_job(self.new_job())
        followed.events()
        self.fake.clock.advance(BEAT_SECONDS - 1)
        self.assertEqual((followed.events(), followed.comments), ([], 0))
        for count in (1, 2, 3):
            self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
            self.assertEqual((followed.events(), followed.comments), ([], count))

    def test_the_deletion_of_the_job_is_noticed_and_ends_the_stream(self) -> None:
        gone, there = self.new_job(), self.new_job()
        followed, other = self.follow_job(gone), self.follow_job(there)
        self.fake.server.store.write(
            lambda tx: tx.execute("DELETE FROM jobs WHERE id = :id", id=gone)
        )
        self.fake.clock.pump([BEAT_SECONDS + TIMER_RESOLUTION] * BEATS_PER_READ)
        self.assertEqual((followed.versions(), followed.ended), ([1], True))
        self.assertEqual((other.versions(), other.open), ([1], True))
        self.report(there, progress=0.5)
        self.assertEqual(other.versions(), [2])
        again = self.follow_job(gone)
        self.assertEqual((again.events(), again.refusal and again.refusal.code), ([], 404))

    def test_an_update_that_the_feed_did_not_bring_is_noticed(self) -> None:
        job = self.new_job()
        followed = self.follow_job(job)
        followed.events()
        self.patch(self.fake.server.store, "committed", lambda _: None)
        self.report(job, result="completed")
        self.assertEqual(followed.events(), [])
        self.fake.clock.pump([BEAT_SECONDS + TIMER_RESOLUTION] * BEATS_PER_READ)
        self.assertEqual((followed.versions(), followed.ended), ([2], True))

    def test_all_streams_share_one_delayed_call(self) -> None:
        job = self.new_job()
        before = len(self.fake.clock.getDelayedCalls())
        crowd = [self.follow_job(job) for _ in range(100)]
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before + 1)
        self.fake.clock.advance(BEAT_SECONDS + TIMER_RESOLUTION)
        for followed in crowd:
            followed.events()
        self.assertEqual({followed.comments for followed in crowd}, {1})
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before + 1)


class RefusalTests(FollowTestCase):
    """Errors before the first byte are answered as problems."""

    settings: ClassVar = {"STATUSJOB_TOKEN": "t", "STATUSJOB_PRIVATE": "on"}
    AUTH = "Authorization: Bearer t"

    def refused(self, *headers: str, job: str = new_job_id(EPOCH, 7)) -> Following:
        followed = self.follow_job(job, *headers)
        self.assertEqual(followed.events(), [])
        return followed

    def test_an_unknown_job_is_a_problem(self) -> None:
        for job in (new_job_id(EPOCH, 7), "nonsense"):
            self.assert_refused(self.refused(self.AUTH, job=job), 404, "unknown-job")

    def test_a_missing_token_is_a_problem(self) -> None:
        self.assert_refused(self.refused(), 401, "unauthorized")


class RoomTests(FollowTestCase):
    """The number of streams is limited."""

    settings: ClassVar = {"STATUSJOB_MAX_JOB_WATCHERS": "1"}

    def setUp(self) -> None:
        super().setUp()
        self.job = self.new_job()
        self.first = self.follow_job(self.job)

    def assert_ended(self, followed: Following, *versions: int) -> None:
        """Check that a stream had these events, and that its client comes back some time later."""
        self.assertEqual((tuple(followed.versions()), followed.ended), (versions, True))
        self.assertTrue(10_000 <= followed.retry <= 15_000, followed.retry)
        self.assertEqual(len(self.fake.server.watchers), 1)

    def test_a_stream_beyond_the_limit_tells_the_state_and_ends(self) -> None:
        second = self.follow_job(self.job)
        (event,) = second.events()
        self.assertEqual((event.id, event.type), ("1", "job.progress"))
        self.assert_ended(second)
        self.report(self.job, progress=0.5)
        self.assert_ended(self.follow_job(self.job), 2)
        self.assertEqual(self.fake.server.watchers.limits.reached, {"job-watchers": 2})
        self.first.connection.hang_up()
        again = self.follow_job(self.job)
        self.assertEqual((again.versions(), again.open), ([2], True))

    def test_a_client_that_comes_back_is_told_what_is_new(self) -> None:
        self.assert_ended(self.follow_job(self.job, "Last-Event-ID: 1"))
        self.report(self.job, result="completed")
        self.assert_nobody_follows()
        self.follow("/events")
        last = self.follow_job(self.job, "Last-Event-ID: 1")
        self.assertEqual((last.versions(), last.ended), ([2], True))
        last = self.follow_job(self.job, "Last-Event-ID: 2")
        self.assertEqual((last.events(), last.refusal and last.refusal.code), ([], 204))

    def test_a_stream_of_many_beyond_the_limit_ends_at_once(self) -> None:
        self.assert_ended(self.follow(f"/events?job={self.job}&job={self.new_job()}"))

    def test_head_is_answered_as_if_there_was_room(self) -> None:
        connection = Connection(self.fake.server.site)
        connection.ask(f"HEAD /jobs/{self.job}/events")
        answer = connection.answer()
        self.assertEqual((answer.code, answer.body), (200, b""))
        self.assertEqual(answer.headers["content-type"], "text/event-stream")


class HeldTests(ServerTestCase):
    """Streams that begin while reads and commits are held."""

    def setUp(self) -> None:
        self.lane = HeldLane()
        self.fake = self.serve(self.lane, STATUS_DELAY="1000000")
        self.settle()
        creating = self.fake.server.lifecycle.create(NewJob())
        self.settle()
        self.job = self.successResultOf(creating).job.id

    def settle(self) -> None:
        self.fake.clock.advance(0)
        while self.lane.held:
            self.lane.step()
            self.fake.clock.advance(0)

    def test_a_commit_while_the_job_is_read_is_not_lost(self) -> None:
        for steps in range(4):
            followed = Following(self.fake.server.site, f"/jobs/{self.job}/events")
            for _ in range(steps):
                if self.lane.held:
                    self.lane.step()
            version = steps + 2
            self.fake.server.lifecycle.report(self.job, Report(progress=version / 10))
            self.settle()
            versions = followed.versions()
            self.assertEqual((versions[-1], versions), (version, sorted(set(versions))))
            followed.connection.hang_up()

    def test_a_client_that_hangs_up_during_the_read_leaves_nothing(self) -> None:
        for steps in range(3):
            followed = Following(self.fake.server.site, f"/jobs/{self.job}/events")
            for _ in range(min(steps, self.lane.held)):
                self.lane.step()
            followed.connection.hang_up()
            self.assertEqual(len(self.fake.server.watchers), 0)
            self.settle()
