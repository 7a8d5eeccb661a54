"""Watchers: what they are told, when they take their turns, and within which limits."""

from __future__ import annotations

from statusjob.jobs import DEMO_KIND
from statusjob.server.errors import TooManyWatchers
from statusjob.server.waiting.watchers import (
    ALL,
    DEMO,
    TIMER_RESOLUTION,
    TURNS_PER_ITERATION,
    job_topic,
    kind_topic,
)
from tests.helpers.servers import EPOCH
from tests.helpers.watchers import Recorder, WatchersTestCase, state


class TellingTests(WatchersTestCase):
    """Updates are told to those who watch the job."""

    def test_each_watcher_is_told_of_what_it_watches(self) -> None:
        one, kind, every = (self.enter(topic) for topic in (job_topic("a"), kind_topic("k"), ALL))
        self.announce(state(2), state(5, "b"), state(1, "c", kind="other"))
        self.assertEqual(one.told, [("a", 2)])
        self.assertEqual(kind.told, [("a", 2), ("b", 5)])
        self.assertEqual(every.told, [("a", 2), ("b", 5), ("c", 1)])

    def test_one_watcher_may_watch_several_jobs(self) -> None:
        watcher = self.enter(job_topic("a"), job_topic("c"))
        self.announce(state(2), state(2, "b"), state(2, "c"))
        self.assertEqual(watcher.told, [("a", 2), ("c", 2)])

    def test_the_demo_job_has_a_topic_of_its_own(self) -> None:
        demo, kind, every = (self.enter(topic) for topic in (DEMO, kind_topic(DEMO_KIND), ALL))
        by_id = self.enter(job_topic("d"))
        self.announce(state(2, "d", kind=DEMO_KIND))
        self.assertEqual([demo.told, by_id.told], [[("d", 2)], [("d", 2)]])
        self.assertEqual([kind.told, every.told], [[], []])
        self.assertEqual(job_topic(None), DEMO)

    def test_a_heartbeat_that_changes_nothing_is_told_to_nobody(self) -> None:
        watcher = self.enter(ALL)
        self.announce(state(2), changed=False)
        self.assertEqual(watcher.told, [])

    def test_a_watcher_that_has_left_is_told_nothing_and_takes_no_turn(self) -> None:
        watcher, stays = self.enter(job_topic("a")), self.enter(job_topic("a"))
        self.announce(state(2))
        self.watchers.leave(watcher)
        self.announce(state(3))
        self.clock.advance(0)
        self.assertEqual((watcher.told, watcher.turns), ([("a", 2)], 0))
        self.assertEqual((len(stays.told), stays.turns, len(self.watchers)), (2, 1, 1))


class TurnTests(WatchersTestCase):
    """Watchers act in turns."""

    def test_a_watcher_takes_one_turn_for_all_updates_that_came(self) -> None:
        watcher = self.enter(ALL)
        self.announce(state(2), state(3))
        self.announce(state(2, "b"))
        self.assertEqual(watcher.turns, 0)
        self.clock.advance(0)
        self.assertEqual(watcher.turns, 1)

    def test_an_update_that_does_not_matter_makes_no_turn(self) -> None:
        watcher = self.enter(ALL, wants=False)
        self.announce(state(2))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(0)
        self.assertEqual(watcher.turns, 0)

    def test_only_a_few_watchers_take_turns_per_iteration_of_the_reactor(self) -> None:
        crowd = [self.enter(ALL) for _ in range(2 * TURNS_PER_ITERATION + 1)]
        counts = []

        def count() -> None:
            counts.append(sum(watcher.turns for watcher in crowd))
            if counts[-1] < len(crowd):
                self.clock.callLater(0, count)

        self.announce(state(2))
        self.clock.callLater(0, count)
        self.clock.advance(0)
        self.assertEqual(
            counts, [TURNS_PER_ITERATION, 2 * TURNS_PER_ITERATION, 2 * TURNS_PER_ITERATION + 1]
        )
        self.assertEqual({watcher.turns for watcher in crowd}, {1})

    def test_a_watcher_that_fails_is_logged_and_harms_no_other(self) -> None:
        broken, sound = self.enter(ALL), self.enter(ALL)
        broken.then = lambda: 1 / 0
        self.announce(state(2))
        self.clock.advance(0)
        self.assertEqual(sound.turns, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_turn_may_make_others_leave_and_schedule_another_turn(self) -> None:
        first, second = self.enter(ALL), self.enter(ALL)

        def once() -> None:
            if first.turns == 1:
                self.watchers.leave(second)
                self.watchers.schedule_turn(first)

        first.then = once
        self.announce(state(2))
        self.clock.advance(0)
        self.assertEqual((first.turns, second.turns), (2, 0))


class LimitTests(WatchersTestCase):
    """The number of watchers is limited."""

    def test_there_is_a_limit_of_all_watchers(self) -> None:
        self.watchers = self.make(limit=2)
        first, _ = self.enter(job_topic("a")), self.enter(job_topic("b"))
        self.assertRaises(TooManyWatchers, self.enter, job_topic("c"))
        self.watchers.leave(first)
        self.enter(job_topic("c"))
        self.assertRaises(TooManyWatchers, self.enter, job_topic("d"))

    def test_there_is_a_limit_per_topic(self) -> None:
        self.watchers = self.make(topic_limit=1)
        for topic in (job_topic("a"), DEMO, kind_topic("k"), ALL):
            watcher = self.enter(topic)
            self.assertRaises(TooManyWatchers, self.enter, topic)
            self.watchers.leave(watcher)
            self.enter(topic)

    def test_a_watcher_that_is_refused_for_one_job_watches_none(self) -> None:
        self.watchers = self.make(topic_limit=1)
        self.enter(job_topic("b"))
        refused = Recorder(job_topic("a"), job_topic("b"))
        self.assertRaises(TooManyWatchers, self.watchers.enter, refused)
        self.announce(state(2))
        self.assertEqual((refused.told, len(self.watchers)), ([], 1))
        self.enter(job_topic("a"))


class TimeTests(WatchersTestCase):
    """Each watcher has one timer."""

    def test_a_watcher_takes_a_turn_when_its_timer_fires(self) -> None:
        watcher = self.enter(ALL)
        self.watchers.set_timer(watcher, 2.0)
        self.clock.advance(1.99)
        self.assertEqual((watcher.rung, watcher.turns), (0, 0))
        self.clock.advance(0.01 + TIMER_RESOLUTION)
        self.assertEqual((watcher.rung, watcher.turns), (1, 1))
        self.clock.advance(100)
        self.assertEqual(watcher.rung, 1)

    def test_timers_fire_in_order_of_time_however_they_were_set(self) -> None:
        times = (5.0, 0.0, 3.3, 0.05, 50.0, 3.31)
        watchers = [self.enter(ALL) for _ in times]
        for watcher, seconds in zip(watchers, times, strict=True):
            self.watchers.set_timer(watcher, seconds)
        for _ in range(520):
            now = self.clock.seconds() - EPOCH
            for watcher, seconds in zip(watchers, times, strict=True):
                early, late = now < seconds, now > seconds + TIMER_RESOLUTION
                self.assertEqual(watcher.rung, 0 if early else 1 if late else watcher.rung)
            self.clock.advance(0.1)
        self.assertEqual([watcher.rung for watcher in watchers], [1] * 6)

    def test_all_timers_share_one_delayed_call(self) -> None:
        crowd = [self.enter(ALL) for _ in range(300)]
        for number, watcher in enumerate(crowd):
            self.watchers.set_timer(watcher, 1 + number / 100)
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2.5)
        self.assertTrue(140 <= sum(watcher.rung for watcher in crowd) <= 151)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(2)
        self.assertEqual({watcher.rung for watcher in crowd}, {1})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_new_timer_replaces_the_one_before(self) -> None:
        watcher = self.enter(ALL)
        self.watchers.set_timer(watcher, 1)
        self.watchers.set_timer(watcher, 5)
        self.clock.advance(4)
        self.assertEqual(watcher.rung, 0)
        self.clock.advance(2)
        self.assertEqual(watcher.rung, 1)

    def test_a_watcher_that_leaves_leaves_nothing_on_the_clock(self) -> None:
        watcher, other = self.enter(ALL), self.enter(ALL)
        self.watchers.set_timer(watcher, 1)
        self.watchers.set_timer(other, 2)
        self.watchers.leave(watcher)
        self.watchers.leave(other)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StopTests(WatchersTestCase):
    """The server stops."""

    def test_every_watcher_takes_a_turn_when_the_server_stops(self) -> None:
        crowd = [self.enter(job_topic("a"), job_topic("b")), self.enter(ALL)]
        self.watchers.end_waits()
        self.assertEqual([watcher.turns for watcher in crowd], [0, 0])
        self.clock.advance(0)
        self.assertTrue(self.watchers.stopping)
        self.assertEqual([each.turns for each in crowd], [1, 1])

    def test_a_stop_leaves_nothing_on_the_clock(self) -> None:
        watcher = self.enter(ALL)
        self.watchers.set_timer(watcher, 1)
        self.announce(state(2))
        self.watchers.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
