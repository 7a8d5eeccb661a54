"""A server in memory whose answers a test sets, for the client on a clock."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Any

from msgspec import structs
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from statusjob import LocatedJob, StatusClient, WebhookEvent
from statusjob.client.watch.history import DurationMemory
from statusjob.contract import codec
from statusjob.contract.jobs import job_to_json
from statusjob.jobs import Job, JobFailure, Status
from tests.helpers.messages import Request, headers_of

JOB_ID = "01936b5e-7d4c-7e3a-8c1d-2f9b3a4c5d6e"
OTHER_ID = "01936b5e-7d4c-7e3a-8c1d-000000000000"
BASE = f"http://example.test/jobs/{JOB_ID}"


Answering = Callable[[Any], bytes | int]


def answer(code: int, body: bytes = b"", **headers: str) -> Answering:
    """Return an answer; a header is given as C{Retry_After="5"}."""

    def respond(request: Any) -> bytes:
        request.setResponseCode(code)
        for name, value in headers.items():
            request.setHeader(name.replace("_", "-"), value)
        return body

    return respond


def status(result: str, job_id: str = JOB_ID, **headers: str) -> Answering:
    """Return an answer to C{GET {base}/status}, by the contract."""
    body = b'{"result":"%b"}' % result.encode()
    return answer(200, body, ETag=f'"{job_id}.{result}"', **headers)


def problem(code: int, detail: str, **headers: str) -> Answering:
    """Return an error answer, as our server sends it; C{answer} is what others send."""
    headers = {"Content_Type": "application/problem+json", **headers}
    kind = "not-found" if code == 404 else "invalid-request"
    members = {"type": f"urn:statusjob:{kind}", "detail": detail, "error": detail}
    return answer(code, codec.encode(members), **headers)


def hold(request: Any) -> int:
    """Do not answer."""
    return NOT_DONE_YET


def hang_up(request: Any) -> int:
    """Close the connection instead of answering."""
    request.transport.loseConnection()
    return NOT_DONE_YET


PENDING, COMPLETED, ERROR = status("pending"), status("completed"), status("error")


class ScriptedServer(Resource):
    """
    Gives the answers that were queued, and C{otherwise} after them.

    @ivar requests: all requests that came.
    @ivar lost: how many requests the client gave up before they were answered.
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
        """Note a request, and answer it."""
        self.requests.append(
            Request(
                at=self._clock.seconds(),
                port=request.client.port,
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
        """The C{Prefer} header of each request."""
        return [each.header("Prefer") for each in self.requests]

    @property
    def times(self) -> list[float]:
        """When the requests came, in seconds, to the millisecond."""
        return [round(each.at, 3) for each in self.requests]

    @property
    def asked(self) -> list[str]:
        """Method and path of each request, such as C{GET /status}."""
        return [each.line for each in self.requests]

    def settle(self) -> None:
        """Let everything happen that takes no time."""
        self.stub.flush()
        self._clock.advance(0)
        self.stub.flush()

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Advance the clock, in small steps."""
        for _ in range(round(seconds / step)):
            self._clock.advance(step)
            self.stub.flush()


class PatientServer(ScriptedServer):
    """
    Can be long-polled, as our server can. Answers that were queued come first.

    @ivar held: the requests that are held, and until when.
    @ivar applied: the format of C{Preference-Applied}; C{None} for no such header.
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
        """Advance the clock, and answer the requests whose time is up."""
        for _ in range(round(seconds / step)):
            super().pass_time(step, step)
            now = self._clock.seconds()
            self.let_go([each for each, until in self.held.items() if until <= now])

    def let_go(self, held: Iterable[Any] | None = None) -> None:
        """Answer C{held}, or all requests that are held."""
        for request in list(self.held if held is None else held):
            if request.getHeader("if-none-match") == self._etag:
                request.setResponseCode(304)
            else:
                request.write(status(self._result)(request))
            request.finish()
        self.settle()

    def change(self, result: str) -> None:
        """End the job, and answer all requests that are held."""
        self._result = result
        self.let_go()

    def cut(self, then: Answering = hang_up) -> None:
        """Let all requests that are held fail, such as by an error of a proxy."""
        for request in list(self.held):
            body = then(request)
            if isinstance(body, bytes):
                request.write(body)
                request.finish()
        self.settle()


class Unresolved:
    """
    Stands in for treq where the server's name is never resolved.

    As with C{HostnameEndpoint}, cancelling a request fails it with C{DNSLookupError}.

    @ivar requests: the number of requests.
    """

    def __init__(self, *, fails: bool = False) -> None:
        """
        @param fails: whether it is found out at once that there is no such name.
        """
        self.requests = 0
        self._fails = fails

    def request(self, method: str, url: Any, **options: Any) -> Deferred[Any]:
        """Begin a request."""
        self.requests += 1
        if self._fails:
            return fail(DNSLookupError())
        return Deferred(lambda each: each.errback(DNSLookupError()))


def a_job(result: str = "pending", *, code: str = "failed", **members: Any) -> Job:
    """Return a job; if it is terminal, with the members that such jobs have."""
    ended = result != "pending"
    made: dict[str, Any] = {
        "id": JOB_ID,
        "result": Status(result),
        "version": 2 if ended else 1,
        "created_at": 1_700_000_000.0,
        "updated_at": 1_700_000_010.0,
        "finished_at": 1_700_000_010.0 if ended else None,
        "error": JobFailure(code) if result == "error" else None,
        **members,
    }
    return Job(**made)


def located(job: Job) -> LocatedJob:
    """Return a job as a client returns it that asked for it below C{BASE} or its server."""
    return LocatedJob(**structs.asdict(job), url=BASE)


def job_body(job: Job, **more: Any) -> bytes:
    """Return a job as JSON, as a server shows it."""
    return codec.encode({**job_to_json(job), **more})


def event(result: str = "completed", **members: Any) -> WebhookEvent:
    """Return what a webhook brings."""
    job = a_job(result, **members)
    return WebhookEvent(job.result, job.updated_at, job.event_type, job)


class ClientTestCase(SynchronousTestCase):
    """A client and a server in memory. A test fails if it leaves anything on its clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.seen: list[Status] = []
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def serve(self, *answers: Answering, otherwise: Answering = PENDING) -> None:
        """Begin a server that gives these answers."""
        self.server = ScriptedServer(self.clock, *answers, otherwise=otherwise)

    def client(self, base: str | Job = BASE, **options: Any) -> StatusClient:
        """Return a client without jitter, so that waits are exact, and without durations."""
        options = {
            "on_update": self.seen.append,
            "durations": DurationMemory(),
            "random": lambda: 0.0,
            **options,
        }
        return StatusClient(base, reactor=self.clock, treq=self.server.stub, **options)

    def waits(self) -> list[float]:
        """Return the seconds between the requests."""
        pairs = itertools.pairwise(self.server.times)
        return [round(later - sooner, 2) for sooner, later in pairs]
