"""Fast answers are given to those whom the routes would answer, and to nobody else."""

from __future__ import annotations

from tests.helpers.twins import TwinTestCase, get


class AccessTests(TwinTestCase):
    """Who may ask, on servers with all access rules."""

    HOSTS = (
        "localhost",
        "LOCALHOST:8080",
        "127.0.0.1",
        "127.8.8.8:1",
        "[::1]:8080",
        "localhost.",
        "jobs.example",
        "jobs.example:443",
        "elsewhere.example",
        "10.0.0.1",
        "[::1",
        "a b",
        "",
        "localhost, localhost",
        "local\xe4",
        None,
    )

    def ask_all(self, **variables: str) -> int:
        """Ask for everything in every way, and return how many fast answers were given."""
        self.begin(**variables)
        bearer = "Authorization: Bearer secret"
        targets = ("/status", f"/jobs/{self.job}", f"/jobs/{self.job}/status")
        self.warm_up(*targets)
        before = self.given()
        for target in targets:
            for host in self.HOSTS:
                for fields in ([], [bearer], ["Authorization: Bearer x"]):
                    self.compare(get(target, *fields, host=host), get(target, *fields, host=host))
            for origin in ("http://localhost:3000", "https://elsewhere.example", "null"):
                self.compare(get(target, f"Origin: {origin}"), get(target))
            for token in ("secret", "x"):
                self.compare(get(f"{target}?token={token}"))
        return self.given() - before

    def test_without_a_token_only_local_hosts_are_answered_fast(self) -> None:
        # Three targets, with three authorizations, twice; the requests after those with an Origin.
        self.assertEqual(self.ask_all(), 5 * 3 * 3 * 2 + 3 * 3)

    def test_without_a_token_the_public_host_is_answered_fast_too(self) -> None:
        given = self.ask_all(STATUSJOB_PUBLIC_URL="https://jobs.example/base")
        self.assertEqual(given, 7 * 3 * 3 * 2 + 3 * 3)

    def test_with_a_token_every_host_is_answered_fast_so_that_every_page_can_read_it(self) -> None:
        given = self.ask_all(STATUSJOB_TOKEN="secret")
        self.assertEqual(given, 10 * 3 * 3 * 2 + 3 * 3)
        self.assertIn(b"Access-Control-Allow-Origin: *", self.compare(get()))

    def test_a_private_server_gives_no_fast_answers(self) -> None:
        given = self.ask_all(STATUSJOB_TOKEN="secret", STATUSJOB_PRIVATE="true")
        self.assertEqual(given, 0)
        self.assertEqual(len(self.quick.fake.server.ready), 0)
