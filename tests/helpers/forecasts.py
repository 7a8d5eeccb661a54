"""A forecast on a clock of the test, and jobs that it hears of."""

from __future__ import annotations

import itertools
from typing import Any

from twisted.internet.defer import Deferred

from statusjob.jobs import Job, JobFailure, Status
from statusjob.server.forecast.learner import INTERVAL, REST, Forecast
from statusjob.server.lanes import Lane
from statusjob.server.store.interface import Update
from tests.helpers.core import Core, CoreTestCase
from tests.helpers.lanes import InlineLane

#: Seconds that jobs take unless a test says otherwise.
LONG = 60.0
#: Seconds in which one piece of work is done: an alarm waits a little longer than the rest.
TURN = REST + 0.01


class ForecastTestCase(CoreTestCase):
    """Tests of a forecast that leaves nothing on its clock."""

    def setUp(self) -> None:
        self._ids = itertools.count()

    def begin(self, core: Core | None = None, lane: Lane | None = None) -> None:
        """Start the forecast of this test."""
        self.its_core = core or self.core()
        self.clock = self.its_core.clock
        self.forecast = Forecast(
            self.its_core.time,
            self.its_core.store,
            self.its_core.feed,
            lane or InlineLane(),
            self.its_core.now,
        )
        self.forecast.start()
        self.clock.advance(0)
        self.running = True
        self.addCleanup(self.assert_stops)

    def stop(self) -> Deferred[None]:
        """Stop the forecast."""
        self.running = False
        return Deferred.fromCoroutine(self.forecast.stop())

    def assert_stops(self) -> None:
        """Check that the forecast stops at once, and leaves nothing on the clock."""
        if self.running:
            self.successResultOf(self.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def pending(self, kind: str = "k", *, age: float = 0.0, **members: Any) -> Job:
        """Make a pending job that is so many seconds old."""
        began = self.its_core.now() - age
        return Job(
            **{
                "id": f"job-{next(self._ids)}",
                "kind": kind,
                "created_at": began,
                "updated_at": began,
                **members,
            }
        )

    def hear(self, *jobs: Job, changed: bool = True) -> None:
        """Let the feed tell of these jobs."""
        self.its_core.feed.committed([Update(job=job, changed=changed) for job in jobs])

    def ended(
        self, kind: str = "k", duration: float = LONG, *, code: str | None = None, **members: Any
    ) -> Job:
        """Make a job that has just ended, as C{error} if there is an error code."""
        now = self.its_core.now()
        return self.pending(
            kind,
            age=duration,
            result=Status.COMPLETED if code is None else Status.ERROR,
            error=None if code is None else JobFailure(code),
            updated_at=now,
            finished_at=now,
            **members,
        )

    def learn(self, kind: str = "k", duration: float = LONG, **members: Any) -> None:
        """Let the feed tell of enough jobs to learn from."""
        self.hear(*[self.ended(kind, duration, **members) for _ in range(50)])

    def said(self, kind: str = "k", *, age: float = 0.0) -> int:
        """Compute C{Retry-After} for a pending job from all that was heard."""
        self.forecast.retry_after(self.pending(kind, age=age))
        self.clock.advance(INTERVAL)
        self.clock.advance(INTERVAL)
        return self.forecast.retry_after(self.pending(kind, age=age))

    def assert_learned(self, kind: str = "k") -> None:
        """Check that the forecast knows that jobs of this kind take L{LONG} seconds."""
        self.assertGreater(self.said(kind), LONG / 2)

    def assert_unknown(self, kind: str = "k") -> None:
        """Check that the forecast knows nothing of this kind."""
        self.assertEqual((self.said(kind), self.said(kind, age=8)), (2, 10))
