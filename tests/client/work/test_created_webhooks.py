"""Jobs that are created with a webhook, on a whole server in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from statusjob import BadRequest, CreatedJob, WorkerClient
from tests.helpers.servers import InMemoryServer, ServerTestCase


class CreatedWebhookTests(ServerTestCase):
    """C{WorkerClient.create} while DNS has trouble."""

    def create_job(self, fake: InMemoryServer, host: str) -> Deferred[CreatedJob]:
        """Create a job with a webhook at a host, and wait for as long as a request may take."""
        worker = WorkerClient("http://localhost", reactor=fake.clock, treq=fake.treq)
        self.addCleanup(lambda: self.assertTrue(created.called))
        created = worker.create(webhook=f"http://{host}/hook")
        for _ in range(40):
            fake.treq.flush()
            fake.clock.advance(0.25)
        fake.treq.flush()
        return created

    def test_a_receiver_whose_name_cannot_be_resolved_now_does_not_matter(self) -> None:
        fake = self.serve()
        fake.names["slow.example"] = None
        created = self.successResultOf(self.create_job(fake, "slow.example"))
        webhook: Any = created.webhook
        self.assertIsNotNone(webhook.secret)

    def test_a_receiver_that_does_not_exist_is_refused_at_once(self) -> None:
        fake = self.serve()
        fake.names["gone.example"] = []
        error = self.failureResultOf(self.create_job(fake, "gone.example"), BadRequest).value
        self.assertEqual(error.detail, "webhook address not allowed")
