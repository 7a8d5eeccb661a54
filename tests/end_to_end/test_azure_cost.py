"""The cost at which the unmodified poller of C{azure-core} follows jobs, beside our client's."""

from __future__ import annotations

import io
import random
import statistics
from math import exp
from typing import Any

import requests
from azure.core import PipelineClient
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest
from requests.adapters import BaseAdapter
from twisted.trial.unittest import SynchronousTestCase
from urllib3 import HTTPResponse

from statusjob.contract.jobs import Report
from statusjob.jobs import Status
from statusjob.pace.bounds import POLLING_INTERVAL, RETRY_AFTER_LIMIT, Pace
from statusjob.pace.durations import Durations
from tests.helpers.servers import InMemoryServer

URL = "http://localhost"
#: Headers that treq sets by itself.
FRAMING = ("accept-encoding", "connection", "content-length")
#: How many jobs only teach the server how long they take, and of how many the cost is measured.
LEARNED, FOLLOWED = 50, 60


class World(BaseAdapter):
    """
    A server in memory and its clock. C{requests} sends its requests through this adapter.

    @ivar polls: how many requests asked for an operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = InMemoryServer()
        self.polls = 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Pass a request to the server, and return its answer."""
        self.polls += str(request.url).endswith("/operation")
        got: list[tuple[Any, bytes]] = []
        headers = {k: v for k, v in request.headers.items() if k.lower() not in FRAMING}
        asked = self.fake.treq.request(
            request.method,
            request.url,
            data=request.body,
            headers={"Host": "localhost", **headers},
        )
        self.fake.treq.flush()
        asked.addCallback(
            lambda answer: answer.content().addCallback(lambda body: got.append((answer, body)))
        )
        ((answer, body),) = got
        response = requests.Response()
        response.status_code = answer.code
        response.headers.update(
            {
                name.decode(): b", ".join(v).decode()
                for name, v in answer.headers.getAllRawHeaders()
            }
        )
        response.raw = HTTPResponse(io.BytesIO(body), status=answer.code, preload_content=False)
        response.request, response.url = request, str(request.url)
        return response

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and every delayed call run when it is due."""
        clock = self.fake.clock
        until = clock.seconds() + seconds
        while True:
            calls = [call.getTime() for call in clock.getDelayedCalls()]
            coming = min([until, *calls])
            clock.advance(max(0.0, coming - clock.seconds()))
            if coming == until:
                return

    def complete_after(self, job_id: str, seconds: float) -> None:
        """Let the worker of a job complete it after so many seconds."""
        self.fake.clock.callLater(
            seconds, self.fake.server.lifecycle.report, job_id, Report(result=Status.COMPLETED)
        )


class VirtualTransport(RequestsTransport):  # type: ignore[misc]
    """A transport that sends its requests to a L{World} and sleeps by its clock."""

    def __init__(self, world: World) -> None:
        session = requests.Session()
        session.mount("http://", world)
        super().__init__(session=session, session_owner=False)
        self._world = world

    def sleep(self, duration: float) -> None:
        self._world.pass_time(duration)


def follow(world: World, client: PipelineClient[Any, Any], duration: float) -> float:
    """
    Let the poller create a job and follow it to its end.

    @param duration: how long the job takes, in seconds.
    @return: the cost in seconds: the delay in noticing the end, and L{POLLING_INTERVAL} for each
        request.
    """
    began, polls = world.fake.clock.seconds(), world.polls
    request = HttpRequest("POST", f"{URL}/jobs", json={"kind": "export"})
    created: Any = client.send_request(request, _return_pipeline_response=True)
    world.complete_after(created.http_response.json()["id"], duration)
    polling: LROBasePolling[Any, Any, Any] = LROBasePolling(timeout=30)
    poller = LROPoller(client, created, lambda got: got.http_response.json(), polling)
    assert poller.result()["duration"] == round(duration, 3), poller.status()
    return POLLING_INTERVAL * (world.polls - polls) + world.fake.clock.seconds() - began - duration


def ours(known: list[float], duration: float, draw: random.Random) -> float:
    """
    Compute the cost at which our client follows a job within the same bounds. It asks at once, as
    the poller does.

    @param known: how long earlier jobs took, in seconds.
    @param duration: how long this job takes, in seconds.
    @param draw: the source of its jitter.
    @return: the cost in seconds, as L{follow} counts it.
    """
    plan = Durations(tuple((each, each) for each in known)).plan(POLLING_INTERVAL)
    pace = Pace(POLLING_INTERVAL, RETRY_AFTER_LIMIT, plan)
    age, cost = 0.0, POLLING_INTERVAL
    while age < duration:
        age += pace.next_wait(age, draw=draw.random())
        cost += POLLING_INTERVAL
    return cost + age - duration


class CostTests(SynchronousTestCase):
    """The clock is virtual and the server is in memory. Nothing else of C{azure-core} changes."""

    def test_the_poller_costs_hardly_more_than_our_client(self) -> None:
        theirs, own = self.compare()
        self.assertLess(theirs / own, 1.05, f"{theirs:.2f} against {own:.2f}")

    def compare(self) -> tuple[float, float]:
        """Measure the mean cost of the poller and of our client."""
        world, draw = World(), random.Random(1)
        durations = [120 * exp(draw.gauss(0, 0.5)) for _ in range(LEARNED + FOLLOWED)]
        client: PipelineClient[Any, Any] = PipelineClient(URL, transport=VirtualTransport(world))
        with client:
            theirs = [follow(world, client, each) for each in durations]
        own = [ours(durations[:i][-256:], each, draw) for i, each in enumerate(durations)]
        stopped = world.fake.server.stopService()
        world.pass_time(world.fake.server.settings.drain)
        assert stopped.called
        return statistics.mean(theirs[LEARNED:]), statistics.mean(own[LEARNED:])
