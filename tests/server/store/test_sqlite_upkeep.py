"""Free pages are given back, and a log that grows is told of."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs, formatEvent

from statusjob.server.store import sqlite_upkeep
from statusjob.server.store.sqlite_upkeep import PAGES, PAUSE
from tests.helpers.core import Core, CoreTestCase
from tests.helpers.programs import ROOT


class GiveBackTests(CoreTestCase):
    """A file shrinks after much was deleted from it."""

    def setUp(self) -> None:
        self.patch(sqlite_upkeep, "SPARE_PAGES", 100)
        self.path = self.mktemp()
        self.filled = self.core(path=self.path)

    def fill(self, core: Core, pages: int) -> None:
        """Fill so many pages, and free them."""
        insert = "INSERT INTO origins (origin) VALUES ('fill' || :n || hex(zeroblob(1500)))"
        self.write(core, lambda tx: [tx.execute(insert, n=number) for number in range(pages)])
        self.execute(core, "DELETE FROM origins WHERE origin LIKE 'fill%'")

    def free(self, core: Core) -> int:
        (pages,) = self.column(core, "PRAGMA freelist_count")
        return int(pages)

    def pages(self, core: Core) -> int:
        (pages,) = self.column(core, "PRAGMA page_count")
        return int(pages)

    def test_pages_are_given_back_in_small_steps_by_the_writes_that_come(self) -> None:
        self.fill(self.filled, 400)
        before = self.free(self.filled)
        self.filled.clock.advance(PAUSE)
        for _ in range(3):
            self.execute(self.filled, "UPDATE clock SET seen_at = 1")
        self.assertEqual(self.free(self.filled), before - PAGES)

    def test_the_file_becomes_smaller_but_keeps_some_free_pages(self) -> None:
        self.fill(self.filled, 400)
        before = self.pages(self.filled)
        for _ in range(20):
            self.filled.clock.advance(PAUSE)
            self.execute(self.filled, "UPDATE clock SET seen_at = 1")
        self.assertLess(self.pages(self.filled), before - 200)
        self.assertTrue(0 < self.free(self.filled) <= 100)
        size = self.pages(self.filled)
        self.successResultOf(Deferred.fromCoroutine(self.filled.store.close()))
        self.assertEqual(os.path.getsize(self.path), size * 4096)

    def test_an_old_file_that_cannot_give_pages_back_is_left_as_it_is(self) -> None:
        path = self.mktemp()
        with closing(sqlite3.connect(path)) as old:
            old.executescript((ROOT / "tests/dumps/v2.sql").read_text())
        core = self.core(path=path)
        self.fill(core, 400)
        before = self.free(core)
        core.clock.advance(PAUSE)
        self.execute(core, "UPDATE clock SET seen_at = 1")
        self.assertEqual(self.free(core), before)

    def test_an_old_file_can_do_it_after_the_command_of_the_deployment_guide(self) -> None:
        path = self.mktemp()
        with closing(sqlite3.connect(path)) as old:
            old.executescript((ROOT / "tests/dumps/v2.sql").read_text())
        core = self.core(path=path)
        self.successResultOf(Deferred.fromCoroutine(core.store.close()))
        guide = (ROOT / "examples/deploy/README.md").read_text()
        found = re.search(r"`sqlite3 statusjob.sqlite '(.*)'`", guide)
        assert found is not None
        with closing(sqlite3.connect(path, isolation_level=None)) as shell:
            for statement in found[1].split(";"):
                shell.execute(statement)
        self.assertEqual(self.column(self.core(path=path), "PRAGMA auto_vacuum"), [2])


class LogTests(CoreTestCase):
    """The write-ahead log cannot be copied back while a program reads from an old snapshot."""

    def setUp(self) -> None:
        # As if all of it were 256 times larger.
        self.patch(sqlite_upkeep, "LOG_LIMIT", 256 << 10)
        self.path = self.mktemp()
        self.growing = self.core(path=self.path)
        self.execute(self.growing, "PRAGMA wal_autocheckpoint = 8")
        self.execute(self.growing, f"PRAGMA journal_size_limit = {256 << 10}")

    def write_pages(self, pages: int) -> None:
        """Write so many pages or some more, one for each transaction, and one a second later."""
        for _ in range(pages):
            self.execute(self.growing, "UPDATE clock SET seen_at = seen_at + 1")
        self.growing.clock.advance(PAUSE)
        self.execute(self.growing, "UPDATE clock SET seen_at = seen_at + 1")

    def warnings(self, pages: int) -> list[str]:
        """What is warned of while so many pages are written."""
        with capturedLogs() as events:
            self.write_pages(pages)
        return [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]

    def test_a_log_that_is_copied_back_is_nothing_to_warn_of(self) -> None:
        self.assertEqual(self.warnings(150), [])
        self.assertLess(os.path.getsize(f"{self.path}-wal"), 512 << 10)

    def test_a_forgotten_reader_is_told_of_once_and_again_when_the_log_has_doubled(self) -> None:
        with closing(sqlite3.connect(self.path)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT * FROM jobs").fetchall()
            (said,) = self.warnings(130)
            self.assertIn("a forgotten sqlite3 shell", said)
            self.assertIn(f"{self.path}-wal", said)
            self.assertEqual(self.warnings(5), [])
            self.assertEqual(len(self.warnings(250)), 1)
        grown = os.path.getsize(f"{self.path}-wal")
        self.assertEqual(self.warnings(20), [])
        self.assertLess(os.path.getsize(f"{self.path}-wal"), grown / 2)
        with closing(sqlite3.connect(self.path)) as reading:
            reading.execute("BEGIN")
            reading.execute("SELECT * FROM jobs").fetchall()
            self.assertEqual(len(self.warnings(130)), 1)
