"""C{Retry-After} over HTTP: on every pending answer, learned from what the server has seen."""

from __future__ import annotations

from typing import Any

from tests.helpers.messages import Reply
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase, directory

LONG = 60


class HintTests(ServerTestCase):
    """A server that has seen jobs of one kind."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUS_DELAY="1000000")
        self.pass_jobs(self.fake)

    def pass_jobs(self, fake: InMemoryServer) -> None:
        """Jobs that take L{LONG} begin together and end."""
        jobs = [self.create(fake, kind="export")["links"]["self"] for _ in range(50)]
        fake.clock.pump([1] * LONG)
        for path in jobs:
            self.ask(fake, "PATCH", path, body={"result": "completed"})

    def begin(self, fake: InMemoryServer, **headers: str) -> Reply:
        """Begin another one."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(fake, "POST", "/jobs", body={"kind": "export"}, headers=given)

    def learned(self, fake: InMemoryServer) -> Any:
        """A new job, when what was seen has been taken into account."""
        self.begin(fake)
        fake.clock.pump([1] * 3)
        return self.begin(fake).json["links"]

    def hint(self, path: str, **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return int(self.ask(self.fake, "GET", path, headers=given).header("Retry-After") or 0)

    def test_every_pending_answer_says_when_to_ask(self) -> None:
        links = self.learned(self.fake)
        waits = {self.hint(links[name]) for name in ("self", "status", "operation")}
        created = self.begin(self.fake, Idempotency_Key="k")
        waits |= {self.hint(links["self"], If_None_Match='"1"')}
        waits |= {int(created.header("Retry-After") or 0)}
        replayed = self.begin(self.fake, Idempotency_Key="k")
        waits |= {int(replayed.header("Retry-After") or 0)}
        (wait,) = waits
        self.assertTrue(LONG <= wait <= LONG + 5, wait)

    def test_the_older_a_job_the_sooner(self) -> None:
        path = self.learned(self.fake)["self"]
        self.fake.clock.pump([1] * (LONG - 10))
        self.assertTrue(1 <= self.hint(path) <= 15, self.hint(path))

    def test_answers_about_jobs_that_have_ended_say_nothing(self) -> None:
        links = self.learned(self.fake)
        ended = self.ask(self.fake, "PATCH", links["self"], body={"result": "error"})
        for reply in (
            ended,
            *(self.ask(self.fake, "GET", links[name]) for name in ("self", "status", "operation")),
        ):
            self.assertEqual((reply.code, reply.header("Retry-After")), (200, None))

    def test_neither_do_answers_to_those_who_prefer_to_wait(self) -> None:
        links = self.learned(self.fake)
        for name in ("self", "status", "operation"):
            given = {"Prefer": "wait=10", "If-None-Match": '"0"'}
            reply = self.ask(self.fake, "GET", links[name], headers=given)
            self.assertEqual(reply.header("Preference-Applied"), "wait=10")
            self.assertIsNone(reply.header("Retry-After"))

    def test_kinds_are_told_apart_and_the_demo_is_none(self) -> None:
        self.learned(self.fake)
        other = self.ask(self.fake, "POST", "/jobs", body={"kind": "other"})
        self.assertEqual(other.header("Retry-After"), "2")
        self.fake.clock.rightNow = EPOCH
        self.assertEqual(self.hint("/status"), 2)

    def test_an_eta_counts_at_once(self) -> None:
        links = self.learned(self.fake)
        for eta in (5, 20):
            self.ask(self.fake, "PATCH", links["self"], body={"eta": eta})
            for name in ("self", "status", "operation"):
                self.assertTrue(eta - 3 <= self.hint(links[name]) <= eta + 8, eta)
        self.ask(self.fake, "PATCH", links["self"], body={"eta": 3_155_760_000})
        self.assertTrue(1 <= self.hint(links["status"]) <= 3600)


class RestartTests(HintTests):
    """The same after a restart."""

    def setUp(self) -> None:
        path = str(directory(self) / "jobs.sqlite")
        first = InMemoryServer(STATUSJOB_DATABASE=path)
        self.pass_jobs(first)
        self.stop(first)
        self.fake = self.serve(STATUSJOB_DATABASE=path, STATUS_DELAY="1000000", start=EPOCH + 3600)
        self.fake.clock.pump([1] * 2)
