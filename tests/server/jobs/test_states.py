"""Random sequences of reports, cancellations and alarms, compared with a small model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.jobs import ErrorReport, NewJob, Report
from statusjob.jobs import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    FAILED,
    WORKER_LOST,
    Job,
    JobFailure,
    Status,
)
from statusjob.server.errors import JobFinished
from statusjob.server.store.timeline import EVENTS_LIMIT
from tests.helpers.core import Core, RepeatingStore, jobs_of

#: One event of a timeline: version, result, progress, message.
Event = tuple[int, str, float | None, str | None]
Members = dict[str, Any]

fractions = st.sampled_from([None, 0.0, 0.25, 0.5, 1.0])
messages = st.sampled_from([None, "", "half way"])
progress_reports: st.SearchStrategy[Members] = st.fixed_dictionaries(
    {}, optional={"progress": fractions, "message": messages}
)
ends: st.SearchStrategy[Members] = st.one_of(
    st.fixed_dictionaries(
        {"result": st.just(Status.COMPLETED)},
        optional={"output": st.sampled_from([None, 0, {"url": "x"}]), "message": messages},
    ),
    st.fixed_dictionaries(
        {"result": st.just(Status.ERROR)},
        optional={
            "error": st.sampled_from([None, ErrorReport(), ErrorReport("disk", "is full")]),
            "progress": fractions,
        },
    ),
)


@dataclass
class Model:
    """The expected state of a job."""

    created_at: float
    deadline: float | None
    heartbeat: float | None
    heard_at: float | None = None
    result: Status = Status.PENDING
    progress: float | None = None
    message: str | None = None
    output: Any = None
    error: JobFailure | None = None
    timeline: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._note()

    def change(self, **members: Any) -> None:
        before = vars(self).copy()
        vars(self).update(members)
        if vars(self) != before:
            self._note()

    def fail(self, error: JobFailure) -> None:
        self.change(result=Status.ERROR, error=error)

    def end_if_due(self, now: float) -> None:
        """
        End the job if it is due.

        Time moves by quarters of a second, and no end is due exactly then.
        """
        over: list[tuple[float, JobFailure]] = []
        if self.deadline is not None:
            exceeded = JobFailure(DEADLINE_EXCEEDED, "it was not done by its deadline")
            over.append((self.created_at + self.deadline, exceeded))
        if self.heartbeat is not None and self.heard_at is not None:
            lost = JobFailure(WORKER_LOST, "its worker fell silent")
            over.append((self.heard_at + self.heartbeat, lost))
        over = [each for each in over if each[0] < now]
        if over and not self.result.terminal:
            self.fail(min(over, key=lambda each: each[0])[1])

    def _note(self) -> None:
        version = len(self.timeline) + 1
        self.timeline.append((version, self.result.value, self.progress, self.message))


class LifecycleMachine(RuleBasedStateMachine):
    """Changes the jobs of a core and their models in the same way."""

    jobs = Bundle[str]("jobs")

    def __init__(self) -> None:
        super().__init__()
        # A store may run a write more than once.
        self.core = Core(store=RepeatingStore)
        self.core.start_alarms()
        self.models: dict[str, Model] = {}
        self.last_report: dict[str, Report] = {}

    def teardown(self) -> None:
        result_of(Deferred.fromCoroutine(self.core.store.close()))

    @rule(
        target=jobs,
        deadline=st.sampled_from([None, 1.1, 7.1, 100.1]),
        heartbeat=st.sampled_from([None, 1.1, 5.1]),
    )
    def create(self, deadline: float | None, heartbeat: float | None) -> str:
        job = result_of(
            self.core.lifecycle.create(NewJob(deadline=deadline, heartbeat=heartbeat))
        ).job
        self.models[job.id] = Model(self.core.clock.seconds(), deadline, heartbeat)
        return str(job.id)

    @rule(job_id=jobs, members=progress_reports)
    def report(self, job_id: str, members: Members) -> None:
        self._report(job_id, Report(**members), members)

    @rule(job_id=jobs, count=st.integers(90, 120))
    def report_often(self, job_id: str, count: int) -> None:
        for i in range(count):
            members: Members = {"progress": i / count, "message": str(i)}
            self._report(job_id, Report(**members), members)

    @rule(job_id=jobs, members=ends)
    def end(self, job_id: str, members: Members) -> None:
        members = dict(members)
        report = Report(**members)
        error = members.pop("error", None)
        if report.result is Status.ERROR:
            code = (error.code, error.message) if error else (FAILED, None)
            members["error"] = JobFailure(*code)
        if not self.models[job_id].result.terminal:
            self.last_report[job_id] = report
        self._report(job_id, report, members)

    @rule(job_id=jobs)
    def repeat_the_last_report(self, job_id: str) -> None:
        if job_id in self.last_report:
            job = result_of(self.core.lifecycle.report(job_id, self.last_report[job_id]))
            assert job.version == len(self.models[job_id].timeline)

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        model = self.models[job_id]
        answer = outcome_of(self.core.lifecycle.cancel(job_id))
        if model.result.terminal and model.error != JobFailure(CANCELLED):
            assert isinstance(answer, JobFinished), answer
            return
        assert isinstance(answer, Job), answer
        if not model.result.terminal:
            model.fail(JobFailure(CANCELLED))

    @rule(quarters=st.integers(1, 40))
    def wait(self, quarters: int) -> None:
        self.core.clock.advance(quarters / 4)
        for model in self.models.values():
            model.end_if_due(self.core.clock.seconds())

    def _report(self, job_id: str, report: Report, members: Members) -> None:
        model = self.models[job_id]
        answer = outcome_of(self.core.lifecycle.report(job_id, report))
        if model.result.terminal:
            # The report that ended the job may be repeated. In any case nothing changes.
            assert isinstance(answer, (Job, JobFinished)), answer
            return
        assert isinstance(answer, Job), answer
        model.heard_at = self.core.clock.seconds()
        model.change(**members)

    @invariant()
    def every_job_is_as_the_model_has_it(self) -> None:
        for job_id, model in self.models.items():
            job = result_of(self.core.lifecycle.get(job_id))
            assert job.version == len(model.timeline)
            assert (job.result, job.error) == (model.result, model.error)
            assert (job.progress, job.message) == (model.progress, model.message)
            assert job.output == model.output
            assert (job.finished_at is not None) == model.result.terminal

    @invariant()
    def the_newest_events_are_all_there(self) -> None:
        rows = result_of(
            self.core.store.read(lambda tx: tx.all("SELECT * FROM events ORDER BY version"))
        )
        kept: dict[str, list[Event]] = {job_id: [] for job_id in self.models}
        for row in rows:
            kept[row["job_id"]].append(
                (row["version"], row["result"], row["progress"], row["message"])
            )
        for job_id, model in self.models.items():
            assert kept[job_id] == model.timeline[-EVENTS_LIMIT:]

    @invariant()
    def the_feed_brought_every_version_in_order(self) -> None:
        versions: dict[str, list[int]] = {job_id: [] for job_id in self.models}
        for job in jobs_of(self.core.heard):
            told = versions[job.id]
            # A heartbeat is an update with a version that is known already.
            if not told or told[-1] != job.version:
                told.append(job.version)
        for job_id, model in self.models.items():
            assert versions[job_id] == [event[0] for event in model.timeline]


def outcome_of(answer: Deferred[Any]) -> Any:
    """The value of a Deferred that has fired, or its exception."""
    outcome: list[Any] = []
    answer.addBoth(outcome.append)
    (value,) = outcome
    return value.value if isinstance(value, Failure) else value


def result_of(answer: Deferred[Any]) -> Any:
    """The value of a Deferred that has fired."""
    value = outcome_of(answer)
    if isinstance(value, BaseException):
        raise value
    return value


class LifecycleTests(SynchronousTestCase):
    """A terminal job is final, versions rise by one, and no event is missing."""

    def test_no_sequence_of_reports_and_alarms_breaks_a_job(self) -> None:
        run_state_machine_as_test(
            LifecycleMachine,
            settings=settings(
                stateful_step_count=30,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
