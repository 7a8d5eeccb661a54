"""C{WebhookReceiver}: arbitrary bytes from strangers and from senders that know the secret."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec import json

from statusjob import EventType, Status, WebhookEvent
from statusjob.client.http.answers import read_event_type
from statusjob.contract import codec
from statusjob.contract.signing import headers
from statusjob.jobs import EVENT_BY_RESULT, TEST_EVENT
from tests.helpers.bodies import json_values, nested
from tests.helpers.messages import Reply
from tests.helpers.receiver import NOW, PAYLOAD, ReceiverTestCase
from tests.helpers.secrets import OTHER_SECRET, SECRET

GENUINE = headers([SECRET], "msg_1", NOW, PAYLOAD)

#: Anything that fits on one line, and lines that are longer than any server accepts.
lines = st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))
huge = st.sampled_from([1000, 5000, 15_000, 70_000]).map(lambda size: b"x" * size)
tokens = st.from_regex(rb"[A-Za-z!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
others = st.sampled_from([b"", b"100-continue", b"close"]) | lines | huge
values = st.sampled_from(sorted(GENUINE.values())) | others
names = (
    st.sampled_from(sorted(GENUINE))
    | st.sampled_from(sorted(name.title() for name in GENUINE))
    | st.sampled_from([b"content-encoding", b"expect", b"connection", b"authorization"])
    | tokens
)
all_headers = st.lists(st.tuples(names, values), max_size=8) | st.lists(
    st.tuples(lines, lines), max_size=3
)
#: Content types for which Twisted itself reads the body, before it calls any resource. For some
#: other ones, which contain a vertical tab, it closes the connection.
forms = st.sampled_from(
    [
        b"application/x-www-form-urlencoded",
        b"multipart/form-data",
        b"multipart/form-data; boundary=x",
        b"multipart/form-data; boundary=\xff",
        b"application/json; charset=\xff",
    ]
)

#: Values of the members of an update, both valid and malformed.
fragments = st.sampled_from(
    [
        b"null",
        b"true",
        b"0",
        b"-1",
        b"1.5",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"1e308",
        b"9" * 30,
        b"9" * 400,
        b'""',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"\\u0000"',
        b'"%b"' % (b"x" * 5000),
        b"{}",
        b"[]",
        b'{"code":5}',
        b'"0001-01-01T00:00:00+23:59"',
        b'"9999-12-31T23:59:59-23:59"',
        b'"webhook.test"',
        b'"job.progress"',
        b'"pending"',
        nested(40),
        nested(900),
        nested(10_000),
        b"{",
    ]
) | json_values.map(json.encode)
update = json.decode(PAYLOAD)
top_level, of_job = sorted(update), sorted(update["job"])


@st.composite
def updates(draw: Any) -> bytes:
    """Payloads in which some members are missing, repeated, new or of another type."""

    def members(given: dict[str, Any], names: list[str]) -> list[tuple[str, bytes]]:
        kept = [(name, json.encode(value)) for name, value in given.items() if name != "job"]
        changed = draw(st.dictionaries(st.sampled_from([*names, "new"]), fragments, max_size=2))
        kept = [(name, changed.pop(name, value)) for name, value in kept]
        kept += changed.items()
        if draw(st.integers(0, 9)) == 0:
            kept.pop(draw(st.integers(0, len(kept) - 1)))
        return kept

    outer = members(update, top_level)
    if "job" not in dict(outer) and draw(st.booleans()):
        outer.append(("job", write(members(update["job"], of_job))))
    return write(outer)


def write(members: list[tuple[str, bytes]]) -> bytes:
    """Write a JSON object, if the values of its members are JSON."""
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), value) for name, value in members)


class StrangerTests(ReceiverTestCase):
    """Senders that know no secret are refused, and nothing that they send is passed on."""

    def refuse(
        self, sent: list[tuple[bytes, bytes]], body: bytes, method: bytes = b"POST"
    ) -> None:
        """
        Send a delivery that cannot be genuine; check that it is refused.

        Twisted itself answers a request that is incomplete or is not HTTP.
        """
        events: list[WebhookEvent] = []
        receiver = self.receiver(OTHER_SECRET, SECRET, on_update=events.append)
        answers = self.send_raw(receiver, method + b" /", sent, body).answers()
        self.assertEqual([each for each in answers if each.code >= 500], [])
        self.assertEqual([each for each in answers if 200 <= each.code < 300], [])
        self.assertEqual(events, [])

    @given(all_headers, st.binary(max_size=100))
    def test_any_headers_are_refused(self, sent: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.refuse(sent, body)

    @given(st.lists(st.sampled_from(sorted(GENUINE.items())), max_size=6), st.binary(max_size=100))
    def test_genuine_headers_of_another_body_are_refused(
        self, sent: list[tuple[bytes, bytes]], body: bytes
    ) -> None:
        self.refuse(sent, body)
        self.refuse([*GENUINE.items()], body)

    @given(st.sampled_from(sorted(GENUINE)), values, st.booleans())
    def test_one_genuine_header_replaced_or_repeated_is_refused(
        self, name: bytes, value: bytes, repeated: bool
    ) -> None:
        if value.strip() == GENUINE[name]:
            return
        rest = [(each, GENUINE[each]) for each in GENUINE if repeated or each != name]
        self.refuse([*rest, (name, value)], PAYLOAD)
        self.refuse([(name, value), *rest], PAYLOAD)

    @given(forms, st.binary(max_size=200) | st.just(b"--x\r\n\r\n\r\n--x--"))
    def test_any_form_is_refused(self, content_type: bytes, body: bytes) -> None:
        self.refuse([*GENUINE.items(), (b"content-type", content_type)], body)

    @given(tokens)
    def test_any_method_is_refused(self, method: bytes) -> None:
        self.refuse([*GENUINE.items()], b"{}", method)


class KnownSenderTests(ReceiverTestCase):
    """Senders that know a secret learn what is wrong, and nothing malformed is passed on."""

    def deliver(self, body: bytes, secret: str) -> tuple[Reply, list[WebhookEvent]]:
        """Deliver to a receiver with two secrets; check the answer and the events."""
        events: list[WebhookEvent] = []
        receiver = self.receiver(OTHER_SECRET, SECRET, on_update=events.append)
        answer = self.send(receiver, body, secret=secret).answer()
        self.assertIn(answer.code, (204, 400), answer.body)
        if answer.code == 400:
            self.reason(answer, 400)
            self.assertEqual(events, [])
        elif not events:
            self.assertNotIn(read_event_type(body), (None, *EventType))
        for event in events:
            self.check(event)
        return answer, events

    def check(self, event: WebhookEvent) -> None:
        """Check that an event is as its documentation describes it."""
        self.assertIsInstance(event.result, Status)
        self.assertTrue(math.isfinite(event.timestamp) and event.timestamp >= 0)
        self.assertIn(event.type, (None, EVENT_BY_RESULT[event.result]))
        job = event.job
        if job is None:
            return
        self.assertIs(job.result, event.result)
        self.assertTrue(isinstance(job.id, str) and job.id)
        self.assertTrue(1 <= job.version <= 2**53)
        self.assertTrue(job.progress is None or 0 <= job.progress <= 1)
        self.assertTrue(all(map(math.isfinite, (job.created_at, job.updated_at))))
        self.assertFalse(codec.is_too_deep(job.output) or codec.is_too_deep(job.metadata))
        # The event can be shown, and the job can be stored.
        self.assertIn(job.id, repr(event))
        json.encode(job)

    @given(st.binary(max_size=200), st.sampled_from([SECRET, OTHER_SECRET]))
    @example(b"", SECRET)
    @example(b"\xef\xbb\xbf" + PAYLOAD, SECRET)
    @example(nested(200_000), SECRET)
    @example(b"[" * 200_000, SECRET)
    @example(b'{"type":%b}' % nested(200_000), SECRET)
    @example(b'{"type":"webhook.test","more":%b}' % nested(200_000), SECRET)
    def test_any_bytes_are_acknowledged_or_refused(self, body: bytes, secret: str) -> None:
        self.deliver(body, secret)

    @given(json_values, st.sampled_from([SECRET, OTHER_SECRET]))
    def test_any_json_is_acknowledged_or_refused(self, value: Any, secret: str) -> None:
        self.deliver(json.encode(value), secret)

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(updates(), st.sampled_from([SECRET, OTHER_SECRET]))
    def test_any_update_is_acknowledged_or_refused(self, body: bytes, secret: str) -> None:
        self.deliver(body, secret)

    def test_a_genuine_update_is_passed_on(self) -> None:
        for secret in (SECRET, OTHER_SECRET):
            answer, events = self.deliver(PAYLOAD, secret)
            self.assertEqual((answer.code, len(events)), (204, 1))

    def test_updates_that_contradict_themselves_are_refused(self) -> None:
        def changed(**members: Any) -> bytes:
            return json.encode({**update, **members})

        for body in (
            changed(type=EventType.ERROR),
            changed(result=Status.ERROR, type=EventType.ERROR),
            changed(job={**update["job"], "result": "pending"}),
            changed(type=EventType.PROGRESS, result=Status.PENDING),
            b'{"result":"pending","timestamp":1,"type":"job.completed"}',
        ):
            answer, _ = self.deliver(body, SECRET)
            self.assertIn("contradict each other", self.reason(answer, 400))

    def test_values_out_of_range_are_refused(self) -> None:
        for members in (
            {"version": 0},
            {"version": -1},
            {"version": 2**53 + 1},
            {"version": 10**30},
            {"id": ""},
            {"id": "x" * 101},
            {"id": "\0"},
            {"progress": 1.5},
            {"output": json.decode(nested(40))},
            {"metadata": {"deep": json.decode(nested(40))}},
        ):
            job = {**update["job"], **members}
            self.assertEqual(
                self.deliver(json.encode({**update, "job": job}), SECRET)[0].code, 400
            )
        for timestamp in (b"-1", b"253402300800000", b"1e308", b"1e999", b"NaN"):
            body = b'{"result":"completed","timestamp":%b}' % timestamp
            self.assertEqual(self.deliver(body, SECRET)[0].code, 400)

    def test_a_test_event_may_have_any_other_members(self) -> None:
        body = json.encode({"type": TEST_EVENT, "result": 5, "job": [], "timestamp": None})
        answer, events = self.deliver(body, OTHER_SECRET)
        self.assertEqual((answer.code, events), (204, []))
