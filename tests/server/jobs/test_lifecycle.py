"""The life of a job: creation, reports, its end, versions, and idempotency keys."""

from __future__ import annotations

from statusjob.contract.codec import BadInput
from statusjob.jobs import CANCELLED, FAILED, Job, JobFailure, Status
from statusjob.server.errors import (
    JobFinished,
    KeyReused,
    UnknownJob,
    VersionMismatch,
    WebhookConflict,
)
from statusjob.server.webhooks.registry import WebhookLimits
from tests.helpers.core import Core, CoreTestCase, a_report, jobs_of, new_job
from tests.helpers.lanes import HeldLane

COMPLETED = b'{"result":"completed","output":{"frames":7},"message":"done"}'


class ReportTests(CoreTestCase):
    """Reports on a pending job."""

    def test_a_report_changes_only_the_members_that_it_names(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report(core, job, b'{"progress":0.5,"message":"half"}')
        after = self.report(core, job, b'{"progress":0.75}')
        self.assertEqual((after.version, after.progress, after.message), (3, 0.75, "half"))

    def test_null_clears_a_member(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report(core, job, b'{"progress":0.5,"message":"half","eta":9}')
        after = self.report(core, job, b'{"progress":null,"message":null,"eta":null}')
        self.assertEqual((after.version, after.progress, after.message), (3, None, None))
        self.assertIsNone(after.eta_at)

    def test_an_eta_counts_from_the_report_and_is_cleared_at_the_end(self) -> None:
        core = self.core()
        job = self.create(core)
        core.clock.advance(5)
        waiting = self.report(core, job, b'{"eta":60}')
        self.assertEqual(waiting.eta_at, core.clock.seconds() + 60)
        self.assertIsNone(self.report(core, job, b'{"result":"completed","eta":3}').eta_at)

    def test_a_report_that_changes_nothing_makes_no_new_version(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report(core, job, b'{"progress":0.5}')
        core.clock.advance(10)
        for body in (b"{}", b'{"progress":0.5}', b'{"message":null}', b'{"result":"pending"}'):
            after = self.report(core, job, body)
            self.assertEqual((after.version, after.updated_at), (2, job.created_at), body)
        self.assertEqual(self.column(core, "SELECT version FROM events"), [1, 2])

    def test_a_completed_job_has_its_output_and_duration(self) -> None:
        core = self.core()
        job = self.create(core)
        core.clock.advance(2.5)
        self.report(core, job, COMPLETED)
        after = self.get(core, job)
        self.assertIs(after.result, Status.COMPLETED)
        self.assertEqual((after.output, after.duration), ({"frames": 7}, 2.5))

    def test_an_error_without_a_code_has_the_code_failed(self) -> None:
        core = self.core()
        after = self.report(core, self.create(core), b'{"result":"error"}')
        self.assertEqual(after.error, JobFailure(FAILED))

    def test_an_error_has_the_code_that_the_worker_reported(self) -> None:
        core = self.core()
        body = b'{"result":"error","error":{"code":"disk","message":"is full"}}'
        after = self.report(core, self.create(core), body)
        self.assertEqual(after.error, JobFailure("disk", "is full"))

    def test_a_failed_job_may_have_an_output_too(self) -> None:
        core = self.core()
        job = self.create(core)
        body = b'{"result":"error","error":{"code":"exit"},"output":{"tail":"killed"}}'
        self.report(core, job, body)
        after = self.get(core, job)
        self.assertEqual((after.error, after.output), (JobFailure("exit"), {"tail": "killed"}))
        self.assertEqual(self.report(core, job, body), after)
        other = core.lifecycle.report(job.id, a_report(body.replace(b"killed", b"other")))
        self.failureResultOf(other, JobFinished)

    def test_every_request_about_an_unknown_job_fails(self) -> None:
        core = self.core()
        self.failureResultOf(core.lifecycle.report("nobody", a_report()), UnknownJob)
        self.failureResultOf(core.lifecycle.cancel("nobody"), UnknownJob)
        self.failureResultOf(core.lifecycle.get("nobody"), UnknownJob)
        self.failureResultOf(core.lifecycle.poll("nobody"), UnknownJob)


class AfterTheEndTests(CoreTestCase):
    """A terminal job is final."""

    def refused(self, core: Core, job: Job, body: bytes) -> Job:
        """The job that a refusal carries."""
        failure = self.failureResultOf(core.lifecycle.report(job.id, a_report(body)), JobFinished)
        finished = failure.value
        assert isinstance(finished, JobFinished)
        return finished.job

    def test_the_same_terminal_report_is_accepted_again(self) -> None:
        core = self.core()
        job = self.create(core)
        end = self.report(core, job, COMPLETED)
        core.clock.advance(60)
        self.assertEqual(self.report(core, job, COMPLETED), end)
        self.assertEqual(len(core.heard), 2)

    def test_any_other_report_is_refused_with_the_job(self) -> None:
        core = self.core()
        job = self.create(core)
        end = self.report(core, job, COMPLETED)
        for body in (
            b"{}",
            b'{"progress":0.1}',
            b'{"result":"pending"}',
            b'{"result":"error"}',
            b'{"result":"completed","output":8}',
            b'{"result":"completed","message":"again"}',
            b'{"result":"completed","progress":1}',
        ):
            self.assertEqual(self.refused(core, job, body), end, body)
        self.assertEqual(self.get(core, job), end)

    def test_an_output_that_only_python_takes_for_the_same_is_another(self) -> None:
        core = self.core()
        job = self.create(core)
        end = self.report(core, job, b'{"result":"completed","output":{"a":1,"b":[0]}}')
        for output in (b'{"a":true,"b":[0]}', b'{"a":1,"b":[false]}', b'{"a":1.0,"b":[0]}'):
            body = b'{"result":"completed","output":%b}' % output
            self.assertEqual(self.refused(core, job, body), end, body)
        again = b'{"result":"completed","output":{"b": [0], "a": 1}}'
        self.assertEqual(self.report(core, job, again), end)

    def test_another_error_is_refused(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report(core, job, b'{"result":"error","error":{"code":"disk"}}')
        end = self.refused(core, job, b'{"result":"error","error":{"code":"net"}}')
        self.assertEqual(end.error, JobFailure("disk"))

    def test_a_worker_learns_that_its_job_was_cancelled(self) -> None:
        core = self.core()
        job = self.create(core)
        self.successResultOf(core.lifecycle.cancel(job.id))
        for body in (b"{}", b'{"progress":0.5}', b'{"result":"error"}', COMPLETED):
            self.assertEqual(self.refused(core, job, body).error, JobFailure(CANCELLED), body)

    def test_a_cancellation_may_be_repeated(self) -> None:
        core = self.core()
        job = self.create(core)
        first = self.successResultOf(core.lifecycle.cancel(job.id))
        self.assertEqual(self.successResultOf(core.lifecycle.cancel(job.id)), first)

    def test_a_completed_job_cannot_be_cancelled(self) -> None:
        core = self.core()
        job = self.create(core)
        self.report(core, job, COMPLETED)
        self.failureResultOf(core.lifecycle.cancel(job.id), JobFinished)

    def test_only_one_of_two_reports_in_a_batch_ends_the_job(self) -> None:
        lane = HeldLane()
        core = self.core(lane=lane)
        creating = core.lifecycle.create(new_job())
        lane.step()
        job = self.successResultOf(creating).job
        core.store.write(lambda tx: None)
        first = core.lifecycle.report(job.id, a_report(COMPLETED))
        second = core.lifecycle.report(job.id, a_report(b'{"result":"error"}'))
        lane.step()
        lane.step()
        self.assertIs(self.successResultOf(first).result, Status.COMPLETED)
        self.failureResultOf(second, JobFinished)
        self.assertEqual([told.version for told in jobs_of(core.heard)], [1, 2])


class VersionTests(CoreTestCase):
    """Requests with C{If-Match}."""

    def test_a_report_for_the_present_version_is_accepted(self) -> None:
        core = self.core()
        job = self.create(core)
        answer = core.lifecycle.report(job.id, a_report(b'{"progress":1}'), versions={7, 1})
        self.assertEqual(self.successResultOf(answer).version, 2)

    def test_a_report_or_cancellation_for_another_version_changes_nothing(self) -> None:
        core = self.core()
        job = self.create(core, b'{"heartbeat":10}')
        for answer in (
            core.lifecycle.report(job.id, a_report(COMPLETED), versions={2, 3}),
            core.lifecycle.report(job.id, a_report(b'{"result":"pending"}'), versions={2}),
            core.lifecycle.cancel(job.id, versions={2}),
        ):
            failure = self.failureResultOf(answer, VersionMismatch)
            self.assertEqual(getattr(failure.value, "job", None), job)
        self.assertEqual(self.column(core, "SELECT heard_at FROM jobs"), [None])

    def test_a_terminal_report_is_accepted_again_with_the_version_it_was_sent_for(self) -> None:
        core = self.core()
        job = self.create(core)
        end = self.report(core, job, COMPLETED)
        again = core.lifecycle.report(job.id, a_report(COMPLETED), versions={1})
        self.assertEqual(self.successResultOf(again), end)


class KeyTests(CoreTestCase):
    """Requests with C{Idempotency-Key}."""

    BODY = b'{"kind":"k","webhook":{"url":"https://receiver.example/hook"}}'

    def test_the_same_key_returns_the_present_job_with_its_webhook_and_secret(self) -> None:
        core = self.core()
        first = self.successResultOf(
            core.lifecycle.create(new_job(self.BODY), key="a", key_hash="h")
        )
        self.report(core, first.job, b'{"progress":0.5}')
        again = self.successResultOf(
            core.lifecycle.create(new_job(self.BODY), key="a", key_hash="h")
        )
        self.assertEqual((first.replayed, again.replayed), (False, True))
        self.assertEqual((again.job.id, again.job.version), (first.job.id, 2))
        self.assertEqual(again.webhook, first.webhook)
        assert again.webhook is not None
        self.assertIsNotNone(again.webhook.secret)
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM jobs"), [1])
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM webhooks"), [1])

    def test_the_same_key_with_another_body_is_refused(self) -> None:
        core = self.core()
        self.successResultOf(core.lifecycle.create(new_job(), key="a", key_hash="h"))
        answer = core.lifecycle.create(new_job(), key="a", key_hash="other")
        self.failureResultOf(answer, KeyReused)
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM jobs"), [1])

    def test_the_first_request_of_a_batch_creates_and_the_others_replay(self) -> None:
        lane = HeldLane()
        core = self.core(lane=lane)
        core.store.write(lambda tx: None)
        answers = [
            core.lifecycle.create(new_job(), key="a", key_hash=each) for each in ("h", "h", "i")
        ]
        lane.step()
        lane.step()
        first, second = self.successResultOf(answers[0]), self.successResultOf(answers[1])
        self.failureResultOf(answers[2], KeyReused)
        self.assertEqual((second.job, second.replayed), (first.job, True))
        self.assertEqual(len(core.heard), 1)

    def test_another_key_or_no_key_makes_another_job(self) -> None:
        core = self.core()
        jobs = {
            self.successResultOf(core.lifecycle.create(new_job(), key=key, key_hash="h")).job.id
            for key in ("a", "b", None, None)
        }
        self.assertEqual(len(jobs), 4)

    def test_an_unacceptable_webhook_fails_the_deferred_and_is_not_raised(self) -> None:
        core = self.core()
        new = new_job(b'{"webhook":{"url":"not a URL"}}')
        for key in (None, "a"):
            self.failureResultOf(core.lifecycle.create(new, key=key, key_hash="h"), BadInput)
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM jobs"), [0])

    def test_a_job_whose_webhook_is_refused_is_not_created(self) -> None:
        core = self.core()
        self.create(core, self.BODY)
        self.patch(core.lifecycle, "_limits", WebhookLimits(job=0))
        self.failureResultOf(core.lifecycle.create(new_job(self.BODY)), WebhookConflict)
        self.assertEqual(self.column(core, "SELECT COUNT(*) FROM jobs"), [1])
        self.assertEqual(len(core.heard), 1)
