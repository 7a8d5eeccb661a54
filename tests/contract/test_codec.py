"""Bodies of requests: decoded strictly, or refused with a message for the sender."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.codec import (
    DEPTH_LIMIT,
    BadInput,
    canonical_hash,
    decode,
    encode,
    is_job_id,
)
from statusjob.contract.jobs import (
    MESSAGE_LIMIT,
    METADATA_LIMIT,
    OUTPUT_LIMIT,
    ErrorReport,
    NewJob,
    Report,
    Simulation,
)
from statusjob.contract.webhooks import URL_LIMIT, NewWebhook, Registration
from statusjob.jobs import TERMINAL_EVENTS, EventType, Status
from tests.helpers.bodies import json_values, nested

SHAPES: tuple[type[Any], ...] = (Report, NewJob, Registration)


class DecodeTestCase(SynchronousTestCase):
    """Asserts that bodies are refused."""

    def refused(self, shape: type[Any], body: bytes, *words: str) -> None:
        """The body is refused with one short line that has these words in it."""
        error = self.assertRaises(BadInput, decode, body, shape)
        for word in words:
            self.assertIn(word, str(error))
        self.assertLess(len(str(error)), 200)
        self.assertEqual(len(str(error).splitlines()), 1)


class AnyBodyTests(DecodeTestCase):
    """What holds for all shapes."""

    def test_an_empty_body_stands_for_an_empty_object(self) -> None:
        self.assertEqual(decode(b"", NewJob), NewJob())
        self.assertEqual(decode(b"", Report), Report())

    def test_invalid_json_is_refused(self) -> None:
        for shape in SHAPES:
            for body in (
                b"{",
                b"{'url':1}",
                b"{}{}",
                b"<job/>",
                b" ",
                b"\xef\xbb\xbf{}",
            ):
                self.refused(shape, body, "not valid JSON")
        for text in (b"\\ud800", b"\x00", b"line\nbreak", b"\\x41"):
            self.refused(Report, b'{"message":"%b"}' % text, "not valid JSON")

    def test_json_other_than_an_object_is_refused(self) -> None:
        for shape in SHAPES:
            for body in (b"[]", b"1", b"null", b'"x"', b"true"):
                self.refused(shape, body, "Expected `object`")

    def test_invalid_utf_8_is_refused(self) -> None:
        self.refused(Report, b'{"message":"\xff"}', "not valid UTF-8")
        self.refused(Report, b'{"message":"\xc3"}', "not valid UTF-8")
        self.refused(Report, b'{"message":"\xed\xa0\x80"}', "not valid UTF-8")
        self.refused(NewJob, b'{"metadata":{"\xff":1}}', "not valid UTF-8")
        self.refused(Registration, b'{"url":"http://\xff/"}', "not valid UTF-8")
        self.refused(Report, b"\xff", "not valid JSON")

    def test_nul_is_refused_wherever_it_is(self) -> None:
        for shape, body in (
            (Report, b'{"message":"a\\u0000b"}'),
            (Report, b'{"message":"\\\\\\u0000"}'),
            (Report, b'{"result":"completed","output":["\\u0000"]}'),
            (NewJob, b'{"metadata":{"\\u0000":1}}'),
            (Registration, b'{"url":"http://a/\\u0000"}'),
        ):
            self.refused(shape, body, "NUL")

    def test_an_escaped_backslash_before_u0000_is_not_nul(self) -> None:
        self.assertEqual(decode(b'{"message":"\\\\u0000"}', Report).message, "\\u0000")

    def test_too_deep_nesting_is_refused_in_every_member(self) -> None:
        deep = nested(200_000)
        for shape, body in (
            (Report, b'{"result":"completed","output":%b}'),
            (Report, b'{"output":%b,"result":"completed"}'),
            (NewJob, b'{"metadata":{"a":%b}}'),
            (Registration, b'{"url":"u","whatever":%b}'),
        ):
            self.refused(shape, body % deep, "nested deeper than 32 levels")

    @given(st.binary(max_size=60))
    def test_no_body_raises_another_exception(self, body: bytes) -> None:
        for shape in SHAPES:
            try:
                decode(body, shape)
            except BadInput:
                continue

    @given(json_values)
    def test_no_json_raises_another_exception(self, value: object) -> None:
        for members in ({"output": value, "result": "completed"}, {"metadata": value}, value):
            for shape in SHAPES:
                try:
                    decode(encode(members), shape)
                except BadInput:
                    continue


class ReportTests(DecodeTestCase):
    """The report of a worker."""

    def test_a_member_left_out_is_not_null(self) -> None:
        report = decode(b'{"progress":null}', Report)
        self.assertIsNone(report.progress)
        for member in ("message", "eta", "result", "output", "error"):
            self.assertIs(getattr(report, member), UNSET)

    def test_a_report_with_all_members(self) -> None:
        body = b'{"progress":1,"message":"m","eta":0,"result":"completed","output":{"a":[]}}'
        expected = Report(
            progress=1.0, message="m", eta=0.0, result=Status.COMPLETED, output={"a": []}
        )
        self.assertEqual(decode(body, Report), expected)

    def test_progress_is_a_number_from_0_to_1(self) -> None:
        for number in (b"0", b"1", b"0.5", b"1.0", b"-0.0", b"1e-300"):
            decode(b'{"progress":%b}' % number, Report)
        for number in (b"-0.1", b"1.0000001", b"2", b"100", b"1e400", b"1" * 400):
            self.refused(Report, b'{"progress":%b}' % number, "$.progress")

    def test_nan_and_infinity_are_refused(self) -> None:
        for number in (b"NaN", b"Infinity", b"-Infinity", b"nan"):
            self.refused(Report, b'{"progress":%b}' % number, "not valid JSON")

    def test_neither_strings_nor_booleans_stand_for_numbers(self) -> None:
        for value in (b'"0.5"', b"true", b"false", b"[]", b"{}"):
            self.refused(Report, b'{"progress":%b}' % value, "Expected `float | null`")
            self.refused(Report, b'{"eta":%b}' % value, "Expected `float | null`")

    def test_an_eta_is_from_0_to_a_century(self) -> None:
        for number in (b"-1", b"1e11", b"9" * 400):
            self.refused(Report, b'{"eta":%b}' % number, "$.eta")

    def test_unknown_members_are_refused_by_name(self) -> None:
        self.refused(Report, b'{"progess":0.5}', "`progess`")
        self.refused(Report, b'{"result":"error","error":{"kode":"x"}}', "`kode`", "$.error")

    def test_there_are_three_results(self) -> None:
        for value in (b'"done"', b'"Completed"', b"null", b"1", b'""'):
            self.refused(Report, b'{"result":%b}' % value)

    def test_output_goes_only_with_a_terminal_result_and_error_with_error(self) -> None:
        for body in (b'{"output":1}', b'{"result":"pending","output":1}'):
            self.refused(Report, body, "`output` goes only with the result `completed` or `error`")
        for result in (b"completed", b"error"):
            report = decode(b'{"result":"%b","output":1}' % result, Report)
            self.assertEqual(report.output, 1)
        for body in (b'{"error":{}}', b'{"result":"completed","error":{"code":"x"}}'):
            self.refused(Report, body, "`error` goes only with the result `error`")
        decode(b'{"output":null,"error":null}', Report)

    def test_the_code_of_an_error_is_a_short_name(self) -> None:
        error = decode(b'{"result":"error","error":{}}', Report).error
        self.assertEqual(error, ErrorReport("failed", None))
        for code in (b"", b"two words", b"x" * 65, b"new\\nline", b"\xc3\xbc"):
            self.refused(Report, b'{"result":"error","error":{"code":"%b"}}' % code, "$.error")

    def test_lengths_are_in_bytes_of_utf_8(self) -> None:
        just, over = "ü" * (MESSAGE_LIMIT // 2), "ü" * (MESSAGE_LIMIT // 2) + "x"
        self.assertEqual(decode(encode({"message": just}), Report).message, just)
        self.refused(Report, encode({"message": over}), "`message` is longer than 1024 bytes")
        body = {"result": "error", "error": {"message": over}}
        self.refused(Report, encode(body), "`error.message` is longer")

    def test_an_output_has_a_bounded_length_and_depth(self) -> None:
        body = b'{"result":"completed","output":%b}'
        decode(body % (b'"' + b"x" * (OUTPUT_LIMIT - 2) + b'"'), Report)
        self.refused(Report, body % (b'"' + b"x" * (OUTPUT_LIMIT - 1) + b'"'), "`output`")
        decode(body % nested(DEPTH_LIMIT), Report)
        self.refused(Report, body % nested(DEPTH_LIMIT + 1), "nested deeper than 32 levels")

    def test_huge_integers_are_refused_or_kept_as_they_are(self) -> None:
        body = b'{"result":"completed","output":%b}'
        self.assertEqual(decode(body % (b"9" * 30), Report).output, int("9" * 30))
        self.refused(Report, body % (b"9" * 5000), "out of range")
        self.refused(Report, body % b"1e999", "out of range")


class NewJobTests(DecodeTestCase):
    """The creation of a job."""

    def test_a_job_with_all_members(self) -> None:
        body = (
            b'{"kind":"video-translation","metadata":{"a":1},"deadline":60,"heartbeat":5.5,'
            b'"webhook":{"url":"http://a","events":["job.error"],"secret":"s","name":"n"},'
            b'"simulate":{"delay":3,"error_rate":0}}'
        )
        expected = NewJob(
            kind="video-translation",
            metadata={"a": 1},
            deadline=60.0,
            heartbeat=5.5,
            webhook=NewWebhook("http://a", [EventType.ERROR], "s", "n"),
            simulate=Simulation(3.0, 0.0),
        )
        self.assertEqual(decode(body, NewJob), expected)

    def test_a_kind_is_a_short_name_other_than_that_of_the_demo_job(self) -> None:
        for kind in (b"", b"a b", b"x" * 65, b"new\\nline", b"kind\\n", b"/", b"\xc3\xbc"):
            self.refused(NewJob, b'{"kind":"%b"}' % kind, "$.kind")
        self.refused(NewJob, b'{"kind":"demo"}', "`demo` is the server's own")

    def test_periods_are_positive_and_at_most_a_century(self) -> None:
        for member in (b"deadline", b"heartbeat"):
            for number in (b"0", b"-1", b"1e11", b"true", b'"5"', b"NaN"):
                self.refused(NewJob, b'{"%b":%b}' % (member, number))

    def test_a_simulation_has_a_delay_and_a_probability(self) -> None:
        for body in (b'{"delay":-1}', b'{"error_rate":1.1}', b'{"error_rate":true}', b'{"x":1}'):
            self.refused(NewJob, b'{"simulate":%b}' % body, "$.simulate")

    def test_metadata_is_an_object_of_bounded_length_and_depth(self) -> None:
        self.refused(NewJob, b'{"metadata":[]}', "$.metadata")
        just = b'{"metadata":{"a":"%b"}}' % (b"x" * (METADATA_LIMIT - len('{"a":""}')))
        decode(just, NewJob)
        self.refused(NewJob, just.replace(b'"a"', b'"ab"'), "`metadata` is longer")
        self.refused(NewJob, b'{"metadata":{"a":%b}}' % nested(DEPTH_LIMIT), "nested deeper")

    def test_a_webhook_needs_a_url_and_accepts_three_events(self) -> None:
        for body in (
            b"{}",
            b'{"url":""}',
            b'{"url":1}',
            b'{"url":"%b"}' % (b"x" * (URL_LIMIT + 1)),
            b'{"url":"u","events":[]}',
            b'{"url":"u","events":["job.done"]}',
            b'{"url":"u","events":"job.error"}',
            b'{"url":"u","name":""}',
            b'{"url":"u","x":1}',
        ):
            self.refused(NewJob, b'{"webhook":%b}' % body, "$.webhook")

    def test_without_events_a_webhook_gets_the_terminal_ones_and_their_order_is_fixed(
        self,
    ) -> None:
        self.assertEqual(NewWebhook("u").event_types, TERMINAL_EVENTS)
        named = [EventType.ERROR, EventType.PROGRESS, EventType.ERROR]
        expected = (EventType.PROGRESS, EventType.ERROR)
        self.assertEqual(NewWebhook("u", named).event_types, expected)

    def test_unknown_members_of_a_registration_are_ignored(self) -> None:
        self.assertEqual(decode(b'{"url":"u","id":7}', Registration), Registration("u"))


class SameTests(SynchronousTestCase):
    """When two bodies are equal, and which texts can be ids."""

    def test_neither_white_space_nor_the_order_of_members_changes_the_hash(self) -> None:
        one = b'{"kind":"k","metadata":{"a":1,"b":[1,2]}}'
        other = b'{ "metadata": {"b":[1, 2], "a":1},\n "kind":"\\u006b" }'
        self.assertEqual(canonical_hash(one), canonical_hash(other))
        self.assertEqual(canonical_hash(b""), canonical_hash(b"{}"))

    @given(json_values, json_values)
    def test_other_values_change_the_hash(self, one: object, other: object) -> None:
        same = canonical_hash(encode(one)) == canonical_hash(encode(other))
        if same:
            self.assertEqual(one, other)

    def test_an_id_has_the_form_of_a_uuid(self) -> None:
        self.assertTrue(is_job_id("01935a2e-3d00-74f3-94e4-ded560858827"))
        for text in ("", "x", "01935A2E-3D00-74F3-94E4-DED560858827", "../etc", "a" * 36):
            self.assertFalse(is_job_id(text))
        self.assertFalse(is_job_id("01935a2e-3d00-74f3-94e4-ded560858827\n"))
