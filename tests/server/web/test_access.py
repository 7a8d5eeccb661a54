"""Access: tokens, foreign hosts and foreign origins."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from statusjob.server.web.access import is_loopback
from tests.helpers.messages import Reply
from tests.helpers.servers import InMemoryServer, ServerTestCase

TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
#: The routes that need no token. Every other one does.
OPEN = {"/status", "/healthz", "/readyz"}
#: The routes that need one on a private server only.
WATCHED = {f"/jobs/<job_id>{what}" for what in ("", "/status", "/operation", "/events")}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"anyone:{password}".encode()).decode()}


#: An id in the rule of a route.
WEBHOOK = "<string(minlength=11):webhook_id>"


class AccessTestCase(ServerTestCase):
    """Asks every route."""

    def refusing(
        self, fake: InMemoryServer, code: int, slug: str, headers: Mapping[str, str] | None = None
    ) -> dict[str, Reply]:
        """Return the routes, with their method, that answer with this problem."""
        job = self.ask(fake, "POST", "/jobs", body={}, headers=BEARER).json["id"]
        # A stream then ends at once.
        self.ask(fake, "DELETE", f"/jobs/{job}", headers=BEARER)
        refused = {}
        for rule in fake.server.api.app.url_map.iter_rules():
            for method in rule.methods or ():
                path = rule.rule.replace("<job_id>", job).replace(WEBHOOK, "wh_" + "0" * 32)
                reply = self.ask(fake, method, path, headers=headers)
                if reply.code == code:
                    refused[f"{method} {rule.rule}"] = reply
                    if method != "HEAD":
                        self.assert_problem(reply, code, slug)
        return refused

    def needing_a_token(self, fake: InMemoryServer) -> set[str]:
        """Return the routes, with their method, that answer 401 to a request without a token."""
        refused = self.refusing(fake, 401, "unauthorized")
        for reply in refused.values():
            self.assertEqual(reply.header("WWW-Authenticate"), 'Bearer realm="statusjob"')
        return set(refused)

    @staticmethod
    def all_but(fake: InMemoryServer, open_routes: set[str]) -> set[str]:
        return {
            f"{method} {rule.rule}"
            for rule in fake.server.api.app.url_map.iter_rules()
            for method in rule.methods or ()
            if not (rule.rule in open_routes and method in ("GET", "HEAD"))
        }


class TokenTests(AccessTestCase):
    """A server with a token."""

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_TOKEN=f"{TOKEN}, second")

    def post(self, **headers: str) -> Reply:
        return self.ask(self.fake, "POST", "/jobs", body={}, headers=headers)

    def test_every_route_needs_a_token_except_a_few(self) -> None:
        refused = self.needing_a_token(self.fake)
        self.assertEqual(refused, self.all_but(self.fake, OPEN | WATCHED))
        self.assertIn("PATCH /jobs/<job_id>", refused)
        self.assertEqual(len([each for each in refused if WEBHOOK in each]), 9)

    def test_a_private_server_shows_no_job_without_a_token(self) -> None:
        fake = self.serve(STATUSJOB_TOKEN=TOKEN, STATUSJOB_PRIVATE="on")
        self.assertEqual(self.needing_a_token(fake), self.all_but(fake, OPEN))
        job = self.ask(fake, "POST", "/jobs", body={}, headers=BEARER).json["id"]
        self.ask(fake, "DELETE", f"/jobs/{job}", headers=BEARER)
        for path in (each.replace("<job_id>", job) for each in WATCHED):
            self.assertEqual(self.ask(fake, "GET", path, headers=BEARER).code, 200)

    def test_each_token_is_accepted(self) -> None:
        for token in (TOKEN, "second"):
            for scheme in ("Bearer", "bearer", "BEARER"):
                self.assertEqual(self.post(Authorization=f"{scheme} {token}").code, 201)

    def test_a_token_is_accepted_as_the_password_of_basic(self) -> None:
        self.assertEqual(self.post(**basic(TOKEN)).code, 201)

    def test_anything_else_is_refused(self) -> None:
        for value in (
            "Bearer",
            "Bearer ",
            "Bearer correct",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN}, second",
            f"Bearer {TOKEN.upper()}",
            f"Token {TOKEN}",
            TOKEN,
            "Basic",
            "Basic !!!",
            "Basic " + b64encode(TOKEN.encode()).decode(),
            basic("wrong")["Authorization"],
            "Basic " + b64encode(f"{TOKEN}:".encode()).decode(),
            "Bearer ключ",
        ):
            problem = self.assert_problem(self.post(Authorization=value), 401, "unauthorized")
            self.assertNotIn(TOKEN, problem["detail"])

    def test_a_token_is_never_taken_from_a_url(self) -> None:
        for query in (f"token={TOKEN}", f"access_token={TOKEN}"):
            reply = self.ask(self.fake, "POST", f"/jobs?{query}", body={})
            self.assert_problem(reply, 401, "unauthorized")

    def test_the_token_is_checked_before_anything_else(self) -> None:
        for method, path in (("PATCH", "/jobs/nonsense"), ("GET", "/jobs?limit=nonsense")):
            reply = self.ask(self.fake, method, path, data=b"{")
            self.assert_problem(reply, 401, "unauthorized")

    def test_with_a_token_any_host_is_accepted(self) -> None:
        for host in ("jobs.example", "jobs.example:8080", "192.0.2.1", "[2001:db8::1]:80", "a."):
            self.assertEqual(self.post(Host=host, **BEARER).code, 201, host)

    def test_with_a_token_a_page_of_any_origin_is_accepted(self) -> None:
        self.assertEqual(self.post(Origin="https://pages.example", **BEARER).code, 201)


class HostTests(ServerTestCase):
    """The Host header of a request."""

    def test_without_a_token_a_local_host_is_accepted(self) -> None:
        fake = self.serve()
        for host in (
            "localhost",
            "LocalHost:8080",
            "127.0.0.1",
            "127.0.0.1:3000",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
        ):
            reply = self.ask(fake, "GET", "/status", headers={"Host": host})
            self.assertEqual(reply.code, 200, host)

    def test_without_a_token_a_foreign_host_is_misdirected(self) -> None:
        fake = self.serve()
        for host in (
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "0x7f.0.0.1",
            "192.0.2.1",
            "[2001:db8::1]",
            "[::2]",
        ):
            for method, path in (("GET", "/status"), ("POST", "/jobs"), ("OPTIONS", "/status")):
                reply = self.ask(fake, method, path, headers={"Host": host})
                self.assert_problem(reply, 421, "misdirected")

    def test_the_host_of_the_public_url_is_accepted(self) -> None:
        for url, host in (
            ("https://Jobs.Example/base", "jobs.example"),
            ("https://jobs.example:8443", "JOBS.example:8443"),
            ("http://[2001:DB8::1]:8080", "[2001:db8::1]:8080"),
        ):
            fake = self.serve(STATUSJOB_PUBLIC_URL=url)
            reply = self.ask(fake, "GET", "/status", headers={"Host": host})
            self.assertEqual(reply.code, 200, host)
            reply = self.ask(fake, "GET", "/status", headers={"Host": "other.example"})
            self.assert_problem(reply, 421, "misdirected")

    def test_a_malformed_host_is_refused_with_and_without_a_token(self) -> None:
        for fake in (self.serve(), self.serve(STATUSJOB_TOKEN=TOKEN)):
            for host in (
                "",
                " ",
                ":80",
                "localhost:",
                "localhost:x",
                "localhost:123456",
                "local host",
                "user@localhost",
                "localhost/path",
                "http://localhost",
                "[::1",
                "::1",
                "[nonsense]",
                "a..b",
                ".localhost",
                "x" * 64,
                "höst",
            ):
                reply = self.ask(fake, "GET", "/status", headers={"Host": host})
                self.assert_problem(reply, 400, "invalid-request")

    def test_forwarded_headers_are_ignored(self) -> None:
        given = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
        reply = self.ask(self.serve(), "POST", "/jobs", body={}, headers=given)
        location = reply.header("Operation-Location") or ""
        self.assertTrue(location.startswith("http://localhost/jobs/"), location)

    def test_loopback_is_recognised(self) -> None:
        for host in ("localhost", "127.0.0.1", "127.255.0.1", "::1", "[::1]"):
            self.assertTrue(is_loopback(host), host)
        for host in ("", "0.0.0.0", "::", "localhost.", "10.0.0.1", "example.com"):
            self.assertFalse(is_loopback(host), host)


class OriginTests(AccessTestCase):
    """A server without a token, asked by pages in the browsers of this machine."""

    FOREIGN = (
        "http://evil.example",
        "https://localhost.evil.example",
        "null",
        "",
        "file://",
        "http://[::1",
        "ftp://localhost",
        "http://höst",
    )

    def setUp(self) -> None:
        self.fake = self.serve(STATUSJOB_PUBLIC_URL="https://jobs.example/base")
        self.path = self.create(self.fake)["links"]["self"].removeprefix("/base")

    def test_foreign_pages_can_neither_change_nor_list(self) -> None:
        every = self.all_but(self.fake, OPEN | WATCHED)
        for origin in self.FOREIGN:
            refused = self.refusing(self.fake, 403, "foreign-origin", {"Origin": origin})
            self.assertEqual(set(refused), every)
        for method, body in (("PATCH", {"progress": 0.5}), ("DELETE", None)):
            reply = self.ask(
                self.fake, method, self.path, body=body, headers={"Origin": "http://evil.example"}
            )
            self.assert_problem(reply, 403, "foreign-origin")
        self.assertEqual(self.ask(self.fake, "GET", self.path).json["version"], 1)

    def test_pages_of_this_machine_and_of_the_public_url_can(self) -> None:
        for origin in (
            "http://localhost",
            "http://localhost:3000",
            "https://127.0.0.1",
            "http://[::1]:8080",
            "https://jobs.example",
            "HTTPS://Jobs.Example",
        ):
            reply = self.ask(self.fake, "POST", "/jobs", body={}, headers={"Origin": origin})
            self.assertEqual(reply.code, 201, origin)

    def test_another_scheme_or_port_than_the_public_url_has_is_foreign(self) -> None:
        for origin in ("http://jobs.example", "https://jobs.example:8443"):
            reply = self.ask(self.fake, "POST", "/jobs", body={}, headers={"Origin": origin})
            self.assert_problem(reply, 403, "foreign-origin")
