"""What it costs the unmodified poller of C{azure-core} to follow jobs, beside our own client."""

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
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from urllib3 import HTTPResponse

from statusjob.contract.jobs import Report
from statusjob.jobs import Status
from statusjob.pace.bounds import POLLING_INTERVAL, RETRY_AFTER_LIMIT, Pace
from statusjob.pace.durations import Durations
from tests.helpers.servers import InMemoryServer

URL = "http://localhost"
R = POLLING_INTERVAL
FRAMING = ("accept-encoding", "connection", "content-length")
#: Jobs that are only learned from, and jobs that count.
LEARNED, FOLLOWED = 50, 60


class World(BaseAdapter):
    """
    A server in memory and its clock; what C{requests} sends over.

    @ivar polls: how often an operation was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fake = InMemoryServer()
        self.polls = 0

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Bring a request to the server, and its answer back."""
        self.polls += str(request.url).endswith("/operation")
        got: list[tuple[Any, bytes]] = []
        # How it is brought over is treq's matter.
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
        """Nothing is held."""

    def pass_time(self, seconds: float) -> None:
        """Let everything happen when it is due."""
        clock = self.fake.clock
        until = clock.seconds() + seconds
        while True:
            calls = [call.getTime() for call in clock.getDelayedCalls()]
            coming = min([until, *calls])
            clock.advance(max(0.0, coming - clock.seconds()))
            if coming == until:
                return

    def complete_after(self, job_id: str, seconds: float) -> None:
        """What the job's worker does."""
        self.fake.clock.callLater(
            seconds, self.fake.server.lifecycle.report, job_id, Report(result=Status.COMPLETED)
        )


class VirtualTransport(RequestsTransport):  # type: ignore[misc]
    """Sends into a world, and sleeps by its clock."""

    def __init__(self, world: World) -> None:
        session = requests.Session()
        session.mount("http://", world)
        super().__init__(session=session, session_owner=False)
        self._world = world

    def sleep(self, duration: float) -> None:
        self._world.pass_time(duration)


def follow(world: World, client: PipelineClient[Any, Any], duration: float) -> float:
    """What it costs the poller to create a job that takes so long, and to follow it."""
    began, polls = world.fake.clock.seconds(), world.polls
    request = HttpRequest("POST", f"{URL}/jobs", json={"kind": "export"})
    created: Any = client.send_request(request, _return_pipeline_response=True)
    world.complete_after(created.http_response.json()["id"], duration)
    polling: LROBasePolling[Any, Any, Any] = LROBasePolling(timeout=30)
    poller = LROPoller(client, created, lambda got: got.http_response.json(), polling)
    assert poller.result()["duration"] == round(duration, 3), poller.status()
    return R * (world.polls - polls) + world.fake.clock.seconds() - began - duration


def ours(known: list[float], duration: float, draw: random.Random) -> float:
    """
    What it costs our own client, within the same bounds, after jobs that took so long.

    The poller always asks at once, and so does ours, unless it has created the job itself.
    """
    plan = Durations(tuple((each, each) for each in known)).plan(R)
    pace = Pace(R, RETRY_AFTER_LIMIT, plan)
    age, cost = 0.0, R
    while age < duration:
        age += pace.next_wait(age, draw=draw.random())
        cost += R
    return cost + age - duration


class CostTests(TestCase):
    """On a virtual clock, with a server in memory; of C{azure-core} only the clock is replaced."""

    timeout = 120

    async def test_it_costs_hardly_more_than_our_own_client(self) -> None:
        theirs, own = await deferToThread(self.compare)
        self.assertLess(theirs / own, 1.05, f"{theirs:.2f} against {own:.2f}")

    def compare(self) -> tuple[float, float]:
        """In a thread, because the poller blocks: the mean cost of each."""
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
