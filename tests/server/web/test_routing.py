"""How routes are declared: what they demand, how they are counted and logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyRequest

from statusjob.server.web.access import Authority
from statusjob.server.web.routing import NO_ROUTE, OPEN, ROUTES, WATCH, WRITE, app
from tests.helpers.messages import Reply
from tests.helpers.servers import InMemoryServer, ServerTestCase

TOKEN = "correct-horse"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
FOREIGN = {"Origin": "http://evil.example"}
#: The only routes that do not demand the authority to write.
OTHERS = {
    "GET /status": OPEN,
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /jobs/<job_id>": WATCH,
    "GET /jobs/<job_id>/status": WATCH,
    "GET /jobs/<job_id>/operation": WATCH,
    "GET /jobs/<job_id>/events": WATCH,
}
#: The only route whose query decides.
BY_QUERY = "GET /events"


class DeclarationTests(ServerTestCase):
    """Every route declares what it demands."""

    def test_every_route_of_the_app_was_declared_under_a_name_of_its_own(self) -> None:
        rules = list(app.url_map.iter_rules())
        self.assertEqual(sorted(rule.endpoint for rule in rules), sorted(ROUTES))
        self.assertEqual(set(app.endpoints), set(ROUTES))

    def test_every_route_demands_the_authority_to_write_except_these(self) -> None:
        declared = {name: needs for name, needs in ROUTES.items() if name != BY_QUERY}
        self.assertEqual(declared, {**dict.fromkeys(declared, WRITE), **OTHERS})

    def test_named_jobs_are_watched_but_kinds_and_all_jobs_are_listed(self) -> None:
        needs = ROUTES[BY_QUERY]
        assert not isinstance(needs, Authority)
        job = self.create(self.serve())["id"]
        for args, authority in (
            ({b"job": [job.encode()]}, WATCH),
            ({b"kind": [b"a"]}, WRITE),
            ({}, WRITE),
        ):
            request = DummyRequest([b""])
            request.args = args
            self.assertEqual(needs(cast(Request, request)), authority)


class AuthorityTests(ServerTestCase):
    """Every route, asked with every kind of authority, by every kind of server."""

    def codes(self, fake: InMemoryServer, headers: Mapping[str, str]) -> dict[str, int]:
        """The status code with which each route answers."""
        return {name: reply.code for name, reply in self.replies(fake, headers).items()}

    def replies(self, fake: InMemoryServer, headers: Mapping[str, str]) -> dict[str, Reply]:
        """What each route answers."""
        given = {"job_id": self.create(fake, headers=BEARER)["id"], "webhook_id": "wh_" + "0" * 32}
        # A stream of a job that has ended ends at once.
        self.ask(fake, "DELETE", f"/jobs/{given['job_id']}", headers=BEARER)
        replies = {}
        for rule in app.url_map.iter_rules():
            # The stream of many jobs would not end; HEAD is answered with its beginning.
            method = "HEAD" if rule.endpoint == BY_QUERY else rule.endpoint.split(" ")[0]
            adapter = app.url_map.bind("localhost")
            path = adapter.build(rule.endpoint, {name: given[name] for name in rule.arguments})
            replies[rule.endpoint] = self.ask(fake, method, path, headers=headers)
        return replies

    def assert_refused(
        self,
        variables: Mapping[str, Any],
        headers: Mapping[str, str],
        code: int,
        refused: set[Authority],
    ) -> None:
        """Just the routes that demand one of these authorities answer with this code."""
        codes = self.codes(self.serve(**variables), headers)
        self.assertEqual(
            {name for name, each in codes.items() if each == code},
            {name for name in ROUTES if OTHERS.get(name, WRITE) in refused},
        )
        self.assertEqual({401, 403, 500} & (set(codes.values()) - {code}), set())

    def create(self, fake: InMemoryServer, *, headers: Any = None, **members: Any) -> Any:
        reply = self.ask(fake, "POST", "/jobs", body=members, headers=headers)
        self.assertEqual(reply.code, 201)
        return reply.json

    def test_without_a_token_only_foreign_pages_are_refused_and_only_writing(self) -> None:
        self.assert_refused({}, {}, 403, set())
        self.assert_refused({}, FOREIGN, 403, {WRITE})

    def test_with_a_token_writing_needs_it(self) -> None:
        token = {"STATUSJOB_TOKEN": TOKEN}
        self.assert_refused(token, {}, 401, {WRITE})
        self.assert_refused(token, FOREIGN, 401, {WRITE})
        self.assert_refused(token, {"Authorization": "Bearer wrong"}, 401, {WRITE})
        self.assert_refused(token, {**BEARER, **FOREIGN}, 401, set())

    def test_on_a_private_server_watching_needs_it_too(self) -> None:
        private = {"STATUSJOB_TOKEN": TOKEN, "STATUSJOB_PRIVATE": "on"}
        self.assert_refused(private, {}, 401, {WATCH, WRITE})
        self.assert_refused(private, BEARER, 401, set())

    def test_no_answer_may_be_kept_by_a_cache_that_others_use(self) -> None:
        for name, reply in self.replies(self.serve(), {}).items():
            control = reply.header("Cache-Control") or ""
            self.assertTrue(control.startswith(("no-store", "private, no-cache")), (name, control))


class CountTests(ServerTestCase):
    """Answers are counted by route and status code."""

    def test_every_answer_is_counted_once(self) -> None:
        fake = self.serve()
        job = self.create(fake)["id"]
        for method, path in (
            ("GET", "/status"),
            ("HEAD", "/status"),
            ("GET", f"/jobs/{job}"),
            ("GET", f"/jobs/{job}x"),
            ("PATCH", f"/jobs/{job}"),
            ("GET", "/nothing"),
            ("PUT", "/jobs"),
            ("OPTIONS", "/jobs"),
        ):
            self.ask(fake, method, path)
        self.ask(fake, "GET", "/status", headers={"If-None-Match": "*"})
        self.ask(fake, "GET", "/status", headers={"Host": "evil.example"})
        self.assertEqual(
            fake.server.api.answered,
            {
                ("POST /jobs", 201): 1,
                ("GET /status", 200): 2,
                ("GET /status", 304): 1,
                ("GET /jobs/<job_id>", 200): 1,
                ("GET /jobs/<job_id>", 404): 1,
                ("PATCH /jobs/<job_id>", 200): 1,
                (NO_ROUTE, 404): 1,
                (NO_ROUTE, 405): 1,
                (NO_ROUTE, 204): 1,
                (NO_ROUTE, 421): 1,
            },
        )

    def test_answers_are_logged_only_where_that_is_wanted(self) -> None:
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        fake = self.serve()
        self.ask(fake, "GET", "/status")
        self.assertEqual([each for each in events if "route" in each], [])
        fake.server.api.log_answers = True
        self.ask(fake, "GET", "/nothing")
        self.ask(fake, "GET", "/status")
        logged = [each for each in events if "route" in each]
        self.assertEqual(
            [(each["log_level"], each["route"], each["code"]) for each in logged],
            [(LogLevel.debug, NO_ROUTE, 404), (LogLevel.debug, "GET /status", 200)],
        )
