"""A server in memory that answers as a test tells it, and tests that ask it on a clock."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob import CreatedJob, StatusClient
from statusjob.client.http import answers
from statusjob.client.watch.history import DurationMemory
from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job, JobError, Status
from tests.helpers.messages import Request, headers_of

JOB_ID = "01936b5e-7d4c-7e3a-8c1d-2f9b3a4c5d6e"
OTHER_ID = "01936b5e-7d4c-7e3a-8c1d-000000000000"
BASE = f"http://example.test/jobs/{JOB_ID}"


Answering = Callable[[Any], bytes | int]


def answer(code: int, body: bytes = b"", **headers: str) -> Answering:
    """An answer; C{Retry_After="5"} for a header."""

    def respond(request: Any) -> bytes:
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return respond


def status(result: str, job_id: str = JOB_ID, **headers: str) -> Answering:
    """An answer to C{GET .../status}, as the contract has it."""
    body = b'{"result":"%b"}' % result.encode()
    return answer(200, body, ETag=f'"{job_id}.{result}"', **headers)


def problem(code: int, detail: str, **headers: str) -> Answering:
    """An error as the server tells it."""
    headers = {"Content_Type": "application/problem+json", **headers}
    return answer(code, codec.encode({"detail": detail, "error": detail}), **headers)


def hold(request: Any) -> int:
    """No answer."""
    return NOT_DONE_YET


def hang_up(request: Any) -> int:
    """The connection is lost instead of an answer."""
    request.transport.loseConnection()
    return NOT_DONE_YET


PENDING, COMPLETED, ERROR = status("pending"), status("completed"), status("error")


class ScriptedServer(Resource):
    """
    Answers with what was queued, then for ever with C{otherwise}.

    @ivar requests: all that came.
    @ivar lost: how many requests were given up before they were answered.
    """

    isLeaf = True

    def __init__(self, clock: Clock, *answers: Answering, otherwise: Answering = PENDING) -> None:
        super().__init__()
        self._clock = clock
        self._answers = list(answers)
        self._otherwise = otherwise
        self.requests: list[Request] = []
        self.lost = 0
        self.stub: Any = StubTreq(self)

    def then(self, *answers: Answering) -> None:
        """Queue more answers."""
        self._answers.extend(answers)

    def render(self, request: Any) -> Any:
        """Answer one request."""
        self.requests.append(
            Request(
                at=self._clock.seconds(),
                method=request.method.decode(),
                path=request.uri.decode(),
                headers=headers_of(request.requestHeaders.getAllRawHeaders()),
                body=request.content.read(),
            )
        )

        def lost(_: object) -> None:
            self.lost += 1

        request.notifyFinish().addErrback(lost)
        request.setHeader("Date", formatdate(self._clock.seconds(), usegmt=True))
        return (self._answers.pop(0) if self._answers else self._otherwise)(request)

    @property
    def waits(self) -> list[str | None]:
        """What requests preferred."""
        return [each.header("Prefer") for each in self.requests]

    @property
    def times(self) -> list[float]:
        """When requests came, to the millisecond."""
        return [round(each.at, 3) for each in self.requests]

    @property
    def asked(self) -> list[str]:
        """What was asked, such as C{GET /status}."""
        return [each.line for each in self.requests]

    def settle(self) -> None:
        """Let what is to be done at once be done."""
        self.stub.flush()
        self._clock.advance(0)
        self.stub.flush()

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass, in small steps."""
        for _ in range(round(seconds / step)):
            self._clock.advance(step)
            self.stub.flush()


class PatientServer(ScriptedServer):
    """
    Holds an answer until the job has ended, as a server of ours does; what was queued comes first.

    @ivar held: the requests that are held, and until when.
    @ivar applied: what it says of that; C{None} for nothing.
    """

    def __init__(self, clock: Clock, *answers: Answering) -> None:
        super().__init__(clock, *answers, otherwise=self._wait)
        self._result = "pending"
        self.held: dict[Any, float] = {}
        self.applied: str | None = "wait={}"

    def _wait(self, request: Any) -> bytes | int:
        wanted = re.fullmatch(r"wait=(\d+)", request.getHeader("prefer") or "")
        if wanted is None:
            return status(self._result, Retry_After="1")(request)
        if self.applied is not None:
            request.setHeader("Preference-Applied", self.applied.format(wanted[1]))
        known = request.getHeader("if-none-match") or self._etag
        if known != self._etag or self._result != "pending":
            return status(self._result)(request)
        self.held[request] = self._clock.seconds() + int(wanted[1])
        request.notifyFinish().addBoth(lambda _: self.held.pop(request))
        return NOT_DONE_YET

    @property
    def _etag(self) -> str:
        return f'"{JOB_ID}.{self._result}"'

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass; answers that were held for long enough come."""
        for _ in range(round(seconds / step)):
            super().pass_time(step, step)
            now = self._clock.seconds()
            self.let_go([each for each, until in self.held.items() if until <= now])

    def let_go(self, held: Iterable[Any] | None = None) -> None:
        """Answer requests that are held, or all of them."""
        for request in list(self.held if held is None else held):
            if request.getHeader("if-none-match") == self._etag:
                request.setResponseCode(304)
            else:
                request.write(status(self._result)(request))
            request.finish()
        self.settle()

    def change(self, result: str) -> None:
        """The job ends: all who wait are told."""
        self._result = result
        self.let_go()

    def cut(self, then: Answering = hang_up) -> None:
        """All that is held comes to a bad end, such as an error of a proxy's."""
        for request in list(self.held):
            body = then(request)
            if isinstance(body, bytes):
                request.write(body)
                request.finish()
        self.settle()


def a_job(result: str = "pending", *, code: str = "failed", **members: Any) -> Job:
    """A job for tests, terminal ones properly so."""
    ended = result != "pending"
    made: dict[str, Any] = {
        "id": JOB_ID,
        "result": Status(result),
        "version": 2 if ended else 1,
        "created_at": 1_700_000_000.0,
        "updated_at": 1_700_000_010.0,
        "finished_at": 1_700_000_010.0 if ended else None,
        "error": JobError(code) if result == "error" else None,
        **members,
    }
    return Job(**made)


def job_body(job: Job, **more: Any) -> bytes:
    """A job as a server shows it."""
    return codec.encode({**job_to_json(job), **more})


def event(result: str = "completed", **members: Any) -> answers.WebhookEvent:
    """What a webhook brings."""
    job = a_job(result, **members)
    return answers.WebhookEvent(job.result, job.updated_at, job.event_type, job)


class ClientTestCase(SynchronousTestCase):
    """A client and a server in memory. When a test ends nothing may be left on its clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.seen: list[Status] = []
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def serve(self, *answers: Answering, otherwise: Answering = PENDING) -> None:
        """What the server answers."""
        self.server = ScriptedServer(self.clock, *answers, otherwise=otherwise)

    def client(self, base: str | CreatedJob = BASE, **options: Any) -> StatusClient:
        """A client without jitter, so that waits are exact, which knows of no other job."""
        options = {
            "on_update": self.seen.append,
            "durations": DurationMemory(),
            "random": lambda: 0.0,
            **options,
        }
        return StatusClient(base, reactor=self.clock, treq=self.server.stub, **options)

    def waits(self) -> list[float]:
        """What passed between requests."""
        pairs = itertools.pairwise(self.server.times)
        return [round(later - sooner, 2) for sooner, later in pairs]
