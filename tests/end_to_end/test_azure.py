"""The unmodified poller of C{azure-core}, as it follows a job of ours."""

from __future__ import annotations

import time
from typing import Any

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest
from twisted.internet.threads import deferToThread

from tests.helpers.processes import ProcessTestCase

#: How much sooner it asks than it is told to, so that a test takes little time.
HASTE = 20
#: Seconds for which it sleeps if it is not told for how long.
UNTOLD = 30


class HastyTransport(RequestsTransport):  # type: ignore[misc]
    """
    Sleeps, but not for long.

    @ivar slept: for how many seconds it was to sleep, each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, duration: float) -> None:
        self.slept.append(duration)
        time.sleep(duration / HASTE)


class PollerTests(ProcessTestCase):
    """C{Operation-Location}, C{Retry-After}, and C{GET /jobs/{id}/operation}."""

    async def follow(self, **members: Any) -> tuple[Any, LROPoller[Any], list[float]]:
        """Create a job and follow it: what became of it, the poller, and its sleeps."""
        process = await self.start()
        followed = await deferToThread(self.follow_at, process.url, members)
        await self.stop(process)
        return followed

    def follow_at(
        self, url: str, members: dict[str, Any]
    ) -> tuple[Any, LROPoller[Any], list[float]]:
        """In a thread, because it blocks."""
        transport = HastyTransport()
        client: PipelineClient[Any, Any] = PipelineClient(url, transport=transport)
        with client:
            request = HttpRequest("POST", f"{url}/jobs", json=members)
            created: Any = client.send_request(request, _return_pipeline_response=True)
            polling: LROBasePolling[Any, Any, Any] = LROBasePolling(timeout=UNTOLD)
            poller = LROPoller(client, created, lambda got: got.http_response.json(), polling)
            try:
                return poller.result(), poller, transport.slept
            except HttpResponseError as error:
                return error, poller, transport.slept

    async def test_it_comes_to_the_job_that_completed(self) -> None:
        job, poller, slept = await self.follow(
            kind="export", simulate={"delay": 0.5, "error_rate": 0}
        )
        self.assertEqual((poller.status(), poller.done()), ("Succeeded", True))
        self.assertEqual((job["kind"], job["result"], job["progress"]), ("export", "completed", 1))
        # Each time Retry-After has told it when to ask again.
        self.assertTrue(slept and all(1 <= each < UNTOLD for each in slept), slept)

    async def test_it_raises_for_one_that_failed_and_says_why(self) -> None:
        error, poller, _ = await self.follow(simulate={"delay": 0.2, "error_rate": 1})
        self.assertEqual(poller.status(), "Failed")
        self.assertIsInstance(error, HttpResponseError)
        self.assertEqual(
            (error.error.code, error.error.message), ("simulated", "simulated to fail")
        )
