"""The outbox in SQL: random sequences of everything that can happen to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec import json
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.webhooks import NewScopedWebhook, WebhookChange
from statusjob.server.errors import JobFinished, UnknownDelivery, UnknownWebhook, WebhookConflict
from statusjob.server.store import outbox_claim, outbox_settle, single_process
from statusjob.server.store.interface import Row, Tx
from statusjob.server.store.outbox_claim import LEASE, Claim
from statusjob.server.store.outbox_settle import Outcome, Retry
from statusjob.server.store.retention import delete_removed_webhooks, delete_unused_origins
from statusjob.server.store.webhooks import subscribers
from statusjob.server.webhooks.redelivery import Deliveries
from tests.helpers.core import Core, RepeatingStore, a_report, fired, hook, new_job
from tests.helpers.outbox import ALL

T = TypeVar("T")
Job = str
Webhook = str

#: How a random request may be refused.
REFUSALS = (JobFinished, WebhookConflict, UnknownWebhook, UnknownDelivery)
OUTCOMES = st.sampled_from(
    [
        *[Outcome("ok", 200)] * 3,
        Outcome("connect"),
        Outcome("http", 500),
        Outcome("http", 429, retry_after=100.0),
        Outcome("http", 404),
        Outcome("http", 410),
    ]
)
URLS = st.sampled_from([f"http://{host}.example/" for host in "ab"])
ATTEMPTS = 4


class OutboxMachine(RuleBasedStateMachine):
    """
    Two nodes make deliveries, workers report on jobs, and people change webhooks.

    @ivar under_way: the node and the claim of each delivery that is being sent, by its id.
    @ivar lost: claims that nobody may settle any more.
    @ivar told: the newest version that was sent, by webhook and job.
    @ivar owed: the version of each terminal update that must be delivered, by webhook and job.
    """

    jobs = Bundle[Job]("jobs")
    hooks = Bundle[Webhook]("hooks")

    def __init__(self) -> None:
        super().__init__()
        # A store may run a write more than once.
        self.core = Core(store=RepeatingStore)
        self.deliveries = Deliveries(self.core.store)
        self.generation = 0
        self.under_way: dict[str, tuple[str, Claim]] = {}
        self.lost: list[tuple[str, Claim]] = []
        self.told: dict[tuple[Webhook, Job], int] = {}
        self.owed: dict[tuple[Webhook, Job], int] = {}

    def teardown(self) -> None:
        self.heal()
        fired(Deferred.fromCoroutine(self.core.store.close()))

    def rows(self, sql: str, **values: object) -> list[Row]:
        return fired(self.core.store.read(lambda tx: tx.all(sql, **values)))

    def write(self, work: Callable[[Tx], T]) -> T:
        return fired(self.core.store.write(work))

    @initialize(target=hooks)
    def register_for_all(self) -> Webhook:
        webhook = NewScopedWebhook(url="http://a.example/", events=ALL)
        registered, _ = fired(self.core.registrations.add(webhook))
        return registered.id

    @initialize(target=jobs)
    def begin(self) -> Any:
        return self.create("http://b.example/")

    @rule(target=jobs, url=URLS)
    def create(self, url: str) -> Job:
        job = fired(self.core.lifecycle.create(new_job())).job
        fired(self.core.registrations.register(job.id, hook(url, events=ALL)))
        return job.id

    @rule(target=hooks, job=jobs, url=URLS)
    def register(self, job: Job, url: str) -> Any:
        registered = unless_refused(self.core.registrations.register(job, hook(url, events=ALL)))
        if registered is None:
            return multiple()
        if registered.secret is not None and self.job(job)["result"] != "pending":
            self.owe(job, [registered.id])
        return registered.id

    @rule(job=jobs, count=st.integers(1, 3))
    def progress(self, job: Job, count: int) -> None:
        for _ in range(count):
            report = a_report(b'{"message":"%d"}' % self.job(job)["version"])
            unless_refused(self.core.lifecycle.report(job, report))

    @rule(job=jobs, result=st.sampled_from([b"completed", b"error"]))
    def end(self, job: Job, result: bytes) -> None:
        if self.job(job)["result"] == "pending":
            now = fired(self.core.lifecycle.report(job, a_report(b'{"result":"%b"}' % result)))
            self.owe(job, [each.id for each in self.write(lambda tx: subscribers(tx, now))])

    def owe(self, job: Job, told: Sequence[Webhook]) -> None:
        """Note that webhooks must be told of the end of a job, and check that this is written."""
        version = self.job(job)["version"]
        for webhook in told:
            assert self.rows(
                "SELECT 1 FROM deliveries WHERE webhook_id = :webhook AND job_id = :job"
                " AND version = :version AND state = 'pending'",
                webhook=webhook,
                job=job,
                version=version,
            )
            self.owed[webhook, job] = version

    def job(self, job: Job) -> Row:
        (row,) = self.rows("SELECT result, version FROM jobs WHERE id = :id", id=job)
        return row

    @rule(
        node=st.sampled_from("AAAB"),
        room=st.sampled_from([6, 6, 2, 1]),
        shared=st.sampled_from([6, 6, 0]),
        after=st.sampled_from([0.5, 0, 6, 130]),
    )
    def claim(self, node: str, room: int, shared: int, after: float) -> None:
        self.core.clock.advance(after)
        name = f"{node}{self.generation}"
        claims = self.write(lambda tx: outbox_claim.claim(tx, name, room, shared)).claims
        assert len(claims) <= room
        for claim in claims:
            if claim.id in self.under_way:
                self.lost.append(self.under_way[claim.id])
            self.under_way[claim.id] = name, claim
            if claim.job_id is not None:
                version = json.decode(claim.body)["job"]["version"]
                pair = claim.webhook_id, claim.job_id
                assert version >= self.told.get(pair, 0)
                self.told[pair] = version

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=OUTCOMES, wait=st.sampled_from([0.0, 5.0, 100.0]))
    def settle(self, data: st.DataObject, outcome: Outcome, wait: float) -> None:
        name, claim = self.under_way.pop(data.draw(st.sampled_from(list(self.under_way))))
        still_ours = self.is_ours(name, claim)
        state = self.settled(name, claim, outcome, wait)
        assert (state is not None) == still_ours
        assert self.settled(name, claim, outcome, wait) is None

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), outcome=OUTCOMES)
    def settle_too_late(self, data: st.DataObject, outcome: Outcome) -> None:
        name, claim = data.draw(st.sampled_from(self.lost))
        holder, current = self.under_way.get(claim.id, ("", claim))
        if (holder, current.attempt) != (name, claim.attempt):
            assert self.settled(name, claim, outcome, 5) is None

    def settled(self, name: str, claim: Claim, outcome: Outcome, wait: float) -> str | None:
        retry = Retry(
            wait=wait, exhausted=claim.attempt >= ATTEMPTS, longest=1000, lifetime=2000, draw=0.5
        )
        return self.write(lambda tx: outbox_settle.settle(tx, name, claim, outcome, retry)).state

    def is_ours(self, name: str, claim: Claim) -> bool:
        return bool(
            self.rows(
                "SELECT 1 FROM deliveries d JOIN origins o ON o.id = origin_id WHERE d.id = :id"
                " AND state = 'sending' AND attempts = :attempt AND lease = :node",
                id=claim.id,
                attempt=claim.attempt,
                node=name,
            )
        )

    @rule(seconds=st.sampled_from([LEASE, 1000, 86_400]))
    def wait(self, seconds: float) -> None:
        self.core.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        self.write(single_process.release_leases)
        self.generation += 1
        self.lost += self.under_way.values()
        self.under_way.clear()

    @rule(data=st.data())
    def redeliver(self, data: st.DataObject) -> None:
        rows = self.rows("SELECT id, webhook_id, job_id, version FROM deliveries ORDER BY rowid")
        if rows:
            row = data.draw(st.sampled_from(rows))
            again = unless_refused(self.deliveries.redeliver(row["webhook_id"], row["id"]))
            if again is not None and row["job_id"] is not None:
                # An older version may be asked for.
                pair = row["webhook_id"], row["job_id"]
                self.told[pair] = min(row["version"], self.told.get(pair, 0))

    @rule(
        webhook=hooks, what=st.sampled_from(["test", "redeliver", "enable", "disable", "delete"])
    )
    def meddle(self, webhook: Webhook, what: str) -> None:
        registrations = self.core.registrations
        if what == "test":
            unless_refused(self.deliveries.test(webhook))
        elif what == "redeliver":
            unless_refused(self.deliveries.redeliver_failed(webhook, 0))
        elif what == "delete":
            unless_refused(registrations.remove(webhook))
            for pair in [pair for pair in self.owed if pair[0] == webhook]:
                del self.owed[pair]
        else:
            change = WebhookChange(enabled=what == "enable")
            unless_refused(registrations.change(webhook, change))

    @rule(job=jobs, url=URLS)
    def unregister(self, job: Job, url: str) -> None:
        fired(self.core.registrations.unregister(job, url))
        self.write(lambda tx: delete_removed_webhooks(tx, (0.0, ""), lambda: True))
        self.write(lambda tx: delete_unused_origins(tx, 0, lambda: True))

    @invariant()
    def at_most_one_waits_and_one_is_being_sent(self) -> None:
        assert not self.rows(
            "SELECT 1 FROM deliveries WHERE state IN ('pending', 'sending')"
            " AND job_id IS NOT NULL GROUP BY webhook_id, job_id, state HAVING COUNT(*) > 1"
        )

    @invariant()
    def every_delivery_has_its_body_and_every_body_a_delivery(self) -> None:
        for row in self.rows(
            "SELECT d.job_id, d.version, b.job_id AS body_job, b.version AS body_version,"
            " d.id, b.id AS body FROM deliveries d FULL JOIN bodies b ON b.id = d.body_id"
        ):
            assert row["id"] is not None and row["body"] is not None, tuple(row)
            assert (row["job_id"], row["version"]) == (row["body_job"], row["body_version"])

    @invariant()
    def what_is_being_sent_is_under_way(self) -> None:
        for row in self.rows("SELECT id, attempts FROM deliveries WHERE state = 'sending'"):
            assert self.under_way[row["id"]][1].attempt == row["attempts"]

    @invariant()
    def nothing_waits_for_a_webhook_that_is_disabled_or_deleted(self) -> None:
        assert not self.rows(
            "SELECT 1 FROM deliveries d JOIN webhooks w ON w.id = webhook_id"
            " WHERE state = 'pending' AND d.job_id IS NOT NULL AND (enabled = 0 OR url = '')"
        )

    @invariant()
    def what_is_dead_says_why(self) -> None:
        assert not self.rows(
            "SELECT 1 FROM deliveries d JOIN webhooks w ON w.id = webhook_id"
            " WHERE (state = 'dead') <> (d.reason IS NOT NULL) AND url <> ''"
        )

    @invariant()
    def origins_keep_within_their_bounds(self) -> None:
        for row in self.rows("SELECT * FROM origins"):
            assert 1 <= row["slots"] <= 16
            assert row["paused_until"] <= self.core.now() + 3600
            assert (row["failures"] > 0) == (row["down_since"] is not None)

    @invariant()
    def no_origin_is_looked_at_too_late(self) -> None:
        for row in self.rows(
            "SELECT MIN(due_at) AS due_at, ready_at, paused_until FROM deliveries"
            " JOIN origins ON origins.id = origin_id WHERE state = 'pending' GROUP BY origin_id"
        ):
            assert row["ready_at"] is not None
            served = max(row["due_at"], row["paused_until"], self.core.now())
            assert row["ready_at"] <= served

    def heal(self) -> None:
        """
        Let both nodes be gone, another one come, and every receiver work: all that is owed is
        delivered, or visibly dead.
        """
        self.generation += 1
        self.under_way.clear()
        for _ in range(200):
            if not self.rows("SELECT 1 FROM deliveries WHERE state IN ('pending', 'sending')"):
                break
            self.core.clock.advance(4000)
            self.claim("A", 6, 6, 0)
            for name, claim in self.under_way.values():
                assert self.settled(name, claim, Outcome("ok", 200), 0) == "delivered"
            self.under_way.clear()
        else:
            raise AssertionError("it never ends")
        for (webhook, job), version in self.owed.items():
            rows = self.rows(
                "SELECT state FROM deliveries WHERE webhook_id = :webhook AND job_id = :job"
                " AND version = :version",
                webhook=webhook,
                job=job,
                version=version,
            )
            known = "SELECT 1 FROM webhooks WHERE id = :id AND removed_at IS NULL"
            assert {row["state"] for row in rows} <= {"delivered", "dead"}
            # The rows of a removed webhook are deleted after a while.
            assert rows or not self.rows(known, id=webhook)


def unless_refused(answer: Deferred[T]) -> T | None:
    """The value of a Deferred that has fired; C{None} if what was asked for was refused."""
    try:
        return fired(answer)
    except REFUSALS:
        return None


class OutboxStateTests(SynchronousTestCase):
    """Nothing is lost, nothing is sent twice without need, and nothing is left behind."""

    def test_no_sequence_of_events_breaks_the_outbox(self) -> None:
        run_state_machine_as_test(
            OutboxMachine,
            settings=settings(
                stateful_step_count=40,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
