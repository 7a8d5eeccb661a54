"""Signatures: the published test vector, another implementation, and messages to refuse."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from statusjob.contract.signing import (
    BadSecret,
    GetHeaders,
    Message,
    VerificationFailed,
    Verifier,
    check_secret,
    headers,
    new_secret,
    sign,
)
from tests.helpers.signing_vector import BODY, ID, SECRET, SIGNATURE, TIMESTAMP

OTHER = new_secret(bytes(range(32)))
header_values = st.lists(st.binary(max_size=60), max_size=3)


def given_headers(**values: bytes | list[bytes] | None) -> GetHeaders:
    """The headers of the test vector, some of them replaced, or left out by C{None}."""
    all_values: dict[str, bytes | list[bytes] | None] = {
        "webhook_id": ID.encode(),
        "webhook_timestamp": b"%d" % TIMESTAMP,
        "webhook_signature": SIGNATURE.encode(),
        **values,
    }
    carried = Headers()
    for name, value in all_values.items():
        if value is not None:
            listed = value if isinstance(value, list) else [value]
            carried.setRawHeaders(name.replace("_", "-").encode(), listed)
    return carried.getRawHeaders


class SecretTests(SynchronousTestCase):
    """Which texts are secrets."""

    @given(st.binary(min_size=24, max_size=64))
    def test_a_new_secret_is_accepted(self, entropy: bytes) -> None:
        secret = new_secret(entropy)
        check_secret(secret)
        self.assertTrue(secret.startswith("whsec_"))

    def test_too_little_and_too_much_entropy_are_refused(self) -> None:
        for size in (0, 23, 65):
            self.assertRaises(BadSecret, new_secret, bytes(size))

    def test_a_malformed_secret_is_refused_and_never_shown(self) -> None:
        long_enough = "A" * 44
        for text in (
            "",
            long_enough,
            "whsec_",
            "whsec_AAAA",
            "WHSEC_" + long_enough,
            "whsec_!" + long_enough,
            "whsec_\u00e4" + long_enough,
            "whsec_" + b64encode(bytes(65)).decode(),
            SECRET + "\n",
        ):
            error = self.assertRaises(BadSecret, check_secret, text)
            self.assertIsInstance(error, ValueError)
            self.assertNotIn(long_enough, str(error))
            self.assertIsNone(error.__cause__)

    @given(st.text())
    def test_any_other_text_is_a_bad_secret(self, text: str) -> None:
        self.assertRaises(BadSecret, check_secret, text)


class SigningTests(SynchronousTestCase):
    """The headers of a sender."""

    def test_the_signature_of_the_published_vector_is_made(self) -> None:
        self.assertEqual(sign(SECRET, ID, TIMESTAMP, BODY), SIGNATURE)

    def test_the_three_headers_are_made(self) -> None:
        self.assertEqual(
            headers([SECRET], ID, TIMESTAMP, BODY),
            {
                b"webhook-id": ID.encode(),
                b"webhook-timestamp": b"1614265330",
                b"webhook-signature": SIGNATURE.encode(),
            },
        )

    def test_a_rotation_signs_with_every_secret(self) -> None:
        signatures = headers([OTHER, SECRET], ID, TIMESTAMP, BODY)[b"webhook-signature"]
        self.assertEqual(signatures.decode(), f"{sign(OTHER, ID, TIMESTAMP, BODY)} {SIGNATURE}")

    @given(st.binary(min_size=24, max_size=64), st.text(st.characters(codec="utf-8")))
    def test_the_standardwebhooks_package_makes_the_same_signature(
        self, entropy: bytes, body: str
    ) -> None:
        secret = new_secret(entropy)
        theirs = Webhook(secret).sign(ID, datetime.fromtimestamp(TIMESTAMP, UTC), body)
        self.assertEqual(sign(secret, ID, TIMESTAMP, body.encode()), theirs)

    def test_the_standardwebhooks_package_accepts_our_headers(self) -> None:
        now = int(datetime.now(UTC).timestamp())
        made = headers([OTHER, SECRET], ID, now, BODY)
        carried = {name.decode(): value.decode() for name, value in made.items()}
        self.assertEqual(Webhook(SECRET).verify(BODY, carried), {"test": 2432232314})


class VerifierTests(SynchronousTestCase):
    """The decisions of a receiver."""

    def refuse(
        self,
        get_headers: GetHeaders,
        *,
        body: bytes = BODY,
        now: float = TIMESTAMP,
        secret: str = SECRET,
    ) -> str:
        """Expect a refusal, and return its reason."""
        verify = Verifier(secret).verify
        error: VerificationFailed
        error = self.assertRaises(VerificationFailed, verify, body, get_headers, now)
        return error.reason

    def test_the_published_vector_is_genuine(self) -> None:
        message = Verifier(SECRET).verify(BODY, given_headers(), TIMESTAMP + 10)
        self.assertEqual(message, Message(ID, TIMESTAMP))

    @given(
        st.binary(min_size=24, max_size=64),
        st.binary(),
        st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True),
        st.integers(0, 10**12 - 1),
    )
    def test_what_was_signed_is_genuine(
        self, entropy: bytes, body: bytes, message_id: str, timestamp: int
    ) -> None:
        secret = new_secret(entropy)
        carried = headers([secret], message_id, timestamp, body)
        message = Verifier(secret).verify(body, lambda name: [carried[name]], timestamp)
        self.assertEqual(message, Message(message_id, timestamp))

    def test_any_of_several_secrets_is_enough(self) -> None:
        Verifier(OTHER, SECRET).verify(BODY, given_headers(), TIMESTAMP)

    def test_a_match_is_found_among_other_signatures(self) -> None:
        noise = b" v1,AAAA garbage v1,a,b v1,abc v2,zz , v1,\xff  "
        carried = given_headers(webhook_signature=noise + SIGNATURE.encode() + noise)
        Verifier(SECRET).verify(BODY, carried, TIMESTAMP)

    def test_a_signature_of_another_version_is_ignored(self) -> None:
        carried = given_headers(webhook_signature=SIGNATURE.replace("v1", "v2").encode())
        self.assertEqual(self.refuse(carried), "no signature matches")

    def test_another_body_secret_id_or_time_is_refused(self) -> None:
        for reason in (
            self.refuse(given_headers(), body=b'{"test":2432232314}'),
            self.refuse(given_headers(), secret=OTHER),
            self.refuse(given_headers(webhook_id=b"msg_other")),
            self.refuse(given_headers(webhook_timestamp=b"1614265331")),
        ):
            self.assertEqual(reason, "no signature matches")

    def test_a_missing_header_is_refused(self) -> None:
        for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
            self.assertIn("missing", self.refuse(given_headers(**{name: None})))

    def test_a_repeated_header_is_refused_even_if_one_is_right(self) -> None:
        for name, value in (
            ("webhook_id", ID),
            ("webhook_timestamp", str(TIMESTAMP)),
            ("webhook_signature", SIGNATURE),
        ):
            carried = given_headers(**{name: [value.encode(), value.encode()]})
            self.assertIn("repeated", self.refuse(carried))

    def test_malformed_ids_and_times_are_refused(self) -> None:
        for malformed in (b"", b"a.b", b"a b", b"\xff", b"x" * 129):
            self.assertIn("webhook-id", self.refuse(given_headers(webhook_id=malformed)))
        for malformed in (b"", b"1614265330.0", b"1614_265330", b"-1", b"9" * 13, b"1e9"):
            carried = given_headers(webhook_timestamp=malformed)
            self.assertIn("webhook-timestamp is malformed", self.refuse(carried))

    def test_a_message_too_old_or_from_the_future_is_refused(self) -> None:
        Verifier(SECRET).verify(BODY, given_headers(), TIMESTAMP + 300)
        self.assertIn("-301 s", self.refuse(given_headers(), now=TIMESTAMP + 301))
        self.assertIn("+301 s", self.refuse(given_headers(), now=TIMESTAMP - 301))

    def test_the_tolerance_can_be_chosen(self) -> None:
        Verifier(SECRET, tolerance=1000).verify(BODY, given_headers(), TIMESTAMP + 999)

    def test_only_a_genuine_sender_learns_how_far_off_it_is(self) -> None:
        self.assertEqual(
            self.refuse(given_headers(), secret=OTHER, now=TIMESTAMP + 999),
            "no signature matches",
        )

    @given(st.binary(), header_values, header_values, header_values)
    def test_no_message_raises_another_exception(
        self, body: bytes, ids: list[bytes], times: list[bytes], signatures: list[bytes]
    ) -> None:
        carried = {
            b"webhook-id": ids,
            b"webhook-timestamp": times,
            b"webhook-signature": signatures,
        }
        self.assertRaises(VerificationFailed, Verifier(SECRET).verify, body, carried.get, 0.0)

    @given(st.binary())
    def test_no_signature_header_raises_another_exception(self, signatures: bytes) -> None:
        carried = {
            b"webhook-id": [ID.encode()],
            b"webhook-timestamp": [b"%d" % TIMESTAMP],
            b"webhook-signature": [signatures],
        }
        self.assertRaises(VerificationFailed, Verifier(SECRET).verify, BODY, carried.get, 0.0)

    def test_a_verifier_needs_a_good_secret(self) -> None:
        self.assertRaises(BadSecret, Verifier)
        self.assertRaises(BadSecret, Verifier, SECRET, "plain")

    def test_it_never_shows_a_secret(self) -> None:
        self.assertEqual(repr(Verifier(SECRET, OTHER)), "<Verifier of 2 secret(s)>")
