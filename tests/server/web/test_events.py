"""The stream of many jobs: C{GET /events}."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed

from statusjob.contract.jobs import NewJob, Report
from statusjob.jobs import new_job_id
from statusjob.server.store.interface import StoreBusy
from statusjob.server.web.waiting import JOBS_LIMIT, SNAPSHOT_LIMIT
from tests.helpers.connections import Connection, Following
from tests.helpers.servers import EPOCH, HeldServerTestCase
from tests.helpers.streams import FollowTestCase

UNKNOWN = new_job_id(EPOCH, 7)


def seen(followed: Following) -> list[tuple[str, int]]:
    """Return the jobs and versions that have come since the last call."""
    return [(event.data["id"], event.data["version"]) for event in followed.events()]


class NamedTests(FollowTestCase):
    """The stream of jobs that the query names."""

    def setUp(self) -> None:
        super().setUp()
        self.jobs = [self.new_job() for _ in range(3)]

    def follow_jobs(self, *jobs: str) -> Following:
        return self.follow("/events?" + "&".join(f"job={job}" for job in jobs))

    def test_the_stream_begins_with_every_state_and_goes_on_with_updates(self) -> None:
        first, second, third = self.jobs
        self.report(second, progress=0.5)
        followed = self.follow_jobs(second, first)
        self.assertEqual(seen(followed), [(second, 2), (first, 1)])
        self.report(third, progress=0.5)
        self.report(first, progress=0.5)
        (event,) = followed.events()
        self.assertEqual((event.type, event.data["id"]), ("job.progress", first))
        self.assertEqual(event.data, self.ask(self.fake, "GET", f"/jobs/{first}").json)

    def test_events_have_no_ids(self) -> None:
        followed = self.follow_jobs(*self.jobs)
        self.report(self.jobs[0], progress=0.5)
        self.assertEqual({event.id for event in followed.events()}, {None})

    def test_a_heartbeat_is_no_event(self) -> None:
        followed = self.follow_jobs(*self.jobs)
        followed.events()
        self.report(self.jobs[0])
        self.assertEqual(followed.events(), [])

    def test_the_stream_goes_on_after_a_job_has_ended(self) -> None:
        followed = self.follow_jobs(*self.jobs)
        followed.events()
        for job in self.jobs:
            self.report(job, result="completed")
        types = [event.type for event in followed.events()]
        self.assertEqual((types, followed.open), (["job.completed"] * 3, True))

    def test_a_job_that_had_ended_is_sent_once(self) -> None:
        self.report(self.jobs[0], result="error")
        self.assertEqual(self.follow_jobs(self.jobs[0]).events()[0].type, "job.error")

    def test_a_job_that_is_named_twice_is_sent_once(self) -> None:
        followed = self.follow_jobs(self.jobs[0], self.jobs[0])
        self.assertEqual(seen(followed), [(self.jobs[0], 1)])
        self.report(self.jobs[0], progress=0.5)
        self.assertEqual(seen(followed), [(self.jobs[0], 2)])

    def test_ids_may_be_in_upper_case(self) -> None:
        followed = self.follow_jobs(self.jobs[0].upper(), self.jobs[0])
        self.assertEqual(seen(followed), [(self.jobs[0], 1)])
        self.report(self.jobs[0].upper(), progress=0.5)
        self.assertEqual(seen(followed), [(self.jobs[0], 2)])

    def test_a_hundred_jobs_may_be_named(self) -> None:
        jobs = [self.new_job() for _ in range(JOBS_LIMIT)]
        self.assertEqual(len(self.follow_jobs(*jobs).events()), JOBS_LIMIT)
        followed = self.follow_jobs(*jobs, self.jobs[0])
        followed.events()
        assert followed.refusal is not None
        self.assertEqual(followed.refusal.code, 400)

    def test_an_error_names_an_unknown_job(self) -> None:
        followed = self.follow_jobs(self.jobs[0], UNKNOWN)
        followed.events()
        problem = self.assert_refused(followed, 404, "unknown-job")
        self.assertEqual(problem["detail"], f"there is no job {UNKNOWN}")
        for nonsense in ("nonsense", "", self.jobs[0] + "0"):
            followed = self.follow_jobs(nonsense)
            followed.events()
            self.assert_refused(followed, 404, "unknown-job")

    def test_named_jobs_need_no_token_unless_the_server_is_private(self) -> None:
        for private, code in (("off", None), ("on", 401)):
            fake = self.serve(STATUSJOB_TOKEN="t", STATUSJOB_PRIVATE=private)
            made = self.ask(fake, "POST", "/jobs", body={}, headers={"Authorization": "Bearer t"})
            followed = self.follow(f"/events?job={made.json['id']}", fake=fake)
            self.assertEqual(len(followed.events()), 0 if code else 1)
            refusal = followed.refusal
            self.assertEqual(None if refusal is None else refusal.code, code)

    def test_the_limit_per_job_holds_for_every_named_job(self) -> None:
        fake = self.serve(STATUSJOB_MAX_JOB_WATCHERS="1")
        full, free = (self.create(fake)["id"] for _ in range(2))
        self.follow(f"/jobs/{full}/events", fake=fake)
        followed = self.follow(f"/events?job={free}&job={full}", fake=fake)
        self.assertEqual((followed.events(), followed.ended), ([], True))
        self.assertTrue(10_000 <= followed.retry <= 15_000, followed.retry)
        self.assertEqual(len(fake.server.watchers), 1)


class WideTests(FollowTestCase):
    """The streams of a kind, and of all jobs."""

    def setUp(self) -> None:
        super().setUp()
        self.old, self.other = self.new_job(kind="a"), self.new_job(kind="b")

    def test_the_jobs_of_a_kind_can_be_streamed(self) -> None:
        followed = self.follow("/events?kind=a")
        self.assertEqual(seen(followed), [(self.old, 1)])
        new, _ = self.new_job(kind="a"), self.new_job(kind="b")
        self.fake.clock.advance(0)
        self.report(self.other, progress=0.5)
        self.report(self.old, progress=0.5)
        self.assertEqual(seen(followed), [(new, 1), (self.old, 2)])

    def test_all_jobs_are_streamed_the_newest_first_without_the_demo_job(self) -> None:
        followed = self.follow("/events")
        self.assertEqual([job for job, _ in seen(followed)], sorted((self.old, self.other))[::-1])
        self.fake.clock.advance(60)
        self.assertNotEqual(self.ask(self.fake, "GET", "/status").json["result"], "pending")
        self.assertEqual((followed.events(), followed.comments > 0), ([], True))

    def test_the_demo_job_is_not_streamed_by_its_kind(self) -> None:
        followed = self.follow("/events?kind=demo")
        self.assertEqual((followed.events(), followed.open), ([], True))

    def test_the_stream_of_many_jobs_begins_with_the_newest_of_them(self) -> None:
        create = self.fake.server.lifecycle.create
        self.fake.clock.advance(0.01)
        newest = [
            self.successResultOf(create(NewJob(kind="a"))).job.id for _ in range(SNAPSHOT_LIMIT)
        ]
        shown = [job for job, _ in seen(self.follow("/events?kind=a"))]
        self.assertEqual((len(shown), set(shown)), (SNAPSHOT_LIMIT, set(newest)))
        self.assertEqual(shown, sorted(shown, reverse=True))

    def test_a_stream_that_names_no_jobs_needs_the_token(self) -> None:
        fake = self.serve(STATUSJOB_TOKEN="t")
        for path in ("/events", "/events?kind=a"):
            followed = self.follow(path, fake=fake)
            followed.events()
            assert followed.refusal is not None
            self.assertEqual(followed.refusal.code, 401)
            followed = self.follow(path, "Authorization: Bearer t", fake=fake)
            self.assertEqual((followed.events(), followed.open), ([], True))

    def test_without_a_token_foreign_pages_are_refused(self) -> None:
        followed = self.follow("/events", "Origin: https://pages.example")
        followed.events()
        self.assert_refused(followed, 403, "foreign-origin")

    def test_an_invalid_query_is_refused(self) -> None:
        for query in (
            "kind=a&kind=b",
            f"kind=a&job={self.old}",
            "kind=",
            "kind=a%20b",
            "kind=" + "a" * 65,
            "kind=%ff",
            "kind=a%0a",
            "result=pending",
            "token=t",
        ):
            followed = self.follow(f"/events?{query}")
            followed.events()
            self.assert_refused(followed, 400, "invalid-request")

    def test_head_is_answered_with_the_headers_of_a_stream(self) -> None:
        connection = Connection(self.fake.server.site)
        connection.ask("HEAD /events")
        self.assertEqual(connection.answer().headers["content-type"], "text/event-stream")
        self.assert_nobody_follows()

    def test_a_store_that_cannot_answer_is_a_problem(self) -> None:
        self.patch(self.fake.server.store, "read", lambda _: fail(StoreBusy("too much")))
        for path in ("/events", f"/events?job={self.old}", f"/jobs/{self.old}/events"):
            followed = self.follow(path)
            followed.events()
            self.assert_refused(followed, 503, "unavailable")

    def test_a_store_that_fails_later_ends_the_stream_and_is_logged(self) -> None:
        reader = self.fake.server.api.job_reader
        self.patch(reader, "read", lambda _: fail(StoreBusy("too much")))
        followed = self.follow("/events")
        self.assertEqual((followed.events(), followed.ended), ([], True))
        self.patch(reader, "read", lambda _: fail(ZeroDivisionError()))
        followed = self.follow("/events")
        self.assertEqual((followed.events(), followed.ended), ([], True))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assert_nobody_follows()

    def test_a_job_that_is_created_during_the_lookup_is_sent(self) -> None:
        ids: Deferred[list[str]] = Deferred()
        self.patch(self.fake.server.lifecycle, "ids", lambda **_: ids)
        followed = self.follow("/events")
        new = self.new_job()
        ids.callback([self.other, self.old])
        self.fake.clock.advance(0)
        self.assertEqual(seen(followed), [(self.other, 1), (self.old, 1), (new, 1)])

    def test_a_job_that_is_deleted_during_the_lookup_is_left_out(self) -> None:
        lifecycle = self.fake.server.lifecycle
        self.patch(lifecycle, "ids", lambda **_: succeed([UNKNOWN, self.old]))
        followed = self.follow("/events")
        self.assertEqual((seen(followed), followed.open), ([(self.old, 1)], True))


class HeldTests(HeldServerTestCase):
    """A stream that begins while reads and commits are held."""

    def create(self, *_: object, **__: object) -> str:
        creating = self.fake.server.lifecycle.create(NewJob())
        self.settle()
        return self.successResultOf(creating).job.id

    def test_updates_during_the_reads_are_sent_once_and_in_order(self) -> None:
        lifecycle = self.fake.server.lifecycle
        for steps in range(6):
            jobs = [self.create() for _ in range(3)]
            followed = Following(self.fake.server.site, "/events")
            for _ in range(min(steps, self.lane.held)):
                self.lane.step()
                self.fake.clock.advance(0)
            for job in jobs:
                lifecycle.report(job, Report(progress=0.5))
            new = lifecycle.create(NewJob())
            self.settle()
            told = seen(followed)
            for job in jobs:
                versions = [version for each, version in told if each == job]
                self.assertEqual((versions[-1], versions), (2, sorted(versions)))
            self.assertIn((self.successResultOf(new).job.id, 1), told)
            followed.connection.hang_up()
            self.assertEqual(len(self.fake.server.watchers), 0)
