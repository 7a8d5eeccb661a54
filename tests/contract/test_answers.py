"""Jobs as the server writes them, and as the client reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import json
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from statusjob.client.http.answers import read_event_type, read_job, read_status, read_webhook
from statusjob.contract.codec import DEPTH_LIMIT, BadInput, encode, rfc3339
from statusjob.contract.jobs import job_to_json, operation_to_json, status_body, webhook_payload
from statusjob.jobs import CANCELLED, EventType, Job, JobFailure, Status
from tests.helpers.bodies import json_values, nested
from tests.helpers.servers import EPOCH

#: Whole milliseconds, up to the year 2200.
moments = st.integers(0, 7_258_118_400_000).map(lambda milliseconds: milliseconds / 1000)
optional_moments = st.none() | moments
texts = st.none() | st.text(max_size=20)
seconds = st.none() | st.floats(0.001, 3e9)
jobs = st.builds(
    Job,
    id=st.uuids().map(str),
    kind=st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z"),
    result=st.sampled_from(Status),
    version=st.integers(1, 2**53),
    progress=st.none() | st.floats(0, 1),
    message=texts,
    eta_at=optional_moments,
    output=json_values,
    error=st.none() | st.builds(JobFailure, st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z"), texts),
    metadata=st.none() | st.dictionaries(st.text(max_size=5), json_values, max_size=3),
    deadline=seconds,
    heartbeat=seconds,
    simulated=st.booleans(),
    created_at=moments,
    updated_at=moments,
    finished_at=optional_moments,
)
JOB = Job(id="01935a2e-3d00-74f3-94e4-ded560858827", created_at=EPOCH, updated_at=EPOCH + 0.123)


class TimeTests(SynchronousTestCase):
    """Times in JSON: RFC 3339, UTC, milliseconds."""

    def test_milliseconds_are_always_shown(self) -> None:
        self.assertEqual(rfc3339(EPOCH), "2024-11-23T18:00:00.000Z")
        self.assertEqual(rfc3339(EPOCH + 0.123), "2024-11-23T18:00:00.123Z")
        self.assertEqual(rfc3339(0), "1970-01-01T00:00:00.000Z")

    @given(st.integers(0, 4_102_444_800_000))
    def test_no_millisecond_is_lost_by_rounding(self, milliseconds: int) -> None:
        text = rfc3339(milliseconds / 1000)
        self.assertEqual(int(text[-4:-1]), milliseconds % 1000)
        self.assertEqual(len(text), len("2024-11-23T18:00:00.123Z"))


class JobTests(SynchronousTestCase):
    """A job, written and read back."""

    @given(jobs)
    def test_a_job_is_read_as_it_was_written(self, job: Job) -> None:
        self.assertEqual(read_job(encode(job_to_json(job))), job)

    @given(jobs)
    def test_a_delivery_carries_the_whole_job(self, job: Job) -> None:
        event = read_webhook(webhook_payload(job))
        self.assertEqual((event.job, event.result, event.type), (job, job.result, job.event_type))
        self.assertEqual(event.timestamp, job.updated_at)

    def test_unknown_members_are_null_and_never_left_out(self) -> None:
        shown = json.decode(encode(job_to_json(JOB)))
        self.assertEqual(
            " ".join(shown),
            "id kind result version progress message eta_at output error metadata deadline"
            " heartbeat simulated created_at updated_at finished_at duration links",
        )
        for member in ("progress", "message", "eta_at", "output", "error", "duration"):
            self.assertIsNone(shown[member])

    def test_a_finished_job_shows_its_duration_and_error(self) -> None:
        error = JobFailure("disk", "is full")
        shown = job_to_json(
            replace(JOB, result=Status.ERROR, error=error, finished_at=EPOCH + 1.5)
        )
        self.assertEqual(shown["duration"], 1.5)
        self.assertEqual(shown["error"], {"code": "disk", "message": "is full"})

    def test_links_are_paths_under_the_public_urls_prefix(self) -> None:
        links = job_to_json(JOB, "/api")["links"]
        self.assertEqual(links["self"], f"/api/jobs/{JOB.id}")
        self.assertEqual(links["status"], f"/api/jobs/{JOB.id}/status")

    def test_the_payload_has_the_original_contracts_members_first(self) -> None:
        payload = webhook_payload(replace(JOB, result=Status.COMPLETED))
        expected = (
            b'{"result":"completed","timestamp":1732384800123,"type":"job.completed","job":{'
        )
        self.assertTrue(payload.startswith(expected), payload)

    def test_the_status_is_the_original_contracts_to_the_byte(self) -> None:
        self.assertEqual(status_body(Status.PENDING), b'{"result":"pending"}')
        for status in Status:
            self.assertIs(read_status(status_body(status)), status)

    def test_an_operation_has_the_states_of_azure(self) -> None:
        for job, status in (
            (JOB, "Running"),
            (replace(JOB, result=Status.COMPLETED), "Succeeded"),
            (replace(JOB, result=Status.ERROR, error=JobFailure("disk")), "Failed"),
            (replace(JOB, result=Status.ERROR, error=JobFailure(CANCELLED)), "Canceled"),
        ):
            self.assertEqual(operation_to_json(job)["status"], status)
        operation = operation_to_json(
            replace(JOB, result=Status.ERROR, error=JobFailure("disk"), progress=1 / 3)
        )
        self.assertEqual(operation["percentComplete"], 33.3)
        self.assertNotIn("resourceLocation", operation)
        self.assertEqual(operation["error"], {"code": "disk", "message": ""})


class ReadTests(SynchronousTestCase):
    """A client accepts only valid answers, and ignores members that it does not need."""

    READERS = (read_status, read_job, read_webhook)

    def answer(self, **members: Any) -> bytes:
        return encode(job_to_json(JOB) | members)

    def test_members_that_a_later_server_adds_are_ignored(self) -> None:
        self.assertEqual(read_job(self.answer(colour="red")), JOB)
        self.assertIs(read_status(b'{"result":"error","colour":[1]}'), Status.ERROR)

    def test_a_server_of_the_original_contract_sends_no_type_and_no_job(self) -> None:
        event = read_webhook(b'{"result":"completed","timestamp":1732387200123}')
        self.assertEqual((event.result, event.timestamp), (Status.COMPLETED, 1732387200.123))
        self.assertEqual((event.type, event.job), (None, None))

    def test_an_invalid_answer_is_refused(self) -> None:
        for body in (
            b"",
            b"<html>",
            b"[]",
            b"null",
            b"{}",
            b'{"result":"done"}',
            b'{"result":null}',
            b'{"result":"\xff"}',
            b"\xff",
            b'{"result":"pending","more":%b}' % nested(200_000),
        ):
            for read in self.READERS:
                self.assertRaises(BadInput, read, body)

    def test_a_time_without_its_zone_or_out_of_range_is_refused(self) -> None:
        for moment in ("2024-11-23T18:00:00", "0001-01-01T00:00:00", "soon", 1732384800, None):
            self.assertRaises(BadInput, read_job, self.answer(created_at=moment))
        for timestamp in (b"1e999", b"9" * 400, b'"now"', b"null"):
            body = b'{"result":"pending","timestamp":%b}' % timestamp
            self.assertRaises(BadInput, read_webhook, body)

    def test_an_impossible_member_of_a_job_is_refused(self) -> None:
        for members in (
            {"version": 0},
            {"version": 2**53 + 1},
            {"progress": 1.5},
            {"id": ""},
            {"id": "\0"},
            {"id": "x" * 101},
            {"output": json.decode(nested(DEPTH_LIMIT + 1))},
            {"metadata": {"deep": json.decode(nested(DEPTH_LIMIT))}},
        ):
            self.assertRaises(BadInput, read_job, self.answer(**members))
        deepest = json.decode(nested(DEPTH_LIMIT))
        self.assertEqual(read_job(self.answer(output=deepest)).output, deepest)

    def test_a_delivery_that_contradicts_itself_is_refused(self) -> None:
        payload = json.decode(webhook_payload(JOB))
        for members in ({"type": "job.error"}, {"result": "error", "type": "job.error"}):
            self.assertRaises(BadInput, read_webhook, encode(payload | members))

    def test_the_type_of_an_event_is_read_even_if_it_is_not_known_yet(self) -> None:
        self.assertEqual(read_event_type(webhook_payload(JOB)), EventType.PROGRESS)
        self.assertEqual(read_event_type(b'{"type":"job.paused","job":5}'), "job.paused")
        self.assertIsNone(read_event_type(b'{"result":"error","timestamp":1}'))
        for body in (b"", b"[]", b'{"type":5}', b"\xff", b'{"more":%b}' % nested(200_000)):
            self.assertRaises(BadInput, read_event_type, body)

    @given(st.binary(max_size=60))
    def test_no_body_raises_another_exception(self, body: bytes) -> None:
        for read in (*self.READERS, read_event_type):
            try:
                read(body)
            except BadInput:
                continue

    @given(json_values, st.sampled_from(sorted(job_to_json(JOB))))
    def test_no_value_of_a_member_raises_another_exception(self, value: Any, name: str) -> None:
        payload = json.decode(webhook_payload(JOB))
        for read, body in (
            (read_job, self.answer(**{name: value})),
            (read_webhook, encode(payload | {"job": json.decode(self.answer(**{name: value}))})),
            (read_webhook, encode(payload | {"timestamp": value})),
        ):
            try:
                read(body)
            except BadInput:
                continue
