"""The unmodified poller of C{azure-core} follows jobs of a whole server."""

from __future__ import annotations

import time
from typing import Any

from azure.core import PipelineClient
from azure.core.exceptions import HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest

from tests.helpers.programs import ServedTestCase

#: By which factor the poller sleeps less than it is told to, so that a test takes little time.
HASTE = 20
#: For how many seconds the poller sleeps where the server does not tell it.
DEFAULT_SLEEP = 30


class HastyTransport(RequestsTransport):  # type: ignore[misc]
    """
    A transport that shortens the sleeps between requests.

    @ivar sleeps: how long each sleep was to be, in seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: list[float] = []

    def sleep(self, duration: float) -> None:
        self.sleeps.append(duration)
        time.sleep(duration / HASTE)


class PollerTests(ServedTestCase):
    """The poller needs C{Operation-Location}, C{Retry-After} and C{GET /jobs/{id}/operation}."""

    def follow(self, **members: Any) -> tuple[Any, LROPoller[Any], list[float]]:
        """
        Create a job, and follow it to its end.

        @return: the job, or the exception that the poller raised; the poller; how long it was to
            sleep each time.
        """
        transport = HastyTransport()
        client: PipelineClient[Any, Any] = PipelineClient(self.url, transport=transport)
        with client:
            request = HttpRequest("POST", f"{self.url}/jobs", json=members)
            created: Any = client.send_request(request, _return_pipeline_response=True)
            polling: LROBasePolling[Any, Any, Any] = LROBasePolling(timeout=DEFAULT_SLEEP)
            poller = LROPoller(client, created, lambda got: got.http_response.json(), polling)
            try:
                return poller.result(), poller, transport.sleeps
            except HttpResponseError as error:
                return error, poller, transport.sleeps

    def test_it_returns_a_job_that_completed(self) -> None:
        job, poller, sleeps = self.follow(kind="export", simulate={"delay": 0.5, "error_rate": 0})
        self.assertEqual((poller.status(), poller.done()), ("Succeeded", True))
        self.assertEqual((job["kind"], job["result"], job["progress"]), ("export", "completed", 1))
        # Each time, Retry-After has told it when to ask again.
        self.assertTrue(sleeps and all(1 <= each < DEFAULT_SLEEP for each in sleeps), sleeps)

    def test_it_raises_the_error_of_a_job_that_failed(self) -> None:
        error, poller, _ = self.follow(simulate={"delay": 0.2, "error_rate": 1})
        self.assertEqual(poller.status(), "Failed")
        self.assertIsInstance(error, HttpResponseError)
        self.assertEqual(
            (error.error.code, error.error.message), ("simulated", "simulated to fail")
        )
