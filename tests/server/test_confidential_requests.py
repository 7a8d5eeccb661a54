"""Requests reveal nothing confidential, neither in answers nor in the log."""

from __future__ import annotations

import json
from typing import Any

from statusjob.contract.codec import BODY_LIMIT
from statusjob.server.store import webhook_secrets, webhooks
from statusjob.server.webhooks import registry, urls
from tests.helpers.confidential import URL, Broken, ConfidentialTestCase
from tests.helpers.connections import Connection
from tests.helpers.messages import Reply
from tests.helpers.secrets import OTHER_SECRET, SECRET


class RequestTests(ConfidentialTestCase):
    """Requests that succeed, and requests that fail."""

    def register(self, code: int, path: str = "/webhooks", **members: Any) -> Reply:
        reply = self.post(path, {"url": URL, **members})
        self.assertEqual(reply.code, code, reply.body)
        return reply

    def test_a_webhook_that_is_registered_with_a_job(self) -> None:
        hook = {"url": URL, "secret": SECRET, "name": "a name"}
        for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}):
            reply = self.ask(self.fake, "POST", "/jobs", body={"webhook": hook}, headers=headers)
            self.assertIn(reply.code, (200, 201))
            self.get(reply.json["links"]["self"])
        self.get("/jobs")

    def test_all_requests_about_a_webhook(self) -> None:
        hook = self.register(201, secret=SECRET).json["id"]
        self.register(200, secret=SECRET)
        self.register(200, "/webhooks/register")
        self.patch_hook(hook, name="x", enabled=False)
        self.post(f"/webhooks/{hook}/redeliver", {"failed_since": "2024-11-23T18:00:00Z"})
        for method, path in (("DELETE", "/webhooks/unregister"), ("DELETE", f"/webhooks/{hook}")):
            self.assertEqual(self.ask(self.fake, method, path, body={"url": URL}).code, 200)

    def test_registrations_that_conflict_or_exceed_a_limit(self) -> None:
        self.register(201, secret=SECRET)
        self.register(409, secret=OTHER_SECRET)
        self.register(409, events=["job.error"])
        self.register(200, "/webhooks/register", secret=SECRET)
        self.register(409, "/webhooks/register", secret=OTHER_SECRET)
        self.patch(webhooks, "count", lambda tx, job_id: 1_000)
        self.register(409, kind="export")

    def test_invalid_urls(self) -> None:
        for url in (
            URL.replace("http:", "ftp:"),
            URL.replace("http:", ""),
            URL.replace("receiver.example", ""),
            URL.replace("receiver.example", "receiver.example:99999"),
            URL.replace("receiver.example", "receiver.example:qu3ry"),
            URL.replace("receiver.example", "[::1"),
            URL.replace("receiver.example", "a..b"),
            URL.replace("receiver.example", "xn--ü"),
            URL + " ",
            URL + "\x00",
            URL + "\r\nX: y",
            URL + "x" * 2048,
            "http:///" + URL + "@",
        ):
            for path in ("/webhooks", "/webhooks/register"):
                self.register(400, path, url=url)
            self.ask(self.fake, "POST", "/jobs", body={"webhook": {"url": url}})
            self.ask(self.fake, "DELETE", "/webhooks/unregister", body={"url": url})

    def test_hosts_that_do_not_exist_or_are_not_allowed(self) -> None:
        for addresses in ([], ["10.0.0.1"]):
            self.fake.names["receiver.example"] = addresses
            for path in ("/webhooks", "/webhooks/register"):
                self.register(400, path, secret=SECRET)
        self.fake.names = Broken()
        # Whether it exists cannot be said at the moment.
        self.register(201)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_invalid_secrets(self) -> None:
        for secret in (SECRET[6:], SECRET[:20], SECRET + "!", SECRET * 9, SECRET.upper()):
            self.register(400, secret=secret)
            self.register(400, "/webhooks/register", secret=secret)
            hook = self.register(201, url=URL.replace("//", f"//{len(self.answers)}")).json["id"]
            reply = self.post(f"/webhooks/{hook}/rotate", {"secret": secret})
            self.assertEqual(reply.code, 400)

    def test_members_of_wrong_types(self) -> None:
        for members in (
            {"url": [URL]},
            {"url": {URL: SECRET}},
            {"secret": [SECRET]},
            {"kind": URL},
            {"name": URL * 2},
            {"name": [SECRET]},
            {"enabled": URL},
            {"events": URL},
            {"events": {URL: SECRET}},
            {"url": URL, "job": "x", "kind": "y"},
        ):
            self.register(400, **members)
        for path in ("rotate", "test", "redeliver"):
            reply = self.post(
                f"/webhooks/wh_{'0' * 32}/{path}", {"delivery": URL, "secret": [SECRET]}
            )
            self.assertEqual(reply.code, 400)
        self.assertEqual(self.ask(self.fake, "GET", f"/webhooks?cursor={SECRET}").code, 400)

    def test_invalid_bodies(self) -> None:
        body = json.dumps({"url": URL, "secret": SECRET}).encode()
        for data, content_type, code in (
            (body, "text/plain", 415),
            (body[:-1], "application/json", 400),
            (body + b"x", "application/json", 400),
            (body.replace(b"hook", b"\xff"), "application/json", 400),
            (body.replace(b"hook", b"\\ud800"), "application/json", 400),
        ):
            reply = self.ask(
                self.fake,
                "POST",
                "/webhooks",
                data=data,
                headers={"Content-Type": content_type},
            )
            self.assertEqual(reply.code, code)
        connection = Connection(self.fake.server.site)
        connection.ask("POST /webhooks", body=body + b" " * BODY_LIMIT)
        answer = connection.answer()
        self.assertEqual(answer.code, 413)
        self.answers.append(answer.body.decode())
        connection.hang_up()

    def test_exceptions_in_the_server(self) -> None:
        hook = self.register(201, secret=SECRET).json["id"]
        for owner, name in (
            (webhooks, "find_by_url"),
            (registry, "check"),
            (urls, "parse_url"),
            (self.fake.server.api.registrations, "add"),
        ):
            patched = self.patch(owner, name, self.mistake)
            self.register(500, secret=SECRET)
            patched.restore()
        self.patch(webhook_secrets, "rotate", self.mistake)
        rotating = self.post(f"/webhooks/{hook}/rotate", {"secret": OTHER_SECRET})
        self.assertEqual(rotating.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 5)
        self.assertEqual(self.logged("failed: 'POST' '/webhooks'"), 4)
        self.assertEqual(self.logged(f"failed: 'POST' '/webhooks/{hook}/rotate'"), 1)

    def test_a_database_that_fails(self) -> None:
        hook = self.register(201, secret=SECRET).json["id"]
        self.break_database("DROP TABLE old_secrets", 500, lambda: self.rotating(hook).code)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.break_database(
            "PRAGMA query_only = ON", 503, lambda: self.register(503, kind="export").code
        )
        self.break_database("PRAGMA query_only = OFF", 201, lambda: 201)

    def rotating(self, hook: str) -> Reply:
        return self.post(f"/webhooks/{hook}/rotate", {"secret": OTHER_SECRET})

    def break_database(self, sql: str, code: int, ask: Any) -> None:
        """Run a statement on the database, and make a request."""
        store = self.fake.server.store
        # A write begins with a lock, which a database that may only be read does not give. The
        # database is in memory, so that its reader and its writer are the same connection.
        run = store.read if sql.startswith("PRAGMA") else store.write
        self.successResultOf(run(lambda tx: tx.execute(sql)))
        self.assertEqual(ask(), code)

    @staticmethod
    def mistake(*_: object, **__: object) -> Any:
        raise ZeroDivisionError
