"""
Query plans: every statement that the store can execute finds its rows by an index.

The statements are those that everything the store does executes. Each call in the store that
executes SQL must be among them.
"""

from __future__ import annotations

import ast
import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import DeliveryState, NewScopedWebhook, WebhookChange
from statusjob.jobs import Status
from statusjob.server import store
from statusjob.server.jobs.due import begin_demo, handle_due_alarms
from statusjob.server.jobs.expiry import Expiry
from statusjob.server.store import (
    due_jobs,
    origins,
    past_durations,
    single_process,
    sqlite,
    timeline,
)
from statusjob.server.store.interface import Row
from statusjob.server.store.readiness import Readiness
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import COMPLETED, URL, a_report, new_job
from tests.helpers.outbox import ALL, OutboxTestCase

STORE = Path(store.__file__).parent

#: What may be read from end to end: tables of one row, indexes of what is being sent and of the
#: webhooks for kinds and for all jobs, which are few, and what a subquery has found.
SHORT = re.compile(
    r"SCAN (clock|schema_version|CONSTANT ROW|\S+ USING (COVERING )?INDEX"
    r" (deliveries_busy|deliveries_sending|webhooks_wide))\b"
)
#: Pages of everything, in the order of an index: they end at their limit.
PAGED = re.compile(r"SCAN \S+ USING INDEX (webhooks_listed|sqlite_autoindex_jobs_1)\b")
#: Statements that run only at a start, or when the clock was set, and concern all that waits.
RARE = (
    "UPDATE origins SET lease = NULL",
    "UPDATE origins SET paused_until = paused_until + :by",
    "UPDATE old_secrets SET until = until + :by",
    "UPDATE url_pauses SET until = until + :by",
    "UPDATE deliveries SET due_at = due_at + :by",
)


class PlanTestCase(OutboxTestCase):
    """
    Tests with a store that records the query plan of each statement.

    @ivar plans: the steps of each plan, by its statement.
    @ivar places: the calls that executed a statement: file and line.
    """

    def setUp(self) -> None:
        self.plans: dict[str, list[str]] = {}
        self.places: set[tuple[str, int]] = set()
        case = self

        class Explained(sqlite._Transaction):
            """A transaction that records the plan of each statement."""

            def all(self, sql: str, /, **values: object) -> list[Row]:
                self._explain(sql, values)
                return super().all(sql, **values)

            def one(self, sql: str, /, **values: object) -> Row | None:
                self._explain(sql, values)
                return super().one(sql, **values)

            def execute(self, sql: str, /, **values: object) -> int:
                self._explain(sql, values)
                return super().execute(sql, **values)

            def _explain(self, sql: str, values: dict[str, object]) -> None:
                caller = sys._getframe(2)
                path = Path(caller.f_code.co_filename)
                if path.parent != STORE or path.name == "schema.py":
                    # The test's own, or a migration.
                    return
                case.places.add((path.name, caller.f_lineno))
                rows = self._connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)
                case.plans[sql] = [row["detail"] for row in rows]

        self.patch(sqlite, "_Transaction", Explained)
        super().setUp()


def calls() -> set[tuple[str, int]]:
    """The file and the line of each call in the store that executes SQL."""
    return {
        (path.name, node.lineno)
        for path in STORE.glob("*.py")
        if path.name != "schema.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and (node.func.value.id, node.func.attr)
        in {("tx", "all"), ("tx", "one"), ("tx", "execute")}
    }


class PlanTests(PlanTestCase):
    """How SQLite runs the statements of the store."""

    def done(self, answer: Deferred[Any]) -> Any:
        return self.successResultOf(answer)

    def deliver(self) -> None:
        """Do everything that happens to deliveries from day to day."""
        self.register(events=ALL)
        wide = self.done(self.box.registrations.add(NewScopedWebhook(url=URL, events=ALL)))[0].id
        self.progress(0.25)
        first, second = self.claim()
        self.settle(first)
        self.progress(0.5)
        self.settle(second, "connect", 5)
        self.execute(self.box, "UPDATE origins SET failures = 9, down_since = 0, slots = 16")
        self.box.clock.advance(10)
        for claim in self.claim():
            self.settle(claim, "timeout", 5)
        self.execute(self.box, "UPDATE origins SET paused_until = 0, ready_at = 0")
        self.box.clock.advance(10)
        self.settle(self.claim()[0])
        self.say(COMPLETED)
        self.execute(self.box, "UPDATE webhooks SET failing_since = 0, failing_days = 9")
        for claim in self.claim():
            self.settle(claim, 500)
        for enabled in (False, True):
            self.done(self.box.registrations.change(wide, WebhookChange(enabled=enabled)))

    def operate(self) -> None:
        """Do everything that people who operate receivers do."""
        wide = NewScopedWebhook(url=URL + "2", kind="default", events=ALL)
        webhook = self.done(self.box.registrations.add(wide))[0].id
        self.done(self.box.registrations.add(wide))
        self.done(self.box.registrations.change(webhook, WebhookChange(name="n", events=ALL)))
        self.done(self.box.registrations.rotate(webhook, None))
        self.say(COMPLETED, self.create(self.box))
        for claim in self.claim():
            self.settle(claim, 500)
        deliveries = Deliveries(self.box.store)
        self.done(deliveries.redeliver_failed(webhook, 0))
        self.done(deliveries.test(webhook))
        self.done(deliveries.test(webhook))
        for state in (None, *DeliveryState):
            for before in (None, (2e9, "")):
                self.done(deliveries.list(webhook, limit=5, before=before, state=state))
        (dead, *_) = self.column(
            self.box, "SELECT id FROM deliveries WHERE webhook_id = :id ORDER BY id", id=webhook
        )
        self.done(deliveries.redeliver(webhook, dead))
        for before in (None, (2e9, "")):
            self.done(self.box.registrations.list(limit=5, before=before))
        self.claim()
        self.done(self.box.registrations.unregister(self.job.id, URL))
        self.done(self.box.registrations.remove(webhook))

    def limit_rates(self) -> None:
        """Pause URLs, and probe them."""
        wide = NewScopedWebhook(url="http://limited.example/", kind="limited")
        webhook = self.done(self.box.registrations.add(wide))[0].id
        for outcome, seconds in ((429, None), (503, 5.0), ("ok", None)):
            self.say(COMPLETED, self.create(self.box, b'{"kind":"limited"}'))
            for claim in self.claim():
                self.settle(claim, outcome, 5, retry_after=seconds)
            self.box.clock.advance(1)
            self.done(Deliveries(self.box.store).test(webhook))
        for claim in self.claim():
            self.settle(claim)

    def spoil(self) -> None:
        """Break the body of a delivery that is due."""
        job = self.create(self.box)
        self.register(job=job)
        self.say(COMPLETED, job)
        self.execute(self.box, "UPDATE bodies SET body = CAST(x'ff' AS TEXT)")
        self.assertEqual(self.claim(), [])

    def live(self) -> None:
        """Do everything that happens to jobs."""
        lifecycle = self.box.lifecycle
        for _ in range(2):
            self.done(lifecycle.create(new_job(), key="key", key_hash="hash"))
        self.write(self.box, lambda tx: begin_demo(tx, self.box.simulator))
        self.done(lifecycle.get(None))
        for job_id in (None, self.job.id):
            self.done(lifecycle.poll(job_id))
        late = self.create(self.box, b'{"deadline":5,"heartbeat":3}')
        self.say(b"{}", late)
        self.done(lifecycle.report(late.id, a_report(b'{"message":"m"}'), versions=(1, 2)))
        self.patch(timeline, "EVENTS_LIMIT", 1)
        self.progress_of(late)
        for kind in (None, "k"):
            self.done(lifecycle.ids(limit=5, kind=kind))
            for result in (None, *Status):
                for before in (None, "x"):
                    self.done(lifecycle.list(limit=5, before=before, result=result, kind=kind))
        self.done(lifecycle.unknown_ids(["x"]))
        self.done(lifecycle.get_many([self.job.id, "x"]))
        self.box.clock.advance(4)
        self.write(self.box, lambda tx: handle_due_alarms(tx, lambda: 0.0))
        self.box.clock.advance(10)
        self.write(self.box, lambda tx: due_jobs.due_ids(tx, 5))
        self.write(self.box, lambda tx: due_jobs.find_due(tx, late.id))
        self.write(self.box, lambda tx: due_jobs.set_aside(tx, self.job.id, 5.0))
        self.write(self.box, lambda tx: handle_due_alarms(tx, lambda: 1e9))
        self.write(self.box, lambda tx: past_durations.next_kind(tx, ""))
        for before in (None, "x"):
            ended = partial(past_durations.ended, kind="k", result=Status.COMPLETED, limit=5)
            self.write(self.box, partial(ended, before=before))

    def progress_of(self, job: Any) -> None:
        for value in (0.25, 0.5, 0.75):
            self.say(b'{"progress":%f}' % value, job)

    def pass_time(self) -> None:
        """Do everything that comes with time: other nodes, clocks that are set, retention."""
        self.claim(node="other")
        self.box.clock.advance(100)
        self.claim(node="third")
        for step in (100, -100):
            self.box.ahead += step
            self.write(self.box, origins.next_ready)
        readiness = Readiness(self.box.store, self.box.clock.seconds)
        self.done(Deferred.fromCoroutine(readiness.check()))
        self.write(self.box, single_process.resume)
        self.execute(self.box, "UPDATE clock SET seen_at = 2e9")
        self.write(self.box, single_process.resume)
        self.execute(self.box, "UPDATE deliveries SET state = 'dead', finished_at = 1")
        self.execute(self.box, "UPDATE clock SET leap = 1")
        self.box.clock.advance(1000)
        expiry = Expiry(self.box.store, 1, self.box.clock.seconds)
        self.done(Deferred.fromCoroutine(expiry.delete_batch()))

    def do_everything(self) -> None:
        self.deliver()
        self.spoil()
        self.operate()
        self.limit_rates()
        self.live()
        self.pass_time()

    def test_every_call_that_executes_sql_is_among_those_that_are_explained(self) -> None:
        self.do_everything()
        self.assertGreater(len(calls()), 80)
        self.assertEqual(sorted(calls() - self.places), [])

    def test_no_statement_scans_what_grows(self) -> None:
        self.do_everything()
        for sql, plan in self.plans.items():
            if sql.startswith(RARE):
                continue
            for step in plan:
                if not SHORT.match(step) and not (PAGED.match(step) and "LIMIT" in sql):
                    # SQLite also says "search" for a minimum that it finds without an index.
                    self.assertNotRegex(step, r"\A(SCAN|SEARCH (?!.* USING ))", sql)

    def test_what_is_limited_is_found_in_its_order(self) -> None:
        self.do_everything()
        limited = {sql: plan for sql, plan in self.plans.items() if "LIMIT" in sql}
        self.assertGreater(len(limited), 20)
        for sql, plan in limited.items():
            self.assertNotIn("USE TEMP B-TREE", " ".join(plan), sql)

    def test_the_tests_of_a_webhook_are_found_however_long_its_log_is(self) -> None:
        self.do_everything()
        plans = [plan for sql, plan in self.plans.items() if "job_id IS NULL AND type =" in sql]
        self.assertEqual(len(plans), 2)
        for plan in plans:
            self.assertIn("USING INDEX deliveries_tests", plan[0])

    def test_the_log_of_a_webhook_has_an_index_for_every_state(self) -> None:
        self.do_everything()
        plans = [
            plan for sql, plan in self.plans.items() if " AND d.state = '" in sql and "DESC" in sql
        ]
        self.assertEqual(len(plans), 2 * len(DeliveryState))
        for plan in plans:
            self.assertIn("deliveries_state (webhook_id=? AND state=?", " ".join(plan))
