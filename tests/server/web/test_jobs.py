"""The routes of one job: show, report and cancel."""

from __future__ import annotations

from typing import Any

from statusjob.contract.jobs import MESSAGE_LIMIT, OUTPUT_LIMIT
from tests.helpers.messages import Reply
from tests.helpers.servers import ServerTestCase


class JobTestCase(ServerTestCase):
    """One server with one job."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.path = self.create(self.fake)["links"]["self"]

    def look(self, **headers: str) -> Reply:
        return self.ask(self.fake, "GET", self.path, headers=headers)

    def report(self, body: Any, **headers: str) -> Reply:
        return self.ask(self.fake, "PATCH", self.path, body=body, headers=headers)

    def cancel(self, **headers: str) -> Reply:
        return self.ask(self.fake, "DELETE", self.path, headers=headers)

    def shown(self, *members: str) -> list[Any]:
        job = self.look().json
        return [job[name] for name in members]


class ShowTests(JobTestCase):
    """C{GET /jobs/{id}}."""

    def test_headers_tell_the_version_and_when_it_was_made(self) -> None:
        self.fake.clock.advance(5)
        self.report({"progress": 0.25})
        reply = self.look()
        self.assertEqual((reply.code, reply.header("Content-Type")), (200, "application/json"))
        self.assertEqual(reply.header("ETag"), '"2"')
        self.assertEqual(reply.header("Last-Modified"), "Sat, 23 Nov 2024 18:00:05 GMT")
        self.assertEqual(reply.header("Cache-Control"), "private, no-cache")
        self.assertEqual(reply.header("Vary"), "Prefer")

    def test_only_the_answer_about_a_pending_job_has_retry_after(self) -> None:
        self.assertEqual(self.look().header("Retry-After"), "2")
        self.report({"result": "completed"})
        self.assertIsNone(self.look().header("Retry-After"))

    def test_a_version_that_the_client_has_is_not_sent_again(self) -> None:
        for value in ('"1"', 'W/"1"', '"7", "1"', '"1-gzip"', "*"):
            reply = self.look(**{"If-None-Match": value})
            self.assertEqual((reply.code, reply.body), (304, b""), value)
            self.assertEqual((reply.header("ETag"), reply.header("Vary")), ('"1"', "Prefer"))
        self.report({"progress": 0.5})
        for value in ('"1"', "2", '"22"', '"1-gzip"'):
            self.assertEqual(self.look(**{"If-None-Match": value}).code, 200, value)

    def test_if_modified_since_is_ignored(self) -> None:
        later = {"If-Modified-Since": "Sat, 23 Nov 2030 18:00:00 GMT"}
        self.assertEqual(self.look(**later).code, 200)

    def test_head_is_get_without_the_body(self) -> None:
        reply, shown = self.ask(self.fake, "HEAD", self.path), self.look()
        self.assertEqual((reply.code, reply.body), (200, b""))
        self.assertEqual(reply.header("ETag"), '"1"')
        self.assertEqual(reply.header("Content-Length"), str(len(shown.body)))

    def test_an_unknown_job_is_a_problem(self) -> None:
        for path in (self.path[:-1] + ("0" if self.path[-1] != "0" else "1"), "/jobs/1"):
            for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
                reply = self.ask(self.fake, method, path, body=body)
                self.assert_problem(reply, 404, "unknown-job", "there is no such job")


class ReportTests(JobTestCase):
    """C{PATCH /jobs/{id}}."""

    def test_progress_is_shown_at_a_new_version(self) -> None:
        reply = self.report({"progress": 0.5, "message": "half", "eta": 10})
        self.assertEqual((reply.code, reply.header("ETag")), (200, '"2"'))
        self.assertEqual(reply.json, self.look().json)
        self.assertEqual(self.shown("progress", "message"), [0.5, "half"])
        self.assertEqual(self.shown("eta_at", "version"), ["2024-11-23T18:00:10.000Z", 2])

    def test_a_member_left_out_stays_and_null_clears(self) -> None:
        self.report({"progress": 0.5, "message": "half", "eta": 10})
        self.report({"message": None})
        self.assertEqual(self.shown("progress", "message"), [0.5, None])
        self.report({"progress": None, "eta": None})
        self.assertEqual(self.shown("progress", "eta_at", "version"), [None, None, 4])

    def test_progress_may_be_0_or_1(self) -> None:
        for progress in (0, 0.0, 1, 1.0, -0.0):
            self.assertEqual(self.report({"progress": progress}).code, 200, progress)

    def test_a_report_that_changes_nothing_makes_no_version(self) -> None:
        self.report({"progress": 0.5})
        for body in ({}, {"progress": 0.5}, {"result": "pending"}):
            reply = self.report(body)
            self.assertEqual((reply.code, reply.header("ETag")), (200, '"2"'), body)
        self.assertEqual(self.ask(self.fake, "PATCH", self.path).header("ETag"), '"2"')

    def test_a_heartbeat_keeps_the_worker_from_being_lost(self) -> None:
        self.path = self.create(self.fake, heartbeat=10)["links"]["self"]
        for _ in range(3):
            self.report({})
            self.fake.clock.pump([1.0] * 8)
        self.assertEqual(self.shown("result"), ["pending"])
        self.fake.clock.pump([1.0] * 4)
        self.assertEqual(self.shown("result"), ["error"])
        self.assertEqual(self.shown("error")[0]["code"], "worker-lost")

    def test_a_deadline_ends_the_job(self) -> None:
        self.path = self.create(self.fake, deadline=10)["links"]["self"]
        self.fake.clock.pump([1.0] * 11)
        self.assertEqual(self.shown("error")[0]["code"], "deadline-exceeded")

    def test_a_job_completes_with_its_output(self) -> None:
        self.fake.clock.advance(2.5)
        reply = self.report({"result": "completed", "output": {"files": ["a"]}, "progress": 1})
        self.assertEqual(reply.code, 200)
        self.assertIsNone(reply.header("Retry-After"))
        self.assertEqual(self.shown("result", "output"), ["completed", {"files": ["a"]}])
        self.assertEqual(self.shown("finished_at", "duration"), ["2024-11-23T18:00:02.500Z", 2.5])

    def test_a_job_that_fails_may_leave_an_output(self) -> None:
        report = {"result": "error", "error": {"code": "x"}, "output": {"tail": ["no h264"]}}
        for _ in range(2):
            self.assertEqual(self.report(report).code, 200)
        self.assertEqual(self.shown("result", "output"), ["error", {"tail": ["no h264"]}])
        self.assertEqual(self.report({**report, "output": None}).code, 409)

    def test_a_job_fails_with_the_workers_own_code(self) -> None:
        self.report({"result": "error", "error": {"code": "codec-missing", "message": "no h264"}})
        self.assertEqual(self.shown("error"), [{"code": "codec-missing", "message": "no h264"}])

    def test_a_job_fails_with_the_default_code_if_the_worker_gives_none(self) -> None:
        self.report({"result": "error"})
        self.assertEqual(self.shown("error"), [{"code": "failed", "message": None}])

    def test_a_repeated_terminal_report_is_accepted(self) -> None:
        report = {"result": "completed", "output": [1, 2], "message": "done"}
        first = self.report(report)
        self.fake.clock.advance(60)
        again = self.report(report)
        self.assertEqual((again.code, again.json), (200, first.json))
        self.assertEqual(again.header("ETag"), first.header("ETag"))

    def test_any_other_report_after_the_end_is_answered_with_the_job(self) -> None:
        self.report({"result": "completed", "output": [1]})
        for body in (
            {},
            {"progress": 0.5},
            {"result": "pending"},
            {"result": "completed", "output": [2]},
            {"result": "completed", "output": None},
            {"result": "error"},
        ):
            problem = self.assert_problem(self.report(body), 409, "job-finished")
            self.assertEqual(problem["job"], self.look().json)
        self.assertEqual(self.shown("version", "result"), [2, "completed"])

    def test_a_worker_learns_of_a_cancellation(self) -> None:
        self.cancel()
        problem = self.assert_problem(self.report({"progress": 0.5}), 409, "job-finished")
        self.assertEqual(problem["job"]["error"]["code"], "cancelled")

    def test_if_match_requires_a_version(self) -> None:
        for value, code in (('"1"', 200), ('"1"', 412), ('"7", "2"', 200), ("*", 200)):
            reply = self.report({"message": f"{value} {code}"}, **{"If-Match": value})
            self.assertEqual(reply.code, code, value)
            if code == 412:
                problem = self.assert_problem(reply, 412, "version-mismatch")
                self.assertEqual(problem["job"], self.look().json)

    def test_if_match_compares_strongly(self) -> None:
        for value in ('W/"1"', '"1-gzip"', "1", '"01x"', "", '"99999999999999999999"'):
            reply = self.report({"progress": 0.1}, **{"If-Match": value})
            self.assert_problem(reply, 412, "version-mismatch")

    def test_the_number_of_tags_in_if_match_is_limited(self) -> None:
        many = ", ".join(f'"{number}"' for number in range(17))
        reply = self.report({"progress": 0.1}, **{"If-Match": many})
        self.assert_problem(reply, 400, "invalid-request")

    def test_a_merge_patch_is_accepted_as_json(self) -> None:
        given = {"Content-Type": "application/merge-patch+json; charset=UTF-8"}
        self.assertEqual(self.report({"progress": 0.5}, **given).code, 200)

    def test_texts_have_limits_in_bytes(self) -> None:
        fits, too_long = "ä" * (MESSAGE_LIMIT // 2), "ä" * (MESSAGE_LIMIT // 2) + "x"
        self.assertEqual(self.report({"message": fits}).code, 200)
        self.assert_problem(self.report({"message": too_long}), 400, "invalid-request")
        failure = {"result": "error", "error": {"message": too_long}}
        self.assert_problem(self.report(failure), 400, "invalid-request")

    def test_output_has_a_limit(self) -> None:
        too_long = {"result": "completed", "output": "x" * OUTPUT_LIMIT}
        self.assert_problem(self.report(too_long), 400, "invalid-request")
        fits = {"result": "completed", "output": "x" * (OUTPUT_LIMIT - 2)}
        self.assertEqual(self.report(fits).code, 200)


class CancelTests(JobTestCase):
    """C{DELETE /jobs/{id}}."""

    def test_a_cancellation_ends_the_job(self) -> None:
        reply = self.cancel()
        self.assertEqual((reply.code, reply.header("ETag")), (200, '"2"'))
        self.assertEqual(reply.json["result"], "error")
        self.assertEqual(reply.json["error"]["code"], "cancelled")
        self.assertEqual(self.look().json, reply.json)

    def test_a_repeated_cancellation_has_the_same_answer(self) -> None:
        first = self.cancel()
        self.fake.clock.advance(60)
        again = self.cancel()
        self.assertEqual((again.code, again.json), (200, first.json))

    def test_cancelling_a_finished_job_is_answered_with_the_job(self) -> None:
        for report in ({"result": "completed"}, {"result": "error"}):
            self.path = self.create(self.fake)["links"]["self"]
            self.report(report)
            problem = self.assert_problem(self.cancel(), 409, "job-finished")
            self.assertEqual(problem["job"], self.look().json)

    def test_a_cancellation_can_require_a_version(self) -> None:
        reply = self.cancel(**{"If-Match": '"2"'})
        self.assert_problem(reply, 412, "version-mismatch")
        self.assertEqual(self.cancel(**{"If-Match": '"1"'}).code, 200)


class OperationTests(JobTestCase):
    """C{GET /jobs/{id}/operation}: for clients of Azure's asynchronous operations."""

    def operation(self) -> Any:
        reply = self.ask(self.fake, "GET", f"{self.path}/operation")
        self.assertEqual((reply.code, reply.header("Content-Type")), (200, "application/json"))
        return reply.json

    def test_an_operation_runs_and_then_ends_in_each_way(self) -> None:
        job = self.path.removeprefix("/jobs/")
        location = f"http://localhost{self.path}"
        running = {"id": job, "status": "Running", "resourceLocation": location}
        self.assertEqual(self.operation(), running)
        self.report({"progress": 0.5})
        self.assertEqual(self.operation()["percentComplete"], 50)
        self.report({"result": "completed"})
        self.assertEqual(self.operation()["status"], "Succeeded")

    def test_a_failed_or_cancelled_operation_tells_why(self) -> None:
        self.report({"result": "error", "error": {"code": "x", "message": "y"}})
        operation = self.operation()
        self.assertEqual(operation["status"], "Failed")
        self.assertEqual(operation["error"], {"code": "x", "message": "y"})
        self.path = self.create(self.fake)["links"]["self"]
        self.cancel()
        self.assertEqual(self.operation()["status"], "Canceled")

    def test_only_a_running_operation_has_retry_after(self) -> None:
        path = f"{self.path}/operation"
        self.assertEqual(self.ask(self.fake, "GET", path).header("Retry-After"), "2")
        self.cancel()
        self.assertIsNone(self.ask(self.fake, "GET", path).header("Retry-After"))
