"""The feed: tells every listener of every update, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from twisted.trial.unittest import SynchronousTestCase

from statusjob.jobs import Job
from statusjob.server.feed import Feed
from statusjob.server.store.interface import Update
from tests.helpers.core import jobs_of


def update(name: str) -> Update:
    """Make an update that can be recognised."""
    return Update(job=Job(id=name, created_at=0, updated_at=0))


class FeedTests(SynchronousTestCase):
    """Listeners of one feed."""

    def setUp(self) -> None:
        self.feed = Feed()
        self.happened: list[str] = []

    def listener(self, name: str) -> None:
        """Subscribe a listener that records what it is told."""

        def listen(updates: Sequence[Update]) -> None:
            self.happened += [f"{name} {each.id}" for each in jobs_of(updates)]

        self.feed.subscribe(listen)

    def test_every_listener_is_told_of_every_update_in_order(self) -> None:
        self.listener("a")
        self.listener("b")
        self.feed.committed([update("1"), update("2")])
        self.feed.committed([update("3")])
        self.assertEqual(self.happened, ["a 1", "a 2", "b 1", "b 2", "a 3", "b 3"])

    def test_a_new_listener_is_told_of_later_updates_only(self) -> None:
        self.feed.committed([update("1")])
        self.listener("a")
        self.feed.committed([update("2")])
        self.assertEqual(self.happened, ["a 2"])

    def test_a_listener_that_has_ended_its_subscription_is_told_no_more(self) -> None:
        heard: list[Update] = []
        end = self.feed.subscribe(heard.extend)
        self.listener("a")
        self.feed.committed([update("1")])
        end()
        self.feed.committed([update("2")])
        self.assertEqual([each.id for each in jobs_of(heard)], ["1"])
        self.assertEqual(self.happened, ["a 1", "a 2"])

    def test_a_listener_that_fails_is_logged_and_harms_no_other(self) -> None:
        def broken(updates: Sequence[Update]) -> NoReturn:
            raise ValueError("broken")

        self.listener("a")
        self.feed.subscribe(broken)
        self.listener("b")
        self.feed.committed([update("1")])
        self.assertEqual(self.happened, ["a 1", "b 1"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_listeners_may_subscribe_and_end_while_they_are_told(self) -> None:
        def once(updates: Sequence[Update]) -> None:
            self.happened.append("once")
            end()
            self.listener("new")

        end = self.feed.subscribe(once)
        self.listener("a")
        self.feed.committed([update("1")])
        self.feed.committed([update("2")])
        self.assertEqual(self.happened, ["once", "a 1", "a 2", "new 2"])
