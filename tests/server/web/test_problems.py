"""Errors are answered as problems: bad input, paths and methods, and mistakes of the server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.logger import capturedLogs, formatEvent

from statusjob.contract.codec import DEPTH_LIMIT
from statusjob.server.store.interface import StoreBusy, StoreFull
from statusjob.server.web.problems import DETAIL_LIMIT
from tests.helpers.messages import Reply
from tests.helpers.servers import ServerTestCase

NESTED = b"[" * 100_000 + b"]" * 100_000


def nest(depth: int) -> bytes:
    """Make a report whose output is nested that deep."""
    return b'{"result":"completed","output":' + b"[" * depth + b"]" * depth + b"}"


class BodyTests(ServerTestCase):
    """Reports that are not valid."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.path = self.create(self.fake)["links"]["self"]

    def report(self, data: bytes, content_type: str = "application/json") -> Reply:
        given = {"Content-Type": content_type}
        return self.ask(self.fake, "PATCH", self.path, data=data, headers=given)

    def assert_refused(self, *bodies: bytes) -> None:
        for data in bodies:
            self.assert_problem(self.report(data), 400, "invalid-request")
        self.assertEqual(self.ask(self.fake, "GET", self.path).json["version"], 1)

    def test_a_body_that_is_not_json_is_refused(self) -> None:
        self.assert_refused(b"{", b"{'progress':1}", b"progress=1", b"{}{}", b"\xef\xbb\xbf{}")

    def test_a_body_that_is_not_an_object_is_refused(self) -> None:
        self.assert_refused(b"[]", b"null", b'"x"', b"0.5", b"true")

    def test_a_body_that_is_not_utf_8_is_refused(self) -> None:
        self.assert_refused(
            b'{"message":"\xff"}', b'{"message":"\xed\xa0\x80"}', b'{"\xff":1}', b"\xff\xfe{}"
        )

    def test_lone_surrogates_are_refused(self) -> None:
        self.assert_refused(b'{"message":"\\ud800"}', b'{"message":"\\udc00\\ud800"}')

    def test_nul_is_refused_everywhere(self) -> None:
        self.assert_refused(
            b'{"message":"a\\u0000b"}',
            b'{"message":"a\x00b"}',
            b'{"result":"completed","output":{"a\\u0000":1}}',
            b'{"result":"completed","output":["\\\\\\u0000"]}',
        )

    def test_text_that_only_looks_like_nul_is_accepted(self) -> None:
        self.assertEqual(self.report(b'{"message":"\\\\u0000"}').json["message"], "\\u0000")

    def test_progress_out_of_range_is_refused(self) -> None:
        self.assert_refused(b'{"progress":1.01}', b'{"progress":-0.01}', b'{"progress":50}')

    def test_nan_and_infinity_are_refused(self) -> None:
        for value in (
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"1e999",
            b"-1e999",
            b"0x1",
            b"01",
            b"1.",
        ):
            self.assert_refused(
                b'{"progress":%b}' % value,
                b'{"eta":%b}' % value,
                b'{"result":"completed","output":%b}' % value,
            )

    def test_huge_integers_are_refused(self) -> None:
        for value in (b"9" * 30, b"9" * 400, b"9" * 100_000):
            self.assert_refused(b'{"progress":%b}' % value, b'{"eta":%b}' % value)

    def test_wrong_types_are_refused(self) -> None:
        self.assert_refused(
            b'{"progress":"0.5"}',
            b'{"progress":true}',
            b'{"progress":[0.5]}',
            b'{"message":7}',
            b'{"eta":"60"}',
            b'{"eta":false}',
            b'{"eta":-1}',
            b'{"result":"done"}',
            b'{"result":"COMPLETED"}',
            b'{"result":null}',
            b'{"result":1}',
            b'{"result":"error","error":"it broke"}',
            b'{"result":"error","error":{"code":"no such code!"}}',
            b'{"result":"error","error":{"code":null}}',
        )

    def test_unknown_members_are_refused(self) -> None:
        self.assert_refused(
            b'{"percent":50}',
            b'{"version":7}',
            b'{"result":"error","error":{"code":"x","trace":"..."}}',
        )

    def test_a_very_long_name_is_not_repeated_in_the_answer(self) -> None:
        for body in (b'{"%b":1}', b'{"result":"%b"}'):
            problem = self.assert_problem(
                self.report(body % (b"x" * 100_000)), 400, "invalid-request"
            )
            self.assertIn("x" * 100, problem["detail"])
            self.assertLess(len(problem["detail"]), 2 * DETAIL_LIMIT)

    def test_members_that_exclude_each_other_are_refused(self) -> None:
        self.assert_refused(
            b'{"output":1}',
            b'{"result":"pending","output":1}',
            b'{"error":{}}',
            b'{"result":"completed","error":{"code":"x"}}',
        )

    def test_deep_nesting_is_refused(self) -> None:
        self.assert_refused(
            nest(DEPTH_LIMIT + 1),
            nest(10_000),
            NESTED,
            b'{"unknown":' + NESTED + b"}",
            b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        )
        self.assertEqual(self.report(nest(DEPTH_LIMIT)).code, 200)

    def test_another_content_type_is_refused(self) -> None:
        for content_type in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/json; charset=latin-1",
            "application/json, text/plain",
            "",
        ):
            reply = self.report(b'{"progress":0.5}', content_type)
            self.assert_problem(reply, 415, "unsupported-media-type")
        reply = self.ask(self.fake, "PATCH", self.path, data=b'{"progress":0.5}')
        self.assert_problem(reply, 415, "unsupported-media-type")

    def test_other_spellings_of_the_json_content_type_are_accepted(self) -> None:
        for content_type in ("Application/JSON", 'application/json;charset="utf-8"; x=y'):
            self.assertEqual(self.report(b"{}", content_type).code, 200)


class PathTests(ServerTestCase):
    """Paths that do not exist."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.path = self.create(self.fake)["links"]["self"]

    def test_unknown_paths_are_not_found(self) -> None:
        for path in (
            "/nothing",
            "/Status",
            "/status/",
            "/jobs/",
            f"{self.path}/",
            f"{self.path}/nothing",
            "/webhooks/",
            "/webhooks/nothing",
            "/index.html",
            "/status;x=1",
            "/status%00",
            "/%2e%2e/etc/passwd",
        ):
            for method in ("GET", "POST", "DELETE"):
                self.assert_problem(self.ask(self.fake, method, path), 404, "not-found")

    def test_an_additional_slash_makes_an_unknown_path(self) -> None:
        for path in ("//", "//status", "/jobs//status", f"/{self.path}", "/status//"):
            self.assert_problem(self.ask(self.fake, "GET", path), 404, "not-found")

    def test_an_encoded_slash_is_not_a_slash(self) -> None:
        for path in (
            "/%2Fstatus",
            self.path.replace("/jobs/", "/jobs%2F"),
            f"{self.path}%2fstatus",
            "/jobs/a%2Fb",
        ):
            self.assert_problem(self.ask(self.fake, "GET", path), 404, "not-found")

    def test_other_characters_of_a_path_may_be_encoded(self) -> None:
        self.assertEqual(self.ask(self.fake, "GET", "/%73tatus").code, 200)

    def test_a_path_that_is_not_utf_8_is_refused(self) -> None:
        for path in ("/%ff", "/jobs/%ff", "/status%c3", "/jobs/%ed%a0%80"):
            for method in ("GET", "OPTIONS"):
                reply = self.ask(self.fake, method, path)
                self.assert_problem(reply, 400, "invalid-request")

    def test_a_malformed_id_is_an_unknown_job(self) -> None:
        for text in ("%00", "..", "%F0%9F%92%A9", "'--", "0" * 5000):
            reply = self.ask(self.fake, "GET", f"/jobs/{text}")
            self.assert_problem(reply, 404, "unknown-job")

    def test_a_query_that_no_route_reads_is_ignored(self) -> None:
        self.assertEqual(self.ask(self.fake, "GET", "/status?x=%ff&&=&y").code, 200)

    def test_head_of_an_error_has_its_headers(self) -> None:
        reply = self.ask(self.fake, "HEAD", "/nothing")
        self.assertEqual((reply.code, reply.body), (404, b""))
        self.assertEqual(reply.header("Content-Type"), "application/problem+json")


class MethodTests(ServerTestCase):
    """A path names its methods if it is asked with another."""

    def test_another_method_is_answered_with_those_allowed(self) -> None:
        fake = self.serve()
        path = self.create(fake)["links"]["self"]
        for target, allowed in (
            ("/status", "GET, HEAD, OPTIONS"),
            ("/healthz", "GET, HEAD, OPTIONS"),
            ("/jobs", "GET, HEAD, OPTIONS, POST"),
            (path, "DELETE, GET, HEAD, OPTIONS, PATCH"),
            (f"{path}/status", "GET, HEAD, OPTIONS"),
            ("/webhooks/register", "OPTIONS, POST"),
            ("/webhooks/unregister", "DELETE, OPTIONS"),
            (f"{path}/webhooks/register", "OPTIONS, POST"),
        ):
            for method in ("PUT", "TRACE", "CONNECT", "BREW"):
                reply = self.ask(fake, method, target)
                self.assert_problem(reply, 405, "method-not-allowed")
                self.assertEqual(reply.header("Allow"), allowed)

    def test_fixed_paths_win_over_ids(self) -> None:
        # A fixed path wins over {id}: this is not the job `register`.
        reply = self.ask(self.serve(), "GET", "/webhooks/register")
        self.assert_problem(reply, 405, "method-not-allowed")
        self.assertEqual(reply.header("Allow"), "OPTIONS, POST")


class MistakeTests(ServerTestCase):
    """An unexpected error is logged, and answered without its details."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.path = self.create(self.fake)["links"]["self"]

    def assert_hidden(self, reply: Reply) -> None:
        self.assert_problem(reply, 500, "internal-error")
        for word in (b"swordfish", b"Traceback", b"File", b"<"):
            self.assertNotIn(word, reply.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    @staticmethod
    def mistake(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("swordfish")

    def test_a_mistake_in_a_route_is_hidden(self) -> None:
        self.patch(self.fake.server.lifecycle, "get", self.mistake)
        self.assert_hidden(self.ask(self.fake, "GET", self.path))

    def test_the_log_tells_the_request_by_the_id_that_was_answered(self) -> None:
        self.patch(self.fake.server.lifecycle, "get", self.mistake)
        with capturedLogs() as logs:
            reply = self.ask(self.fake, "GET", f"{self.path}?token=secret")
            self.assert_hidden(reply)
        (event,) = [each for each in logs if "log_failure" in each]
        self.assertEqual((event["method"], event["path"]), ("GET", self.path))
        self.assertIn(event["request_id"], reply.json["detail"])
        self.assertNotIn("secret", formatEvent(event))

    def test_a_mistake_in_the_store_is_hidden(self) -> None:
        self.patch(
            self.fake.server.lifecycle, "get", lambda _: self.fake.server.store.read(self.mistake)
        )
        self.assert_hidden(self.ask(self.fake, "GET", self.path))

    def test_a_mistake_before_any_route_is_hidden(self) -> None:
        self.patch(self.fake.server.api.access, "check_host", self.mistake)
        self.assert_hidden(self.ask(self.fake, "GET", self.path))

    def test_the_server_goes_on_after_a_mistake(self) -> None:
        with_mistake = self.fake.server.store.write(self.mistake)
        self.failureResultOf(with_mistake, ZeroDivisionError)
        self.assertEqual(self.ask(self.fake, "POST", "/jobs", body={}).code, 201)

    def test_a_store_that_is_unavailable_is_answered_503_with_retry_after(self) -> None:
        for error in (StoreFull("the database is full"), StoreBusy("too much is waiting")):
            self.patch(self.fake.server.lifecycle, "report", lambda *_, e=error, **__: fail(e))
            reply = self.ask(self.fake, "PATCH", self.path, body={"progress": 0.5})
            self.assert_problem(reply, 503, "unavailable", str(error))
            self.assertEqual(reply.header("Retry-After"), "1")
        self.assertEqual(self.fake.server.watchers.limits.reached, {"store": 2})
