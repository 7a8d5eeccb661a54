"""
C{WebhookReceiver} accepts what the Python package C{standardwebhooks} signs. The package for
Node.js is tested by C{tests/end_to_end/interoperate.py}.
"""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from statusjob.contract.jobs import webhook_payload
from tests.helpers.connections import Connection
from tests.helpers.receiver import NOW, PAYLOAD, ReceiverTestCase
from tests.helpers.scripted_server import a_job
from tests.helpers.secrets import OTHER_SECRET, SECRET


def signature(secret: str, body: bytes = PAYLOAD, at: int = NOW) -> str:
    """The signature that the other library makes."""
    return Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())


class OtherLibraryTests(ReceiverTestCase):
    """The other library signs, and a receiver verifies."""

    def send_signed(self, signatures: str, body: bytes = PAYLOAD, *secrets: str) -> Connection:
        """Send a delivery with these signatures to a new receiver."""
        self.events.clear()
        receiver = self.receiver(*secrets)
        return self.send(receiver, body, webhook_signature=signatures.encode())

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
    def test_a_delivery_that_the_library_signed_is_accepted(self, message: str) -> None:
        body = webhook_payload(a_job("completed", message=message))
        self.assertEqual(self.code(self.send_signed(signature(SECRET, body), body)), 204)
        [event] = self.events
        assert event.job is not None
        self.assertEqual(event.job.message, message)

    def test_two_signatures_are_accepted_with_either_secret(self) -> None:
        both = f"{signature(OTHER_SECRET)} {signature(SECRET)}"
        for secret in (SECRET, OTHER_SECRET):
            self.assertEqual(self.code(self.send_signed(both, PAYLOAD, secret)), 204)

    def test_either_signature_is_accepted_with_two_secrets(self) -> None:
        for secret in (SECRET, OTHER_SECRET):
            sent = self.send_signed(signature(secret), PAYLOAD, OTHER_SECRET, SECRET)
            self.assertEqual(self.code(sent), 204)

    def test_a_signature_with_another_secret_or_time_is_refused(self) -> None:
        for wrong in (signature(OTHER_SECRET), signature(SECRET, at=NOW - 1)):
            self.refused(self.send_signed(wrong), 401)
            self.assertEqual(self.events, [])
