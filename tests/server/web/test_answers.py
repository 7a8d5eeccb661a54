"""The pure functions that make the answers about a job's state."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from statusjob.jobs import Job, Status
from statusjob.server.web.answers import (
    ANY,
    NO_CONDITIONS,
    Answer,
    Conditions,
    job_entity,
    make_answer,
    operation_entity,
    status_entity,
)

PENDING = Job(id="a", kind="k", version=3, result=Status.PENDING, created_at=0, updated_at=60)
ENDED = Job(
    id="a",
    kind="k",
    version=4,
    result=Status.COMPLETED,
    created_at=0,
    updated_at=120,
    finished_at=120,
)


def status_answer(
    job: Job, conditions: Conditions, retry_after: int | None, prefix: str = ""
) -> Answer:
    """The answer to a poll."""
    return make_answer(status_entity(job, prefix), conditions, retry_after)


class StatusAnswerTests(SynchronousTestCase):
    """The answer to a poll."""

    def test_of_a_pending_job_it_says_when_to_ask_again(self) -> None:
        self.assertEqual(
            status_answer(PENDING, NO_CONDITIONS, 7, prefix="/base"),
            (
                200,
                [
                    (b"vary", b"Prefer"),
                    (b"cache-control", b"private, no-cache"),
                    (b"retry-after", b"7"),
                    (b"etag", b'"a.pending"'),
                    (b"last-modified", b"Thu, 01 Jan 1970 00:00:00 GMT"),
                    (b"link", b'</base/jobs/a>; rel="monitor"'),
                    (b"content-type", b"application/json"),
                    (b"content-length", b"20"),
                ],
                b'{"result":"pending"}',
            ),
        )

    def test_of_a_job_that_has_ended_it_says_since_when(self) -> None:
        answer = status_answer(ENDED, NO_CONDITIONS, None)
        headers = dict(answer.headers)
        self.assertEqual(headers[b"last-modified"], b"Thu, 01 Jan 1970 00:02:00 GMT")
        self.assertNotIn(b"retry-after", headers)
        self.assertEqual(answer.body, b'{"result":"completed"}')

    def test_after_a_long_poll_it_is_not_stored_and_names_no_time(self) -> None:
        headers = dict(status_answer(PENDING, Conditions(wait=10), None).headers)
        self.assertEqual(headers[b"cache-control"], b"no-store")
        self.assertEqual(headers[b"preference-applied"], b"wait=10")
        self.assertNotIn(b"retry-after", headers)

    def test_an_entity_that_the_client_has_is_not_sent(self) -> None:
        sent = status_answer(PENDING, NO_CONDITIONS, 7)
        for known in (frozenset({b'"x"', b'"a.pending"'}), ANY):
            answer = status_answer(PENDING, Conditions(known), 7)
            self.assertEqual((answer.code, answer.body), (304, b""))
            self.assertEqual(answer.headers, sent.headers[:-2])

    def test_an_entity_that_the_client_does_not_have_is_sent(self) -> None:
        for known in (frozenset({b'"a.completed"'}), frozenset[bytes]()):
            self.assertEqual(
                status_answer(PENDING, Conditions(known), 7),
                status_answer(PENDING, NO_CONDITIONS, 7),
            )


class JobAnswerTests(SynchronousTestCase):
    """The answers that show a job."""

    def test_a_job_is_an_entity_per_version(self) -> None:
        answer = make_answer(job_entity(PENDING, "/base"), NO_CONDITIONS, 7)
        headers = dict(answer.headers)
        self.assertEqual((answer.code, headers[b"etag"]), (200, b'"3"'))
        self.assertEqual(headers[b"last-modified"], b"Thu, 01 Jan 1970 00:01:00 GMT")
        self.assertEqual(headers[b"content-length"], b"%d" % len(answer.body))
        self.assertEqual(json.loads(answer.body)["links"]["self"], "/base/jobs/a")

    def test_a_version_that_the_client_has_is_not_sent(self) -> None:
        known = Conditions(frozenset({b'"3"'}))
        for entity in (job_entity(PENDING), operation_entity(PENDING, None)):
            answer = make_answer(entity, known, 7)
            self.assertEqual((answer.code, answer.body), (304, b""))
        self.assertEqual(make_answer(job_entity(ENDED), known, None).code, 200)

    def test_an_operation_names_its_job_if_its_address_is_known(self) -> None:
        for location in ("http://localhost/jobs/a", None):
            answer = make_answer(operation_entity(ENDED, location), NO_CONDITIONS, None)
            self.assertEqual(json.loads(answer.body).get("resourceLocation"), location)
            self.assertEqual(dict(answer.headers)[b"etag"], b'"4"')
