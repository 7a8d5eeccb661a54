"""Whatever is sent to the routes of webhooks, the answer is in order."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from statusjob.contract.codec import BODY_LIMIT
from tests.helpers.connections import Connection
from tests.helpers.messages import Reply
from tests.helpers.secrets import OTHER_SECRET, SECRET
from tests.helpers.webhook_api import BEGINNING, NOBODY, OTHER_URL, WebhookApiTestCase

#: What takes a body, and what does not; C{{}} stands for an id.
TAKING = (
    ("POST", "/webhooks"),
    ("PATCH", "/webhooks/{}"),
    ("POST", "/webhooks/{}/rotate"),
    ("POST", "/webhooks/{}/test"),
    ("POST", "/webhooks/{}/redeliver"),
)
OTHERS = (
    ("GET", "/webhooks"),
    ("GET", "/webhooks/{}"),
    ("DELETE", "/webhooks/{}"),
    ("GET", "/webhooks/{}/deliveries"),
)
ALLOWED = {
    "/webhooks": "GET, HEAD, OPTIONS, POST",
    "/webhooks/{}": "DELETE, GET, HEAD, OPTIONS, PATCH",
    "/webhooks/{}/rotate": "OPTIONS, POST",
    "/webhooks/{}/test": "OPTIONS, POST",
    "/webhooks/{}/deliveries": "GET, HEAD, OPTIONS",
    "/webhooks/{}/redeliver": "OPTIONS, POST",
}


class ProtocolTests(WebhookApiTestCase):
    """Methods, media types and bodies."""

    def setUp(self) -> None:
        super().setUp()
        self.hook_id = self.hook()["id"]

    def raw(self, method: str, path: str, data: bytes, content_type: str) -> Reply:
        headers = {"Content-Type": content_type}
        return self.ask(self.fake, method, path.format(self.hook_id), data=data, headers=headers)

    def test_another_method_is_answered_with_those_allowed(self) -> None:
        for path, allowed in ALLOWED.items():
            methods = {"GET", "POST", "PUT", "PATCH", "DELETE", "BREW"}
            for method in methods - set(allowed.split(", ")):
                reply = self.ask(self.fake, method, path.format(self.hook_id))
                self.assert_problem(reply, 405, "method-not-allowed")
                self.assertEqual(reply.header("Allow"), allowed)

    def test_options_names_the_methods_too(self) -> None:
        for path, allowed in ALLOWED.items():
            reply = self.ask(self.fake, "OPTIONS", path.format(self.hook_id))
            self.assertEqual((reply.code, reply.body, reply.header("Allow")), (204, b"", allowed))

    def test_head_is_get_without_the_body(self) -> None:
        for method, path in OTHERS:
            if method == "GET":
                shown = self.ask(self.fake, "GET", path.format(self.hook_id))
                reply = self.ask(self.fake, "HEAD", path.format(self.hook_id))
                self.assertEqual((reply.code, reply.body), (200, b""))
                self.assertEqual(reply.header("Content-Type"), shown.header("Content-Type"))

    def test_register_and_unregister_are_not_ids(self) -> None:
        for word, allowed in (("register", "OPTIONS, POST"), ("unregister", "DELETE, OPTIONS")):
            for method in ("GET", "PATCH"):
                reply = self.ask(self.fake, method, f"/webhooks/{word}")
                self.assert_problem(reply, 405, "method-not-allowed")
                self.assertEqual(reply.header("Allow"), allowed)

    def test_only_json_is_accepted(self) -> None:
        for method, path in TAKING:
            for content_type in ("", "text/plain", "application/x-www-form-urlencoded"):
                reply = self.raw(method, path, b"{}", content_type)
                self.assert_problem(reply, 415, "unsupported-media-type")

    def test_a_body_that_is_not_a_json_object_is_refused(self) -> None:
        for method, path in TAKING:
            for data in (
                b"{",
                b"[]",
                b"null",
                b'"x"',
                b"7",
                b"{}{}",
                b"\xff",
                b'{"\xff":1}',
                b'{"name":"\\ud800"}',
                b'{"name":"\\u0000"}',
                b'{"secret":"\\u0000"}',
                b'{"unknown":1}',
                b"[" * 100_000,
                b'{"name":' * 50_000,
                b'{"secret":' + b"9" * 1000 + b"}",
            ):
                reply = self.raw(method, path, data, "application/json")
                self.assert_problem(reply, 400, "invalid-request")
        self.assertEqual(len(self.get("/webhooks")["webhooks"]), 1)

    def test_a_body_that_is_too_large_is_refused_before_it_is_sent(self) -> None:
        for method, path in TAKING:
            connection = Connection(self.fake.server.site)
            connection.ask(
                f"{method} {path.format(self.hook_id)}",
                "Content-Type: application/json",
                f"Content-Length: {BODY_LIMIT + 1}",
            )
            self.assertEqual(connection.answer().code, 413)
            connection.hang_up()


EVENTS = st.sampled_from(["job.progress", "job.completed", "job.error"])
#: Ids that there are; they cannot be guessed, so these stand for them.
JOB, DELIVERY = "job-id", "delivery-id"
#: The members that a body may have, with values that are likely to be accepted.
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "url": st.sampled_from([OTHER_URL, "http://receiver.example/", "https://ü.example/ü?ü#ü"]),
    "events": st.lists(EVENTS, max_size=4),
    "job": st.just(JOB),
    "kind": st.sampled_from(["export", "demo"]),
    "secret": st.sampled_from([SECRET, OTHER_SECRET]),
    "name": st.text(max_size=101),
    "enabled": st.booleans(),
    "delivery": st.just(DELIVERY),
    "failed_since": st.sampled_from([BEGINNING, "0001-01-01T00:00:00+23:59"]),
}
SAYING = {
    "/webhooks": ("url", "events", "job", "kind", "secret", "name"),
    "/webhooks/{}": ("events", "name", "enabled"),
    "/webhooks/{}/rotate": ("secret",),
    "/webhooks/{}/redeliver": ("delivery", "failed_since"),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner | EVENTS, max_size=3)
        | st.dictionaries(st.sampled_from([*MEMBERS]) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


def plausible(path: str) -> st.SearchStrategy[Any]:
    """Generate bodies of which many are valid."""
    names = st.lists(st.sampled_from(SAYING.get(path) or [*MEMBERS]), unique=True, max_size=3)
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {name: MEMBERS[name] for name in chosen + ["url"] * (path == "/webhooks")}
        )
    )


def bodies(path: str) -> st.SearchStrategy[bytes]:
    """Generate bodies, from valid ones to random bytes."""
    wrong = st.dictionaries(st.sampled_from([*MEMBERS]) | st.text(max_size=5), VALUES, max_size=3)
    said = plausible(path) | wrong | VALUES
    return said.map(json.dumps).map(str.encode) | st.binary(max_size=50)


REQUESTS = st.sampled_from([*TAKING, *OTHERS]).flatmap(
    lambda route: st.tuples(st.just(route), bodies(route[1]))
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["limit", "cursor", "state"]) | st.text(max_size=5),
        st.sampled_from(["1", "100", "dead", "sending", "null", f"1732384800000.{NOBODY}"])
        | st.text(max_size=10),
    ),
    max_size=3,
).map(lambda pairs: "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs))


class AnythingTests(WebhookApiTestCase):
    """Random requests to a server that has a job, webhooks and deliveries."""

    def setUp(self) -> None:
        super().setUp()
        self.known = [self.hook()["id"], self.hook(kind="export")["id"]]
        job = self.create(self.fake, kind="export")
        self.receive()
        self.known += [self.hook(job=job["id"])["id"]]
        self.report(job, result="completed")
        self.jobs = [job["id"], self.create(self.fake)["id"]]
        self.delivery = self.deliveries(self.known[0])[0]["id"]

    @given(
        request=REQUESTS,
        id=st.integers(0, 2) | st.text(max_size=40),
        query=st.just("") | QUERIES,
    )
    def test_the_answer_is_never_an_internal_error(
        self, request: tuple[tuple[str, str], bytes], id: int | str, query: str
    ) -> None:
        (method, path), body = request
        known = self.known[id] if isinstance(id, int) else quote(id, safe="")
        body = body.replace(JOB.encode(), self.jobs[0].encode())
        body = body.replace(DELIVERY.encode(), self.delivery.encode())
        reply = self.ask(
            self.fake,
            method,
            f"{path.format(known)}?{query}",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        if reply.code == 200 and method == "DELETE" and isinstance(id, int):
            self.known[id] = self.hook(f"{OTHER_URL}/{known}")["id"]
        if reply.code >= 300:
            self.assertIn(reply.code, (400, 404, 405, 409))
            slug = reply.json["type"].removeprefix("urn:statusjob:")
            self.assert_problem(reply, reply.code, slug)
        for listed in self.get("/webhooks?limit=100")["webhooks"]:
            self.assertLessEqual({"id", "origin", "enabled"}, set(listed))
