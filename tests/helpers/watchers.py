"""Watchers on a clock that record what happens to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from statusjob.jobs import Job, Status
from statusjob.server.feed import Feed
from statusjob.server.store.interface import Update
from statusjob.server.waiting.watchers import (
    Topic,
    Watchers,
)
from tests.helpers.servers import EPOCH


class Recorder:
    """
    A watcher that records what happens to it.

    @ivar wants: whether it wants a turn after each update.
    @ivar told: the id and the version of the job in each update that it was told of.
    @ivar rung: how often its timer was due.
    @ivar turns: how many turns it had.
    @ivar then: is called in each turn.
    """

    def __init__(self, *topics: Topic, wants: bool = True) -> None:
        self.topics = topics
        self.wants = wants
        self.told: list[tuple[str, int]] = []
        self.rung = self.turns = 0
        self.then: Callable[[], object] = lambda: None

    def note_update(self, job: Job) -> bool:
        self.told.append((job.id, job.version))
        return self.wants

    def note_timer(self) -> None:
        self.rung += 1

    def take_turn(self) -> None:
        self.turns += 1
        self.then()


def state(version: int, name: str = "a", *, kind: str = "k", ended: bool = False) -> Job:
    """Make a job at a version."""
    result = Status.COMPLETED if ended else Status.PENDING
    return Job(id=name, kind=kind, version=version, result=result, created_at=0, updated_at=0)


class WatchersTestCase(SynchronousTestCase):
    """Watchers on a clock, on which they must leave nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = EPOCH
        self.watchers = self.make()

    def make(self, **limits: Any) -> Watchers:
        watchers = Watchers(cast(IReactorTime, self.clock), Feed(), **limits)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))
        self.addCleanup(watchers.stop)
        return watchers

    def enter(self, *topics: Topic, wants: bool = True) -> Recorder:
        watcher = Recorder(*topics, wants=wants)
        self.watchers.enter(watcher)
        return watcher

    def announce(self, *jobs: Job, changed: bool = True) -> None:
        self.watchers.handle_updates([Update(job=job, changed=changed) for job in jobs])
