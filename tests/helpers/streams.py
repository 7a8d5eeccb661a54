"""Streams of a whole server, followed over connections in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.helpers.connections import Following
from tests.helpers.servers import InMemoryServer, ServerTestCase


class FollowTestCase(ServerTestCase):
    """Tests that follow streams of one server."""

    settings: ClassVar[Mapping[str, Any]] = {}

    def setUp(self) -> None:
        self.fake = self.serve(**self.settings)
        self.fake.clock.advance(0)

    def new_job(self, **members: Any) -> str:
        """Create a job, and return its id."""
        return str(self.create(self.fake, **members)["id"])

    def report(self, job: str, **members: Any) -> None:
        """Report on a job, and let its watchers learn of it."""
        reply = self.ask(self.fake, "PATCH", f"/jobs/{job}", body=members)
        self.assertEqual(reply.code, 200, reply.body)
        self.fake.clock.advance(0)

    def follow(self, path: str, *headers: str, fake: InMemoryServer | None = None) -> Following:
        """Follow a stream, and let it begin."""
        fake = fake or self.fake
        followed = Following(fake.server.site, path, *headers)
        fake.clock.advance(0)
        return followed

    def follow_job(self, job: str, *headers: str) -> Following:
        """Follow the stream of a job."""
        return self.follow(f"/jobs/{job}/events", *headers)

    def assert_refused(self, followed: Following, code: int, slug: str) -> Any:
        """Check that the answer is a problem instead of a stream, and return its JSON."""
        refusal = followed.refusal
        assert refusal is not None
        self.assertEqual(
            (refusal.code, refusal.headers["content-type"]), (code, "application/problem+json")
        )
        self.assertEqual(refusal.json["type"], f"urn:statusjob:{slug}")
        self.assertEqual(refusal.headers["cache-control"], "no-store")
        self.assert_nobody_follows()
        return refusal.json

    def assert_nobody_follows(self) -> None:
        self.assertEqual(len(self.fake.server.watchers), 0)
