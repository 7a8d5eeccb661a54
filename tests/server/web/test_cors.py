"""What pages of other origins may read (CORS), and OPTIONS."""

from __future__ import annotations

from typing import Any

from tests.helpers.messages import Reply
from tests.helpers.servers import InMemoryServer, ServerTestCase
from tests.helpers.streams import FollowTestCase

TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BEARER_LINE = f"Authorization: Bearer {TOKEN}"
STREAMS = ("/jobs/{job}/events", "/events?job={job}", "/events?kind=default", "/events")
FOREIGN = "https://pages.example"
NEAR = "http://localhost:3000"
EXPOSED = "ETag, Link, Location, Operation-Location, Preference-Applied, Retry-After"
ASKED_FOR = (
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer"
)


class SharingTestCase(ServerTestCase):
    """Asks as a page would."""

    def allowed(self, reply: Reply) -> str | None:
        self.assertIsNone(reply.header("Access-Control-Allow-Credentials"))
        origin = reply.header("Access-Control-Allow-Origin")
        exposed = reply.header("Access-Control-Expose-Headers")
        self.assertEqual(exposed, None if origin is None else EXPOSED)
        return origin

    def preflight(
        self, fake: InMemoryServer, path: str, origin: str, method: str = "GET"
    ) -> Reply:
        given = {
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, prefer",
        }
        reply = self.ask(fake, "OPTIONS", path, headers=given)
        self.assertEqual((reply.code, reply.body), (204, b""))
        return reply


class TokenSharingTests(SharingTestCase):
    """With a token, pages of any origin may watch jobs."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_TOKEN=TOKEN)
        reply = self.ask(self.fake, "POST", "/jobs", body={}, headers=BEARER)
        self.path = reply.json["links"]["self"]

    def test_any_page_may_watch(self) -> None:
        for path in ("/status", self.path, f"{self.path}/status", f"{self.path}/operation"):
            for method in ("GET", "HEAD"):
                reply = self.ask(self.fake, method, path, headers={"Origin": FOREIGN})
                self.assertEqual((reply.code, self.allowed(reply)), (200, "*"), path)

    def test_any_page_may_read_304_and_404(self) -> None:
        given = {"Origin": FOREIGN, "If-None-Match": "*"}
        reply = self.ask(self.fake, "GET", self.path, headers=given)
        self.assertEqual((reply.code, self.allowed(reply)), (304, "*"))
        reply = self.ask(self.fake, "GET", "/jobs/1", headers={"Origin": FOREIGN})
        self.assertEqual((reply.code, self.allowed(reply)), (404, "*"))

    def test_no_page_may_read_anything_else(self) -> None:
        given = {"Origin": FOREIGN, **BEARER}
        for method, path, body in (
            ("GET", "/jobs", None),
            ("GET", "/healthz", None),
            ("POST", "/jobs", {}),
            ("PATCH", self.path, {}),
        ):
            reply = self.ask(self.fake, method, path, body=body, headers=given)
            self.assertLess(reply.code, 300)
            self.assertIsNone(self.allowed(reply), f"{method} {path}")

    def test_a_preflight_needs_no_token_and_names_the_headers(self) -> None:
        for fake in (self.fake, self.serve(STATUSJOB_TOKEN=TOKEN, STATUSJOB_PRIVATE="on")):
            paths = ["/status", "/events", self.path]
            paths += [f"{self.path}/{what}" for what in ("status", "operation", "events")]
            for path in paths:
                reply = self.preflight(fake, path, FOREIGN)
                self.assertEqual(reply.header("Access-Control-Allow-Origin"), "*")
                self.assertEqual(reply.header("Access-Control-Allow-Methods"), "GET, HEAD")
                self.assertEqual(reply.header("Access-Control-Allow-Headers"), ASKED_FOR)
                self.assertEqual(reply.header("Access-Control-Max-Age"), "600")
                self.assertIsNone(reply.header("Access-Control-Allow-Credentials"))

    def test_a_preflight_for_anything_else_allows_nothing(self) -> None:
        for path in ("/jobs", "/webhooks/register", "/healthz"):
            reply = self.preflight(self.fake, path, FOREIGN, "POST")
            for name in ("Origin", "Methods", "Headers"):
                self.assertIsNone(reply.header(f"Access-Control-Allow-{name}"), path)


class StreamSharingTests(FollowTestCase):
    """Streams have the same CORS headers as jobs."""

    def allowed(self, path: str, origin: str, **variables: Any) -> tuple[int, str | None]:
        """Return the status code, and the origin that may read the answer."""
        fake = self.serve(**variables)
        job = self.ask(fake, "POST", "/jobs", body={}, headers=BEARER).json["id"]
        path = path.format(job=job)
        followed = self.follow(path, f"Origin: {origin}", BEARER_LINE, fake=fake)
        followed.events()
        answer = followed.head or followed.refusal
        assert answer is not None
        self.assertNotIn("access-control-allow-credentials", answer.headers)
        return answer.code, answer.headers.get("access-control-allow-origin")

    def test_with_a_token_any_page_may_read_a_stream(self) -> None:
        for path in STREAMS:
            allowed = self.allowed(path, FOREIGN, STATUSJOB_TOKEN=TOKEN)
            self.assertEqual(allowed, (200, "*"), path)

    def test_without_a_token_pages_of_this_machine_may_read_a_stream(self) -> None:
        for path in STREAMS:
            self.assertEqual(self.allowed(path, NEAR), (200, NEAR), path)

    def test_without_a_token_foreign_pages_may_not_read_a_stream(self) -> None:
        for path, code in zip(STREAMS, (200, 200, 403, 403), strict=True):
            self.assertEqual(self.allowed(path, FOREIGN), (code, None), path)


class LocalSharingTests(SharingTestCase):
    """Without a token, only pages of this machine may watch jobs."""

    def setUp(self) -> None:
        self.fake = self.serve()
        self.path = self.create(self.fake)["links"]["self"]

    def test_pages_of_this_machine_may_watch(self) -> None:
        for origin in (NEAR, "http://127.0.0.1", "https://[::1]:8443"):
            for path in ("/status", self.path):
                reply = self.ask(self.fake, "GET", path, headers={"Origin": origin})
                self.assertEqual((reply.code, self.allowed(reply)), (200, origin))

    def test_the_answer_varies_with_the_origin(self) -> None:
        reply = self.ask(self.fake, "GET", "/status", headers={"Origin": NEAR})
        self.assertEqual(
            set((reply.header("Vary") or "").split(", ")), {"Origin", "Prefer"}, reply.headers
        )

    def test_foreign_pages_may_not_read_the_answer(self) -> None:
        for origin in (FOREIGN, "null"):
            reply = self.ask(self.fake, "GET", self.path, headers={"Origin": origin})
            self.assertEqual((reply.code, self.allowed(reply)), (200, None))

    def test_a_preflight_of_this_machine_is_allowed(self) -> None:
        reply = self.preflight(self.fake, self.path, NEAR)
        self.assertEqual(reply.header("Access-Control-Allow-Origin"), NEAR)
        self.assertEqual(reply.header("Access-Control-Allow-Methods"), "GET, HEAD")
        self.assertEqual(reply.header("Vary"), "Origin")

    def test_a_preflight_of_a_foreign_page_is_not_allowed(self) -> None:
        reply = self.preflight(self.fake, self.path, FOREIGN)
        for name in ("Origin", "Methods", "Headers"):
            self.assertIsNone(reply.header(f"Access-Control-Allow-{name}"))


class OptionsTests(SharingTestCase):
    """OPTIONS without a preflight names the methods of a path."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_TOKEN=TOKEN)

    def test_options_names_the_methods(self) -> None:
        for path, allowed in (
            ("/", "OPTIONS"),
            ("/status", "GET, HEAD, OPTIONS"),
            ("/jobs", "GET, HEAD, OPTIONS, POST"),
            ("/events", "GET, HEAD, OPTIONS"),
            ("/jobs/1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/webhooks/register", "OPTIONS, POST"),
            ("/jobs/1/webhooks/unregister", "DELETE, OPTIONS"),
        ):
            reply = self.ask(self.fake, "OPTIONS", path)
            self.assertEqual((reply.code, reply.body), (204, b""))
            self.assertEqual(reply.header("Allow"), allowed)
            self.assertIsNone(reply.header("Access-Control-Allow-Methods"))

    def test_an_unknown_path_is_a_problem(self) -> None:
        self.assert_problem(self.ask(self.fake, "OPTIONS", "/nothing"), 404, "not-found")
