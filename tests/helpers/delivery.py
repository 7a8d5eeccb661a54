"""A delivery worker on a clock, whose attempts have the outcomes that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from statusjob.jobs import Job
from statusjob.server.delivery.worker import DeliveryWorker
from statusjob.server.store.outbox_claim import Claim
from statusjob.server.store.outbox_settle import Outcome
from tests.helpers.core import COMPLETED, URL, Core, CoreTestCase, hook, version_of
from tests.helpers.servers import EPOCH

SCHEDULE = (0.0, 5.0, 30.0)
OK, REFUSED = Outcome("ok", 200), Outcome("connect", None, "connection refused")


class ScriptedSender:
    """
    Makes attempts that only the test decides.

    @ivar sent: the attempts that were made, each with its time.
    @ivar answers: gives the outcome of an attempt. C{None} leaves it under way.
    @ivar under_way: the attempts that were left under way, in the order in which they began.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.sent: list[tuple[float, Claim]] = []
        self.answers: Callable[[Claim], Outcome | None] = lambda claim: OK
        self.under_way: list[Deferred[Outcome]] = []

    async def send(self, claim: Claim) -> Outcome:
        self.sent.append((round(self.core.clock.seconds() - EPOCH, 3), claim))
        answer = self.answers(claim)
        if answer is not None:
            return answer
        waiting: Deferred[Outcome] = Deferred()
        self.under_way.append(waiting)
        return await waiting

    @property
    def times(self) -> list[float]:
        """The times of all attempts, in seconds since the start."""
        return [time for time, _ in self.sent]

    @property
    def versions(self) -> list[int]:
        """The versions that were sent by all attempts."""
        return [version_of(claim) for _, claim in self.sent]


class DeliveryTestCase(CoreTestCase):
    """A core, a delivery worker and a sender that sends nothing."""

    def setUp(self) -> None:
        self.deliver(self.core())

    def deliver(self, core: Core, random: float = 0.0) -> None:
        """Start a delivery worker on C{core}."""
        self.box = core
        self.sender = ScriptedSender(core)
        self.delivery = DeliveryWorker(
            core.time,
            core.store,
            core.feed,
            self.sender.send,
            schedule=SCHEDULE,
            now=core.now,
            random=lambda: random,
        )
        self.delivery.start()
        core.clock.advance(0)

    def job(self, url: str = URL, **members: Any) -> Job:
        """Create a job with a webhook."""
        job = self.create(self.box)
        self.successResultOf(self.box.registrations.register(job.id, hook(url, **members)))
        return job

    def finish(self, job: Job) -> None:
        self.report(self.box, job, COMPLETED)

    def pump(self, seconds: float, step: float = 0.25) -> None:
        self.box.clock.pump([step] * round(seconds / step))

    def rounds(self, count: int = 2) -> None:
        """Let so many rounds of the worker pass, which takes a few milliseconds."""
        self.box.clock.pump([0.002] * count)

    def states(self) -> list[str]:
        return self.column(self.box, "SELECT state FROM deliveries ORDER BY version")

    def stop(self, seconds: float = 0.0) -> Deferred[None]:
        return Deferred.fromCoroutine(self.delivery.stop(seconds))
