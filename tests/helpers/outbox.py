"""The outbox in SQL, whose deliveries a test claims and settles step by step."""

from __future__ import annotations

from typing import Any, NamedTuple

from statusjob.contract.webhooks import NewScopedWebhook, Webhook, WebhookChange
from statusjob.jobs import EventType, Job
from statusjob.server.store import outbox_claim, outbox_settle, webhooks
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome, Retry
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import COMPLETED, URL, Core, CoreTestCase, hook
from tests.helpers.servers import EPOCH

ALL = list(EventType)
NODE = "node"
LIFETIME = 1000.0
LONGEST = 500.0


class Slot(NamedTuple):
    """The columns of a delivery that tests compare."""

    state: str
    version: int
    attempts: int
    due: float


class OutboxTestCase(CoreTestCase):
    """Tests of the outbox of a core that has one job."""

    def setUp(self) -> None:
        self.box = self.core()
        self.job = self.create(self.box)

    def register(self, url: str = URL, job: Job | None = None, **members: Any) -> str:
        registering = self.box.registrations.register((job or self.job).id, hook(url, **members))
        return self.successResultOf(registering).id

    def say(self, body: bytes, job: Job | None = None) -> Job:
        return self.report(self.box, job or self.job, body)

    def progress(self, value: float) -> None:
        self.say(b'{"progress":%f}' % value)

    def due(self, origin: str, jobs: int = 1, **members: Any) -> None:
        """Make so many terminal updates due at an origin."""
        for _ in range(jobs):
            job = self.create(self.box)
            self.register(f"http://{origin}/", job, **members)
            self.say(COMPLETED, job)

    def claim(self, limit: int = 100, node: str = NODE) -> list[Claim]:
        return self.write(self.box, lambda tx: outbox_claim.claim(tx, node, limit, limit)).claims

    def settle(
        self,
        claim: Claim,
        outcome: str | int = "ok",
        wait: float | None = None,
        *,
        node: str = NODE,
        draw: float = 0.0,
        **more: Any,
    ) -> str | None:
        """
        Settle an attempt.

        @param outcome: the class of the outcome, or the status code of the answer.
        @param wait: the seconds until the next attempt; C{None} if this was the last.
        """
        if isinstance(outcome, int):
            what = Outcome("http", outcome, **more)
        else:
            what = Outcome(outcome, 200 if outcome == "ok" else None, **more)
        retry = Retry(
            wait=wait or 0, exhausted=wait is None, longest=LONGEST, lifetime=LIFETIME, draw=draw
        )
        settled = self.write(
            self.box, lambda tx: outbox_settle.settle(tx, node, claim, what, retry)
        )
        return settled.state

    def slots(self, core: Core | None = None) -> list[Slot]:
        """All deliveries, the lowest version first, due in so many seconds from the start."""
        rows = self.rows(core or self.box, "SELECT * FROM deliveries ORDER BY version, id")
        return [
            Slot(row["state"], row["version"], row["attempts"], round(row["due_at"] - EPOCH, 3))
            for row in rows
        ]


class OutcomeTestCase(OutboxTestCase):
    """Tests of what becomes of deliveries and their webhooks."""

    def setUp(self) -> None:
        super().setUp()
        self.deliveries = Deliveries(self.box.store)

    def fates(self) -> list[tuple[str, str | None]]:
        """The state and the reason of each delivery, the oldest first."""
        rows = self.rows(self.box, "SELECT state, reason FROM deliveries ORDER BY rowid")
        return [(row["state"], row["reason"]) for row in rows]

    def webhook(self, webhook_id: str) -> Webhook:
        return self.write(self.box, lambda tx: webhooks.get(tx, webhook_id))

    def register_for_all(self) -> str:
        """Register a webhook for the end of every job."""
        webhook, _ = self.successResultOf(self.box.registrations.add(NewScopedWebhook(url=URL)))
        return webhook.id

    def one(self) -> Claim:
        (claim,) = self.claim()
        return claim

    def send_test(self, webhook_id: str) -> str:
        return self.successResultOf(self.deliveries.test(webhook_id))

    def enable(self, webhook_id: str, enabled: bool) -> None:
        changing = self.box.registrations.change(webhook_id, WebhookChange(enabled=enabled))
        self.successResultOf(changing)
