"""Long polls (C{Prefer: wait}) for a job and its operation."""

from __future__ import annotations

from statusjob.jobs import new_job_id
from statusjob.server.waiting.watchers import TIMER_RESOLUTION
from tests.helpers.long_polls import WaitTestCase
from tests.helpers.servers import EPOCH


class JobWaitTests(WaitTestCase):
    """A long poll for a job ends with a greater version."""

    def test_the_next_version_ends_the_wait(self) -> None:
        held = self.hold(If_None_Match='"1"')
        self.report(progress=0.5)
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual((reply.header("ETag"), reply.json["progress"]), ('"2"', 0.5))
        self.assertEqual(reply.json, self.ask(self.fake, "GET", self.path).json)
        self.assert_nobody_waits()

    def test_a_heartbeat_does_not_end_the_wait(self) -> None:
        held = self.hold(If_None_Match='"1"')
        self.report()
        held.assert_held()
        self.report(message="so far")
        self.assertEqual(held.reply().header("ETag"), '"2"')

    def test_a_version_that_the_client_does_not_know_is_sent_at_once(self) -> None:
        self.report(progress=0.5)
        for tag in ('"1"', 'W/"1"', '"0"', '"1", "0"'):
            reply = self.at_once(If_None_Match=tag)
            self.assert_applied(reply, 200)
            self.assertEqual(reply.header("ETag"), '"2"')

    def test_the_first_request_of_our_client_is_answered_at_once(self) -> None:
        self.assert_applied(self.at_once(If_None_Match='"0"'), 200)

    def test_the_greatest_of_several_versions_counts(self) -> None:
        self.report(progress=0.5)
        held = self.hold(If_None_Match='"1", W/"2", "other"')
        self.report(progress=0.6)
        self.assertEqual(held.reply().header("ETag"), '"3"')

    def test_a_version_that_a_compressing_proxy_renamed_is_known_to_the_client(self) -> None:
        held = self.hold(If_None_Match='"1-gzip"')
        held.assert_held()
        self.report(progress=0.5)
        self.assertEqual(held.reply().header("ETag"), '"2"')

    def test_without_a_version_only_the_jobs_end_ends_the_wait(self) -> None:
        held = self.hold()
        self.report(progress=0.5)
        held.assert_held()
        self.report(result="completed", output=7)
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual((reply.json["result"], reply.json["output"]), ("completed", 7))

    def test_cancellation_and_deadline_end_the_wait_too(self) -> None:
        for end, code in (("cancel", "cancelled"), ("deadline", "deadline-exceeded")):
            self.job = self.create(self.fake, deadline=5)["id"]
            self.path = f"/jobs/{self.job}"
            held = self.hold()
            if end == "cancel":
                self.ask(self.fake, "DELETE", self.path)
            else:
                self.fake.clock.pump([0.5] * 11)
            self.assertEqual(held.reply().json["error"]["code"], code)

    def test_when_time_is_up_the_answer_is_304(self) -> None:
        held = self.hold(If_None_Match='"1"')
        self.fake.clock.advance(9.9)
        held.assert_held()
        self.fake.clock.advance(0.1 + TIMER_RESOLUTION)
        reply = held.reply()
        self.assert_applied(reply, 304)
        self.assertEqual((reply.body, reply.header("ETag")), (b"", '"1"'))
        self.assert_nobody_waits()

    def test_without_a_version_the_present_one_is_sent_when_time_is_up(self) -> None:
        held = self.hold()
        self.report(progress=0.5)
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual(reply.json["progress"], 0.5)

    def test_a_terminal_job_is_never_waited_for(self) -> None:
        self.report(result="completed")
        self.assert_applied(self.at_once(), 200)
        self.assert_applied(self.at_once(If_None_Match='"1"'), 200)
        self.assert_applied(self.at_once(If_None_Match='"2"'), 304)
        # Whatever the client has, it is not this.
        self.assert_applied(self.at_once(If_None_Match='"99"'), 200)

    def test_a_star_stands_for_the_present_version(self) -> None:
        self.report(progress=0.1)
        held, in_vain = self.hold(If_None_Match="*"), self.hold(If_None_Match="*")
        self.fake.clock.advance(0)
        self.report(progress=0.5)
        self.assert_applied(held.reply(), 200)
        self.assert_applied(in_vain.reply(), 200)
        held = self.hold(If_None_Match="*")
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        self.assert_applied(held.reply(), 304)

    def test_a_tag_that_names_no_version_is_another_entity(self) -> None:
        for tag in ('"other"', "nonsense", '"1x"', '"' + "9" * 5000 + '"', ""):
            self.assert_applied(self.at_once(If_None_Match=tag), 200)

    def test_a_version_of_the_future_is_waited_for(self) -> None:
        held = self.hold(If_None_Match='"2"')
        self.report(progress=0.1)
        held.assert_held()
        self.report(progress=0.2)
        self.assertEqual(held.reply().header("ETag"), '"3"')
        held = self.hold(If_None_Match='"99"')
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual(reply.header("ETag"), '"3"')

    def test_the_wait_is_capped(self) -> None:
        held = self.hold(Prefer="wait=3600")
        self.fake.clock.advance(44.9)
        held.assert_held()
        self.fake.clock.advance(0.1 + TIMER_RESOLUTION)
        self.assert_applied(held.reply(), 200, 45)

    def test_a_wait_of_no_seconds_is_answered_at_once(self) -> None:
        reply = self.at_once(Prefer="wait=0", If_None_Match='"1"')
        self.assert_applied(reply, 304, 0)
        self.assert_applied(self.at_once(Prefer="wait=0"), 200, 0)

    def test_a_request_without_the_preference_is_never_held(self) -> None:
        for prefer in ("wait=", "wait=-1", "respond-async", "wait"):
            reply = self.at_once(If_None_Match='"1"', Prefer=prefer)
            self.assertEqual((reply.code, reply.header("Retry-After")), (304, "2"))
            self.assertEqual(reply.header("Cache-Control"), "private, no-cache")
            self.assertIsNone(reply.header("Preference-Applied"))

    def test_head_is_never_held(self) -> None:
        given = {"Prefer": "wait=10", "If-None-Match": '"1"'}
        reply = self.ask(self.fake, "HEAD", self.path, headers=given)
        self.assertEqual((reply.code, reply.header("Retry-After")), (304, "2"))
        self.assertIsNone(reply.header("Preference-Applied"))

    def test_an_unknown_job_is_not_waited_for(self) -> None:
        self.path = f"/jobs/{new_job_id(EPOCH, 7)}"
        reply = self.at_once()
        self.assert_problem(reply, 404, "unknown-job")
        self.assert_nobody_waits()

    def test_a_client_that_hangs_up_leaves_nothing(self) -> None:
        before = len(self.fake.clock.getDelayedCalls())
        for held in [self.hold() for _ in range(20)]:
            held.give_up()
        self.assert_nobody_waits()
        self.report(result="completed")
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before)

    def test_many_long_polls_share_one_delayed_call(self) -> None:
        before = len(self.fake.clock.getDelayedCalls())
        crowd = [self.hold(If_None_Match='"1"') for _ in range(100)]
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before + 1)
        self.report(progress=0.5)
        self.assertEqual({held.reply().code for held in crowd}, {200})
        self.assertEqual(len(self.fake.clock.getDelayedCalls()), before)


class OperationWaitTests(WaitTestCase):
    """A long poll for an operation ends as one for its job does."""

    what = "/operation"

    def test_the_next_version_ends_the_wait(self) -> None:
        held = self.hold(If_None_Match='"1"')
        self.report(progress=0.5)
        reply = held.reply()
        self.assert_applied(reply, 200)
        self.assertEqual(reply.json["percentComplete"], 50)
        held = self.hold(If_None_Match=reply.header("ETag") or "")
        self.fake.clock.advance(10 + TIMER_RESOLUTION)
        self.assert_applied(held.reply(), 304)

    def test_without_a_version_the_jobs_end_ends_the_wait(self) -> None:
        held = self.hold()
        self.report(progress=0.5)
        held.assert_held()
        self.report(result="completed")
        self.assertEqual(held.reply().json["status"], "Succeeded")

    def test_a_poll_of_the_operation_is_a_poll_of_the_job(self) -> None:
        reply = self.ask(self.fake, "GET", self.path)
        self.assertEqual((reply.code, reply.header("ETag")), (200, '"1"'))
        self.assertEqual(reply.header("Retry-After"), "2")
        self.assertEqual(reply.header("Vary"), "Prefer")
        given = {"If-None-Match": '"1"'}
        self.assertEqual(self.ask(self.fake, "GET", self.path, headers=given).code, 304)
