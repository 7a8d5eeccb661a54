"""A server in memory that streams a job, for the client on a clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.web.server import NOT_DONE_YET

from statusjob import Job
from statusjob.client.http.connections import LONG_POLL_SLOTS, shared_connections
from tests.helpers.scripted_server import (
    JOB_ID,
    Answering,
    ClientTestCase,
    ScriptedServer,
    a_job,
    answer,
    job_body,
)

#: The path of a stream, below that of its job.
EVENTS = "/events"


class StreamServer(ScriptedServer):
    """
    Has one job, which it shows and streams. Answers that were queued come first.

    @ivar job: the job as it is now.
    @ivar streams: the requests for streams that are open.
    @ivar instead: the answer to a request for a stream; C{None} to stream.
    @ivar holds: whether the job can be long-polled.
    @ivar held: the long polls that are held.
    """

    def __init__(self, clock: Clock, *answers: Answering) -> None:
        super().__init__(clock, *answers, otherwise=self._respond)
        self.job = a_job(created_at=clock.seconds())
        self.streams: list[Any] = []
        self.instead: Answering | None = None
        self.holds = False
        self.held: list[Any] = []

    def _respond(self, request: Any) -> bytes | int:
        if request.path.endswith(b"/events"):
            return self.stream(request) if self.instead is None else self.instead(request)
        wanted = request.getHeader("prefer")
        if self.holds and wanted is not None:
            request.setHeader("Preference-Applied", wanted)
            if request.getHeader("if-none-match") == f'"{self.job.version}"':
                self.held.append(request)
                request.notifyFinish().addBoth(lambda _: self.held.remove(request))
                return NOT_DONE_YET
        if request.getHeader("if-none-match") == f'"{self.job.version}"':
            return answer(304)(request)
        return answer(200, job_body(self.job), ETag=f'"{self.job.version}"')(request)

    def stream(self, request: Any) -> int:
        """Open a stream."""
        request.setHeader("Content-Type", "text/event-stream")
        request.write(b"retry: 3000\n")
        last = int(request.getHeader("last-event-id") or 0)
        self.streams.append(request)
        request.notifyFinish().addBoth(lambda _: self.streams.remove(request))
        if last < self.job.version:
            self.write(self.event())
        return NOT_DONE_YET

    def event(self) -> bytes:
        """Return the job as it is now as an event."""
        job = self.job
        data = job_body(job)
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (job.version, job.event_type.encode(), data)

    def write(self, data: bytes) -> None:
        """Send bytes on all streams."""
        for request in list(self.streams):
            request.write(data)
        self.settle()

    def change(self, result: str = "pending", **members: Any) -> None:
        """Change the job, and send its new state on streams and long polls."""
        members = {"created_at": self.job.created_at, **members}
        if result != "pending":
            members["finished_at"] = self._clock.seconds()
        self.job = a_job(result, **{"version": self.job.version + 1, **members})
        self.write(self.event())
        if result != "pending":
            self.end()
        for request in list(self.held):
            request.write(answer(200, job_body(self.job))(request))
            request.finish()
        self.settle()

    def end(self) -> None:
        """End all streams."""
        for request in list(self.streams):
            request.finish()
        self.settle()

    def cut(self) -> None:
        """Close the connections of all streams."""
        for request in list(self.streams):
            request.transport.loseConnection()
        self.settle()

    @property
    def paths(self) -> list[str]:
        """The path of each request, below that of the job."""
        return [each.path.removeprefix(f"/jobs/{JOB_ID}") for each in self.requests]


class UpdatesTestCase(ClientTestCase):
    """A client and a server that streams."""

    server: Any

    def setUp(self) -> None:
        super().setUp()
        self.server = StreamServer(self.clock)
        self.jobs: list[Job] = []

    def follow(self, **options: Any) -> Deferred[None]:
        """Follow the job, and take all states as they come."""
        return self.consume(self.client(on_update=None, **options).updates())

    def consume(self, updates: Any) -> Deferred[None]:
        """Take all states of an iterator."""

        async def consume() -> None:
            async for job in updates:
                self.jobs.append(job)

        return self.begin(consume())

    def begin(self, work: Any) -> Deferred[Any]:
        """Start a coroutine, and let everything happen that takes no time."""
        done: Deferred[Any] = Deferred.fromCoroutine(work)
        self.server.settle()
        return done

    @property
    def versions(self) -> list[int]:
        """The versions of the states that came."""
        return [each.version for each in self.jobs]

    def assert_nothing_left(self) -> None:
        """Fail if anything is still under way, on either side."""
        self.server.settle()
        self.assertEqual((self.server.streams, self.server.held), ([], []))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        shared = shared_connections(self.clock)
        self.assertTrue(shared.idle)
        self.assertEqual(shared.free_slots, LONG_POLL_SLOTS)
