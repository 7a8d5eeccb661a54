"""C{Retry-After}: on every answer about a pending job, learned from jobs that have ended."""

from __future__ import annotations

from typing import Any

from tests.helpers.messages import Reply
from tests.helpers.servers import EPOCH, InMemoryServer, ServerTestCase, directory

LONG = 60


class HintTests(ServerTestCase):
    """A server on which jobs of one kind have ended."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUS_DELAY="1000000")
        self.pass_jobs(self.fake)

    def pass_jobs(self, fake: InMemoryServer) -> None:
        """Begin jobs together and end them after L{LONG}."""
        jobs = [self.create(fake, kind="export")["links"]["self"] for _ in range(20)]
        fake.clock.pump([1] * LONG)
        for path in jobs:
            self.ask(fake, "PATCH", path, body={"result": "completed"})

    def begin(self, fake: InMemoryServer, **headers: str) -> Reply:
        """Create one more job of that kind."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(fake, "POST", "/jobs", body={"kind": "export"}, headers=given)

    def learned(self, fake: InMemoryServer) -> Any:
        """Create a job, once the server has learned."""
        self.begin(fake)
        fake.clock.pump([1] * 3)
        return self.begin(fake).json["links"]

    def hint(self, path: str, **headers: str) -> int:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return int(self.ask(self.fake, "GET", path, headers=given).header("Retry-After") or 0)

    def test_every_answer_about_a_pending_job_has_retry_after(self) -> None:
        links = self.learned(self.fake)
        waits = {self.hint(links[name]) for name in ("self", "status", "operation")}
        created = self.begin(self.fake, Idempotency_Key="k")
        waits |= {self.hint(links["self"], If_None_Match='"1"')}
        waits |= {int(created.header("Retry-After") or 0)}
        replayed = self.begin(self.fake, Idempotency_Key="k")
        waits |= {int(replayed.header("Retry-After") or 0)}
        (wait,) = waits
        self.assertTrue(LONG <= wait <= LONG + 5, wait)

    def test_the_older_a_job_the_shorter_the_wait(self) -> None:
        path = self.learned(self.fake)["self"]
        self.fake.clock.pump([1] * (LONG - 10))
        self.assertTrue(1 <= self.hint(path) <= 15, self.hint(path))

    def test_answers_about_jobs_that_have_ended_have_none(self) -> None:
        links = self.learned(self.fake)
        ended = self.ask(self.fake, "PATCH", links["self"], body={"result": "error"})
        for reply in (
            ended,
            *(self.ask(self.fake, "GET", links[name]) for name in ("self", "status", "operation")),
        ):
            self.assertEqual((reply.code, reply.header("Retry-After")), (200, None))

    def test_answers_to_long_polls_have_none(self) -> None:
        links = self.learned(self.fake)
        for name in ("self", "status", "operation"):
            given = {"Prefer": "wait=10", "If-None-Match": '"0"'}
            reply = self.ask(self.fake, "GET", links[name], headers=given)
            self.assertEqual(reply.header("Preference-Applied"), "wait=10")
            self.assertIsNone(reply.header("Retry-After"))

    def test_kinds_are_learned_apart_and_the_demo_job_teaches_nothing(self) -> None:
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
    """The same tests after a restart."""

    def setUp(self) -> None:
        path = str(directory(self) / "jobs.sqlite")
        first = InMemoryServer(STATUSJOB_DATABASE=path)
        self.pass_jobs(first)
        self.stop(first)
        self.fake = self.serve(STATUSJOB_DATABASE=path, STATUS_DELAY="1000000", start=EPOCH + 3600)
        self.fake.clock.pump([1] * 2)
