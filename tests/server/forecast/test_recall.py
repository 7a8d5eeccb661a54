"""Recall at a start: what the forecast learns from the store, by short reads."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import fail
from twisted.logger import capturedLogs

from statusjob.jobs import CANCELLED, SIMULATED, Job, Status
from statusjob.pace.durations import REMEMBERED
from statusjob.server.alarms import RETRY_SLEEP
from statusjob.server.forecast import learner
from statusjob.server.forecast.learner import PAGE
from statusjob.server.store import past_durations
from statusjob.server.store.interface import Row, StoreBusy, Tx
from tests.helpers.core import Core, CoreTestCase
from tests.helpers.forecasts import LONG, TURN, ForecastTestCase
from tests.helpers.lanes import HeldLane
from tests.helpers.servers import EPOCH


class StoredTestCase(ForecastTestCase):
    """A store with past jobs, and a forecast that starts on it."""

    def setUp(self) -> None:
        super().setUp()
        self.its_core = self.core()
        self.clock = self.its_core.clock
        self._made = 0

    def store(
        self,
        count: int,
        kind: str = "k",
        duration: float = LONG,
        *,
        result: str = "completed",
        ago: float = 0.0,
        code: str | None = None,
        simulated: bool = False,
        core: Core | None = None,
    ) -> None:
        """Store jobs that ended a while ago, one shortly after the other."""
        pending = result == "pending"
        for _ in range(count):
            self._made += 1
            ended_at = EPOCH - 1e4 - ago + self._made / 1000
            self.execute(
                core or self.its_core,
                "INSERT INTO jobs (id, kind, result, version, error_code, simulated_delay,"
                " created_at, updated_at, finished_at) VALUES (:id, :kind, :result, 2, :code,"
                " :delay, :created_at, :ended_at, :finished_at)",
                id=f"{self._made:08}",
                kind=kind,
                result=result,
                code=code,
                delay=1.0 if simulated else None,
                created_at=ended_at - duration,
                ended_at=ended_at,
                finished_at=None if pending else ended_at,
            )

    def start(self, **given: Any) -> None:
        """Start the forecast, and let it recall all that it will."""
        self.begin(self.its_core, **given)
        for _ in range(40):
            self.clock.advance(TURN)

    def durations(self, kind: str = "k") -> list[float]:
        """Give the durations that are remembered of a kind."""
        there = self.forecast.kinds.get(kind)
        return [] if there is None else [round(each) for each in there.durations]


class RecallTests(StoredTestCase):
    """What is recalled."""

    def test_nothing_is_recalled_from_an_empty_store(self) -> None:
        self.start()
        self.assert_unknown()

    def test_each_kind_is_recalled(self) -> None:
        for kind in ("b", "a", "c"):
            self.store(50, kind)
        self.start()
        for kind in ("a", "b", "c"):
            self.assert_learned(kind)

    def test_jobs_that_cannot_be_read_hide_no_other_kind(self) -> None:
        for kind in ("a", "b"):
            self.store(50, kind, result="error", code="disk-full")
        self.execute(
            self.its_core, "UPDATE jobs SET error_code = CAST(x'ff' AS TEXT) WHERE kind = 'a'"
        )
        with capturedLogs() as logs:
            self.start()
        self.assert_learned("b")
        self.assertEqual([event["kind"] for event in logs], ["a"])

    def test_only_the_last_jobs_are_recalled_in_the_order_of_their_ends(self) -> None:
        self.patch(learner, "REMEMBERED", 2 * PAGE)
        self.store(3 * PAGE, duration=1)
        self.store(PAGE, duration=2)
        self.store(PAGE // 2, duration=3, result="error", code="disk-full")
        self.store(PAGE // 2, duration=4)
        self.start()
        half = PAGE // 2
        expected = [2] * PAGE + [3] * half + [4] * half
        self.assertEqual(self.durations()[-len(expected) :], expected)

    def test_jobs_that_teach_nothing_are_left_out(self) -> None:
        self.store(PAGE + 1, result="pending")
        self.store(3, result="error", code=CANCELLED)
        self.store(3, result="error", code=SIMULATED, simulated=True)
        self.store(3, simulated=True)
        self.store(3, duration=-5)
        self.store(3, kind="demo")
        self.store(2, duration=7)
        self.start()
        self.assertEqual((self.durations(), self.durations("demo")), ([7, 7], []))

    def test_a_job_that_ends_during_the_recall_counts_once_and_comes_last(self) -> None:
        self.store(1, "a")
        self.store(2, duration=7)
        # The kind C{a} is recalled at once, and C{k} later.
        self.begin(self.its_core)
        self.assertEqual(self.durations(), [])
        self.hear(self.ended(duration=20))
        self.store(1, duration=20, ago=-1e4)
        self.clock.advance(TURN)
        self.assertEqual(self.durations(), [7, 7, 20])

    def test_an_outlook_that_was_made_before_the_recall_is_made_again(self) -> None:
        self.store(1, "a")
        self.store(50)
        self.begin(self.its_core)
        self.hear(self.ended(duration=1))
        self.forecast.retry_after(self.pending())
        self.clock.advance(TURN)
        self.assertEqual(self.durations(), [1])
        self.clock.advance(TURN)
        self.assert_learned()

    def test_a_busy_store_is_read_again(self) -> None:
        self.store(50)
        self.patch(self.its_core.store, "read", lambda _: fail(StoreBusy("too much")))
        self.begin(self.its_core)
        del self.its_core.store.read
        self.assertEqual(self.durations(), [])
        self.clock.advance(RETRY_SLEEP + TURN)
        self.assert_learned()

    def test_no_more_kinds_are_recalled_than_remembered(self) -> None:
        self.patch(learner, "KINDS", 3)
        for kind in ("a", "c", "d", "e", "f"):
            self.store(50, kind)
        self.store(5, "b", result="pending")
        self.start()
        self.assertEqual(
            [bool(self.durations(kind)) for kind in "abcdef"],
            [True, False, True, False, False, False],
        )

    def test_a_recalled_kind_displaces_no_kind_that_is_in_use(self) -> None:
        self.patch(learner, "KINDS", 2)
        for kind in ("a", "b"):
            self.store(50, kind)
        self.begin(self.its_core)
        for kind in ("y", "z"):
            self.learn(kind)
        self.clock.advance(TURN)
        self.assertEqual([bool(self.durations(kind)) for kind in "abyz"], [0, 0, 1, 1])

    def test_recalled_kinds_are_forgotten_before_those_that_are_in_use(self) -> None:
        self.patch(learner, "KINDS", 3)
        for kind in ("a", "b"):
            self.store(50, kind)
        self.begin(self.its_core)
        self.learn("y")
        self.clock.advance(TURN)
        self.learn("z")
        self.assertEqual([bool(self.durations(kind)) for kind in "abyz"], [1, 0, 1, 1])


class ReadTests(StoredTestCase):
    """How the store is read."""

    def setUp(self) -> None:
        super().setUp()
        self.lane = HeldLane()
        path = self.mktemp()
        writer = Core(path=path)
        self.store(300, core=writer)
        self.store(300, result="error", code="disk-full", core=writer)
        writer.store.abandon()
        self.its_core = Core(path=path, lane=self.lane)
        self.clock = self.its_core.clock
        self.addCleanup(self.its_core.store.abandon)

    def test_a_recall_makes_a_bounded_number_of_short_reads(self) -> None:
        rows: list[int] = []
        ended = past_durations.ended

        def counted(*args: Any, **given: Any) -> list[Job]:
            page = ended(*args, **given)
            rows.append(len(page))
            return page

        self.patch(past_durations, "ended", counted)
        self.begin(self.its_core)
        while self.lane.held:
            self.assertEqual(self.lane.held, 1)
            self.lane.step()
        self.assertEqual(rows, [PAGE] * (2 * REMEMBERED // PAGE))
        self.assertEqual(len(self.durations()), REMEMBERED)
        self.finish()

    def finish(self) -> None:
        """Let the forecast read that there are no more kinds."""
        self.clock.advance(TURN)
        self.lane.step()
        self.clock.advance(60)
        self.assertEqual(self.lane.held, 0)

    def test_a_stop_waits_for_the_recall_of_one_kind_and_begins_no_other(self) -> None:
        self.begin(self.its_core)
        self.lane.step()
        stopping = self.stop()
        self.assertNoResult(stopping)
        while self.lane.held:
            self.lane.step()
        self.successResultOf(stopping)
        self.clock.advance(60)
        self.assertEqual(self.lane.held, 0)

    def test_questions_are_answered_during_a_recall(self) -> None:
        self.begin(self.its_core)
        self.assertEqual(self.forecast.retry_after(self.pending()), 2)
        while self.lane.held:
            self.lane.step()
        self.finish()
        self.assertGreater(self.said(), LONG / 2)


class IndexTests(CoreTestCase):
    """Reads use an index, however many jobs there are."""

    def test_no_read_scans_a_table_or_sorts(self) -> None:
        core = self.core()
        seen: list[str] = []

        def explained(tx: Any) -> None:
            class Explaining:
                def all(self, sql: str, **values: object) -> list[Row]:
                    seen.extend(
                        row["detail"] for row in tx.all(f"EXPLAIN QUERY PLAN {sql}", **values)
                    )
                    return []

                def one(self, sql: str, **values: object) -> None:
                    self.all(sql, **values)

            explaining = cast(Tx, Explaining())
            past_durations.next_kind(explaining, "a")
            for before in (None, "x"):
                past_durations.ended(explaining, "a", Status.COMPLETED, before=before, limit=1)

        self.successResultOf(core.store.read(explained))
        self.assertEqual(len(seen), 3, seen)
        self.assertEqual(
            seen,
            [
                "SEARCH jobs USING COVERING INDEX jobs_kind (kind>?)",
                "SEARCH jobs USING INDEX jobs_kind_result (kind=? AND result=?)",
                "SEARCH jobs USING INDEX jobs_kind_result (kind=? AND result=? AND id<?)",
            ],
        )
