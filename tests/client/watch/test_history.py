"""The durations of past jobs, in memory and in a file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import cast

from msgspec import json
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from statusjob import StatusClient
from statusjob.client.watch import history as module
from statusjob.client.watch.history import KINDS, DurationMemory, shared_memory
from statusjob.pace.durations import REMEMBERED, Durations
from statusjob.pace.schedule import cold_rule

KEY = "http://example.test/jobs"


class MemoryTests(SynchronousTestCase):
    """A memory without a file."""

    def test_a_kind_that_was_never_seen_has_no_durations(self) -> None:
        memory = DurationMemory()
        self.assertEqual(memory.recall(KEY), Durations())
        self.assertEqual(memory.plan(KEY, 2.0)(50.0), cold_rule(50.0, 2.0))

    def test_each_kind_has_durations_of_its_own(self) -> None:
        memory = DurationMemory()
        memory.learn(KEY, 15.0, 15.0)
        memory.learn("other", 8.0, 18.0)
        self.assertEqual(memory.recall(KEY).seen, ((15.0, 15.0),))
        self.assertEqual(memory.recall("other").seen, ((8.0, 18.0),))

    def test_the_polling_schedule_follows_the_durations(self) -> None:
        memory = DurationMemory()
        waits = []
        for _ in range(3):
            waits.append(memory.plan(KEY, 2.0)(0.0))
            for _ in range(10):
                memory.learn(KEY, 15.0, 15.0)
        self.assertEqual(waits[0], 2)
        self.assertTrue(15 < waits[2] <= waits[1] < 17, waits)

    def test_a_polling_schedule_is_computed_once(self) -> None:
        memory = DurationMemory()
        memory.learn(KEY, 15.0, 15.0)
        self.assertIs(memory.plan(KEY, 2.0), memory.plan(KEY, 2.0))
        self.assertIsNot(memory.plan(KEY, 2.0), memory.plan(KEY, 5.0))

    def test_the_least_recently_used_kind_is_forgotten(self) -> None:
        memory = DurationMemory()
        for number in range(KINDS):
            memory.learn(str(number), 1.0, 1.0)
        memory.plan("0", 2.0)
        memory.learn("new", 1.0, 1.0)
        self.assertEqual(len(memory.recall("0").seen), 1)
        self.assertEqual(len(memory.recall("1").seen), 0)

    def test_each_reactor_has_one_shared_memory(self) -> None:
        clock = Clock()
        self.assertIs(shared_memory(clock), shared_memory(clock))
        self.assertIsNot(shared_memory(clock), shared_memory(Clock()))


class FileTests(SynchronousTestCase):
    """A memory with a file."""

    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "durations.json"
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def warnings(self) -> list[str]:
        """Return the problems that were logged as warnings."""
        return [each["problem"] for each in self.logged if each["log_level"].name == "warn"]

    def test_durations_are_read_back_from_the_file(self) -> None:
        memory = DurationMemory(self.path)
        memory.learn(KEY, 15.0, 15.0)
        memory.learn(KEY, 8.0, 18.0)
        again = DurationMemory(str(self.path))
        self.assertEqual(again.recall(KEY).seen, ((15.0, 15.0), (8.0, 18.0)))
        self.assertEqual(self.warnings(), [])

    def test_a_client_accepts_a_path(self) -> None:
        DurationMemory(self.path).learn("http://example.test", 15.0, 15.0)
        StatusClient("http://example.test", durations=self.path, reactor=Clock())
        self.assertEqual(self.warnings(), [])

    def test_memories_that_share_a_file_lose_nothing(self) -> None:
        one, other = DurationMemory(self.path), DurationMemory(self.path)
        for _ in range(5):
            one.learn(KEY, 15.0, 15.0)
            other.learn(KEY, 16.0, 16.0)
        self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 10)

    def test_a_damaged_file_is_logged_and_replaced(self) -> None:
        for content in (
            b"",
            b"{",
            b"\xff\xfe",
            b"[]",
            b'{"a":{"seen":}}',
            b"[" * 100_000,
            b" " * (module.FILE_LIMIT + 1),
        ):
            self.path.write_bytes(content)
            self.logged.clear()
            memory = DurationMemory(self.path)
            self.assertEqual(len(self.warnings()), 1, content[:20])
            memory.learn(KEY, 15.0, 15.0)
            self.assertEqual(DurationMemory(self.path).recall(KEY).seen, ((15.0, 15.0),))

    def test_a_damaged_kind_does_not_affect_the_others(self) -> None:
        for content in (b"5", b'{"seen":[[-1,5]]}', b'{"seen":[["x"]]}', b'{"seen":"\xff"}'):
            self.path.write_bytes(b'{"other":{"seen":[[5,5]]},"%b":%b}' % (KEY.encode(), content))
            self.logged.clear()
            memory = DurationMemory(self.path)
            memory.learn(KEY, 15.0, 15.0)
            self.assertEqual(len(self.warnings()), 1, content)
            again = DurationMemory(self.path)
            self.assertEqual(again.recall(KEY).seen, ((15.0, 15.0),))
            self.assertEqual(again.recall("other").seen, ((5.0, 5.0),))

    def test_a_file_that_is_damaged_later_is_replaced(self) -> None:
        memory = DurationMemory(self.path)
        memory.learn(KEY, 15.0, 15.0)
        self.path.write_bytes(b"{")
        memory.learn(KEY, 16.0, 16.0)
        self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 2)

    def test_without_a_writable_file_durations_are_kept_in_memory(self) -> None:
        for path in (self.path / "missing" / "file", self.path.parent):
            self.logged.clear()
            memory = DurationMemory(path)
            memory.learn(KEY, 15.0, 15.0)
            memory.learn(KEY, 16.0, 16.0)
            self.assertEqual(len(memory.recall(KEY).seen), 2)
            self.assertTrue(self.warnings())
        self.assertEqual(list(self.path.parent.iterdir()), [])

    def test_the_file_is_replaced_in_one_step(self) -> None:
        memory = DurationMemory(self.path)
        memory.learn(KEY, 15.0, 15.0)
        before = self.path.read_bytes()

        self.patch(os, "replace", self.fail_to_write)
        memory.learn(KEY, 16.0, 16.0)
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.path.parent.iterdir()), [self.path])
        self.assertEqual(self.warnings(), ["the disk is full"])

    def test_only_the_owner_can_read_the_file(self) -> None:
        DurationMemory(self.path).learn(KEY, 15.0, 15.0)
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_the_permissions_of_the_file_stay_as_they_are(self) -> None:
        for mode in (0o640, 0o664, 0o600):
            self.path.write_bytes(b"{}")
            self.path.chmod(mode)
            DurationMemory(self.path).learn(KEY, 15.0, 15.0)
            self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), mode)

    def test_a_symbolic_link_stays_one(self) -> None:
        link = self.path.parent / "link"
        link.symlink_to(self.path.name)
        DurationMemory(link).learn(KEY, 15.0, 15.0)
        self.assertTrue(link.is_symlink())
        self.assertEqual(DurationMemory(self.path).recall(KEY).seen, ((15.0, 15.0),))

    def test_writers_at_the_same_time_lose_nothing(self) -> None:
        self.patch(module, "LOCK_WAIT", 30.0)
        begin = threading.Barrier(4)

        def learn(number: int) -> None:
            memory = DurationMemory(self.path)
            begin.wait()
            for each in range(10):
                memory.learn(KEY, number, number + each / 100)

        threads = [threading.Thread(target=learn, args=(number,)) for number in range(1, 5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(set(DurationMemory(self.path).recall(KEY).seen)), 40)
        self.assertEqual(self.warnings(), [])

    def test_what_cannot_be_saved_while_another_writes_is_saved_with_the_next(self) -> None:
        memory = DurationMemory(self.path)
        memory.learn(KEY, 1.0, 1.0)
        with module._lock(self.path.parent) as locked:
            self.assertTrue(locked)
            memory.learn(KEY, 2.0, 2.0)
            memory.learn(KEY, 3.0, 3.0)
            self.assertEqual(len(memory.recall(KEY).seen), 3)
            self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 1)
        memory.learn(KEY, 4.0, 4.0)
        saved = DurationMemory(self.path).recall(KEY).seen
        self.assertEqual([low for low, _ in saved], [1, 2, 3, 4])

    def test_what_a_full_disk_does_not_take_is_saved_later(self) -> None:
        memory = DurationMemory(self.path)
        memory.learn(KEY, 1.0, 1.0)
        patched = self.patch(os, "replace", self.fail_to_write)
        memory.learn(KEY, 2.0, 2.0)
        patched.restore()
        memory.learn(KEY, 3.0, 3.0)
        self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 3)

    @staticmethod
    def fail_to_write(*_: object) -> None:
        """Instead of C{os.replace}."""
        raise OSError("the disk is full")

    def test_without_locks_the_file_is_written_all_the_same(self) -> None:
        self.patch(module, "fcntl", None)
        DurationMemory(self.path).learn(KEY, 1.0, 1.0)
        self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 1)

    def test_the_size_of_the_file_is_bounded(self) -> None:
        memory = DurationMemory(self.path)
        full = Durations(((123_456.789, 123_456.789),) * REMEMBERED)
        content = {f"{KEY} {number}": full for number in range(KINDS)}
        self.path.write_bytes(json.encode(content))
        memory.learn(KEY, 1.0, 1.0)
        self.assertLess(self.path.stat().st_size, module.FILE_LIMIT / 2)
        self.assertEqual(len(DurationMemory(self.path).recall(KEY).seen), 1)
