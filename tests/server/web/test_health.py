"""Health checks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail

from statusjob.server.store.interface import StoreBusy, StoreFull, Tx
from statusjob.server.store.readiness import PROBE_INTERVAL
from statusjob.server.store.single_process import note_time
from tests.helpers.servers import HeldServerTestCase, InMemoryServer, ServerTestCase


class HealthTests(ServerTestCase):
    """Whether a server lives, and whether it can serve."""

    def assert_ready(self, fake: InMemoryServer) -> None:
        self.assertEqual(self.ask(fake, "GET", "/readyz").json, {"status": "ready"})

    def assert_not_ready(self, fake: InMemoryServer, detail: str | None = None) -> None:
        self.assert_problem(self.ask(fake, "GET", "/readyz"), 503, "unavailable", detail)

    def test_a_running_server_is_alive_and_ready(self) -> None:
        fake = self.serve()
        self.assertEqual(self.ask(fake, "GET", "/healthz").json, {"status": "ok"})
        self.assert_ready(fake)

    def test_a_stopping_server_is_alive_but_not_ready(self) -> None:
        fake = self.serve()
        fake.server.api.draining = True
        self.assertEqual(self.ask(fake, "GET", "/healthz").code, 200)
        self.assert_not_ready(fake)

    def test_a_server_that_cannot_read_its_database_is_not_ready(self) -> None:
        fake = self.serve()
        self.patch(fake.server.store, "read", lambda _: fail(StoreBusy("too much is waiting")))
        self.assert_not_ready(fake, "too much is waiting")

    def test_a_server_that_cannot_write_is_not_ready_until_a_later_write_succeeds(self) -> None:
        fake = self.serve()
        full = self.patch(fake.server.store, "write", lambda _: fail(StoreFull("it is full")))
        self.assert_not_ready(fake, "it is full")
        full.restore()
        self.assert_not_ready(fake, "it is full")
        fake.clock.advance(PROBE_INTERVAL)
        self.assert_ready(fake)

    def test_a_server_whose_database_is_not_at_its_path_is_not_ready(self) -> None:
        path = self.mktemp()
        fake = self.serve(STATUSJOB_DATABASE=path)
        self.assert_ready(fake)
        os.rename(path, f"{path}.aside")
        fake.clock.advance(PROBE_INTERVAL)
        self.assert_not_ready(fake, "a file of the database was moved or deleted")
        self.assertEqual(self.ask(fake, "POST", "/jobs", body={}).code, 503)
        os.rename(f"{path}.aside", path)
        fake.clock.advance(PROBE_INTERVAL)
        self.assert_ready(fake)


class ProbeTests(HeldServerTestCase):
    """Whoever asks shares one write."""

    def readyz(self) -> Any:
        asked = self.fake.treq.get("http://localhost/readyz")
        self.fake.treq.flush()
        return asked

    def settle_and_flush(self) -> None:
        self.settle()
        self.fake.treq.flush()

    def setUp(self) -> None:
        super().setUp()
        self.probes = 0
        store = self.fake.server.store
        write = store.write

        def counting(work: Callable[[Tx], Any]) -> Deferred[Any]:
            self.probes += work is note_time
            return write(work)

        self.patch(store, "write", counting)

    def test_many_who_ask_at_once_share_the_outcome_of_one_write(self) -> None:
        asked = [self.readyz() for _ in range(10)]
        self.settle_and_flush()
        self.assertEqual([self.reply(each).code for each in asked], [200] * 10)
        self.assertEqual(self.probes, 1)

    def test_the_outcome_counts_for_some_seconds(self) -> None:
        for expected in (1, 1, 2):
            asked = self.readyz()
            self.settle_and_flush()
            self.assertEqual(self.reply(asked).code, 200)
            self.assertEqual(self.probes, expected)
            self.fake.clock.advance(PROBE_INTERVAL / 2)

    def test_while_a_write_takes_long_no_other_one_begins(self) -> None:
        writes: list[Deferred[None]] = []

        def write(work: Callable[[Tx], Any]) -> Deferred[None]:
            writes.append(Deferred())
            return writes[-1]

        self.patch(self.fake.server.store, "write", write)
        asked = []
        for _ in range(2):
            asked.append(self.readyz())
            self.lane.step()
            self.assertNoResult(asked[-1])
            self.fake.clock.rightNow += 2 * PROBE_INTERVAL
        (held,) = writes
        held.callback(None)
        self.fake.treq.flush()
        self.assertEqual([self.reply(each).code for each in asked], [200, 200])

    def test_who_hangs_up_while_waiting_disturbs_no_other(self) -> None:
        first, second = self.readyz(), self.readyz()
        self.lane.step()
        first.cancel()
        self.failureResultOf(first)
        self.settle_and_flush()
        self.assertEqual(self.reply(second).code, 200)
