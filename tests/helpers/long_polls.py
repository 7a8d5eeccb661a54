"""Long polls of a server in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from twisted.internet.defer import Deferred

from tests.helpers.messages import Reply
from tests.helpers.servers import InMemoryServer, ServerTestCase


class Held:
    """A long poll that the server has not answered at once."""

    def __init__(self, case: ServerTestCase, fake: InMemoryServer, path: str, given: Any) -> None:
        self._case, self._fake = case, fake
        headers = {"Host": "localhost", "Prefer": "wait=10", **given}
        self._asked: Deferred[Any] = fake.treq.request(
            "GET", "http://localhost" + path, headers=headers
        )
        fake.treq.flush()

    def assert_held(self) -> None:
        self._fake.treq.flush()
        self._case.assertNoResult(self._asked)

    def reply(self) -> Reply:
        """Return the answer, which must have come."""
        self._fake.clock.advance(0)
        self._fake.treq.flush()
        return self._case.reply(self._asked)

    def give_up(self) -> None:
        """Close the connection of the client."""
        self._asked.cancel()
        self._case.failureResultOf(self._asked)
        self._fake.treq.flush()


class WaitTestCase(ServerTestCase):
    """Tests that poll a server with one job at version 1."""

    settings: ClassVar[Mapping[str, Any]] = {}
    what = ""

    def setUp(self) -> None:
        self.fake = self.serve(**self.settings)
        self.job = self.create(self.fake)["id"]
        self.path = f"/jobs/{self.job}{self.what}"

    def hold(self, **headers: str) -> Held:
        """Send a long poll, and check that it waits."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        held = Held(self, self.fake, self.path, given)
        held.assert_held()
        return held

    def at_once(self, **headers: str) -> Reply:
        """Send a long poll, and check that it is answered at once."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask(self.fake, "GET", self.path, headers={"Prefer": "wait=10", **given})

    def report(self, **members: Any) -> None:
        path = f"/jobs/{self.job}"
        self.assertEqual(self.ask(self.fake, "PATCH", path, body=members).code, 200)

    def assert_applied(self, reply: Reply, code: int, seconds: int = 10) -> None:
        """Check that an answer is that of a long poll."""
        self.assertEqual(reply.code, code)
        self.assertEqual(reply.header("Preference-Applied"), f"wait={seconds}")
        self.assertEqual(reply.header("Cache-Control"), "no-store")
        self.assertEqual(reply.header("Vary"), "Prefer")
        self.assertIsNone(reply.header("Retry-After"))

    def assert_nobody_waits(self) -> None:
        self.assertEqual(len(self.fake.server.watchers), 0)
