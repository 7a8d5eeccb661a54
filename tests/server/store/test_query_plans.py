"""Query plans of the outbox: every statement finds its rows by an index."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred

from statusjob.contract.webhooks import DeliveryState, NewScopedWebhook, WebhookChange
from statusjob.server.store import origins, outbox_claim, single_process
from statusjob.server.store.interface import Row, Tx, Update
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import COMPLETED, URL
from tests.helpers.outbox import ALL, OutboxTestCase

T = TypeVar("T")

#: Scans that may run from end to end: over the few deliveries that are being sent, and over the
#: origins that the recursion found.
SHORT = (
    "SCAN d USING INDEX deliveries_busy",
    "SCAN deliveries USING INDEX deliveries_busy",
    "SCAN waiting",
    "SCAN CONSTANT ROW",
)


class Explained:
    """A transaction that records the query plan of each of its statements."""

    def __init__(self, tx: Tx, plans: dict[str, list[str]]) -> None:
        self._tx = tx
        self._plans = plans
        self.now = tx.now
        self.render = tx.render

    def all(self, sql: str, /, **values: object) -> list[Row]:
        self._explain(sql, values)
        return self._tx.all(sql, **values)

    def one(self, sql: str, /, **values: object) -> Row | None:
        self._explain(sql, values)
        return self._tx.one(sql, **values)

    def execute(self, sql: str, /, **values: object) -> int:
        self._explain(sql, values)
        return self._tx.execute(sql, **values)

    def announce(self, update: Update) -> None:
        self._tx.announce(update)

    def _explain(self, sql: str, values: dict[str, object]) -> None:
        rows = self._tx.all(f"EXPLAIN QUERY PLAN {sql}", **values)
        self._plans[sql] = [row["detail"] for row in rows]


class PlanTests(OutboxTestCase):
    """How SQLite runs the statements of the outbox."""

    def setUp(self) -> None:
        super().setUp()
        self.plans: dict[str, list[str]] = {}
        for name in ("read", "write"):
            self.explain(name)

    def explain(self, name: str) -> None:
        run: Callable[[Callable[[Tx], object]], Deferred[object]] = getattr(self.box.store, name)
        self.patch(
            self.box.store, name, lambda work: run(lambda tx: work(Explained(tx, self.plans)))
        )

    def live(self) -> None:
        """Do everything that happens to deliveries from day to day."""
        self.register(events=ALL)
        adding = self.box.registrations.add(NewScopedWebhook(url=URL, events=ALL))
        wide = self.successResultOf(adding)[0].id
        self.progress(0.25)
        first, second = self.claim()
        self.settle(first)
        self.progress(0.5)
        self.settle(second, "connect", 5)
        self.execute(self.box, "UPDATE origins SET failures = 9, down_since = 0, slots = 16")
        self.box.clock.advance(10)
        for claim in self.claim():
            self.settle(claim, "timeout", 5)
        self.execute(self.box, "UPDATE origins SET paused_until = 0")
        self.box.clock.advance(10)
        self.settle(self.claim()[0])
        self.say(COMPLETED)
        for claim in self.claim():
            self.settle(claim, 500)
        deliveries = Deliveries(self.box.store)
        self.successResultOf(deliveries.redeliver_failed(wide, 0))
        self.successResultOf(deliveries.test(wide))
        for state in (None, DeliveryState.PENDING, DeliveryState.DEAD):
            self.successResultOf(deliveries.list(wide, limit=5, before=(2e9, ""), state=state))
        self.claim(node="other")
        self.box.clock.advance(100)
        self.claim(node="third")
        self.write(self.box, single_process.release_leases)
        self.write(self.box, outbox_claim.next_due)
        for enabled in (False, True):
            changing = self.box.registrations.change(wide, WebhookChange(enabled=enabled))
            self.successResultOf(changing)
        self.successResultOf(self.box.registrations.unregister(self.job.id, URL))
        self.successResultOf(self.box.registrations.remove(wide))

    def test_no_statement_scans_a_whole_table(self) -> None:
        self.live()
        self.assertGreater(len(self.plans), 50)
        for sql, plan in self.plans.items():
            if "UPDATE origins SET" in sql and "id = :id" not in sql:
                # It runs only at a start, or only in this test.
                continue
            for step in plan:
                if not step.startswith(SHORT):
                    # SQLite also says "search" for a minimum that it finds without an index.
                    self.assertNotRegex(step, r"\A(SCAN|SEARCH (?!.* USING ))", sql)

    def test_origins_are_found_by_hopping_from_one_to_the_next(self) -> None:
        self.write(self.box, lambda tx: origins.ready(tx, "node"))
        (plan,) = self.plans.values()
        self.assertEqual(sum("deliveries_due (origin_id>?)" in step for step in plan), 1)

    def test_active_webhooks_are_counted_in_their_own_index(self) -> None:
        self.register()
        (plan,) = (plan for sql, plan in self.plans.items() if "AS total" in sql)
        self.assertIn("SEARCH webhooks USING INDEX webhooks_active (id>?)", plan)
