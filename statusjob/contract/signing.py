"""
Signatures of webhooks by Standard Webhooks: version C{v1}, HMAC-SHA256.

Pure: random bytes and times are arguments. A sender calls L{headers}, a receiver keeps a
L{Verifier}. While a secret is being rotated, both may have several secrets: the sender signs with
all of them, and one match is enough. The signatures work with the libraries for
U{https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md}.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

#: The bytes of a secret: the recommended number, and the limits of Standard Webhooks.
SECRET_BYTES = 32
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
#: The seconds by which a timestamp may be too early or too late.
TOLERANCE = 300.0

_PREFIX = "whsec_"
_VERSION = b"v1"
#: More signatures in one header are ignored; a rotation needs two.
_MAX_SIGNATURES = 16
_ID = re.compile(rb"\A[A-Za-z0-9_-]{1,128}\Z")
_TIMESTAMP = re.compile(rb"\A[0-9]{1,12}\Z")
_HEADERS = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")

#: Looks up all values of a header, as C{request.requestHeaders.getRawHeaders} does.
GetHeaders = Callable[[bytes], Sequence[bytes] | None]


class BadSecret(ValueError):
    """A text is not the secret of a webhook. The message says why, and never shows the text."""


class VerificationFailed(Exception):
    """
    A message is forged, stale or malformed.

    @ivar reason: the reason. It is safe to show it to the sender: only a sender that knows the
        secret learns how wrong its clock is.
    """

    def __init__(self, reason: str) -> None:
        """
        @param reason: the reason, safe to show to the sender.
        """
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """
    The signed headers of a verified message.

    @ivar id: the id of the delivery, the same in all attempts.
    @ivar timestamp: the time of this attempt, in seconds since the epoch.
    """

    id: str
    timestamp: int


def new_secret(entropy: bytes) -> str:
    """
    Make a secret from random bytes.

    @param entropy: L{MIN_SECRET_BYTES} to L{MAX_SECRET_BYTES} random bytes; L{SECRET_BYTES} are
        recommended.
    @return: C{whsec_} and the base64 of these bytes.
    @raise BadSecret: if there are fewer or more bytes.
    """
    secret = _PREFIX + b64encode(entropy).decode("ascii")
    check_secret(secret)
    return secret


def check_secret(text: str) -> None:
    """
    Check that a text has the form of a secret: C{whsec_} and the base64 of 24 to 64 bytes.

    @param text: the text.
    @raise BadSecret: if it has not.
    """
    _key(text)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """
    Sign one attempt.

    @param secret: the secret.
    @param message_id: the id of the delivery, in ASCII.
    @param timestamp: the time of the attempt, in seconds since the epoch.
    @param body: the body to send.
    @return: the signature, such as C{v1,g0hM9SsE...}.
    @raise BadSecret: if C{secret} is malformed.
    """
    signed = _signed(message_id.encode("ascii"), b"%d" % timestamp, body)
    return "v1," + b64encode(_mac(_key(secret), signed)).decode("ascii")


def headers(
    secrets: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> dict[bytes, bytes]:
    """
    Make the three headers of one attempt.

    @param secrets: the valid secrets, the newest first: one, or several during a rotation.
    @param message_id: the id of the delivery, in ASCII.
    @param timestamp: the time of the attempt, in seconds since the epoch.
    @param body: the body to send.
    @return: the values of the headers, by their lower-case names.
    @raise BadSecret: if one of C{secrets} is malformed.
    """
    signatures = " ".join(sign(each, message_id, timestamp, body) for each in secrets)
    values = (message_id.encode("ascii"), b"%d" % timestamp, signatures.encode("ascii"))
    return dict(zip(_HEADERS, values, strict=True))


class Verifier:
    """
    Tells genuine messages from forged ones.

    It is strict: each of the three headers must be there exactly once. The signature is checked
    before the timestamp.
    """

    def __init__(self, *secrets: str, tolerance: float = TOLERANCE) -> None:
        """
        @param secrets: the secrets of the webhook. A message signed with any of them is genuine.
        @param tolerance: the seconds by which a timestamp may be too early or too late.
        @raise BadSecret: if no secret is given, or one is malformed.
        """
        if not secrets:
            raise BadSecret("a verifier needs at least one secret")
        self._keys = [_key(each) for each in secrets]
        self._tolerance = tolerance

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._keys)} secret(s)>"

    def verify(self, body: bytes, get_headers: GetHeaders, now: float) -> Message:
        """
        Verify one message.

        @param body: the body exactly as it was received.
        @param get_headers: returns all values of a header, or C{None}.
        @param now: the time in seconds since the epoch.
        @return: the signed headers.
        @raise VerificationFailed: if the message is forged, stale or malformed. No other
            exception is raised, whatever was sent.
        """
        message_id, timestamp, signatures = (_single_value(name, get_headers) for name in _HEADERS)
        if not _ID.match(message_id):
            raise VerificationFailed("webhook-id is malformed")
        if not _TIMESTAMP.match(timestamp):
            raise VerificationFailed("webhook-timestamp is malformed")
        if not self._has_match(_signed(message_id, timestamp, body), signatures):
            raise VerificationFailed("no signature matches")
        skew = int(timestamp) - now
        if not abs(skew) <= self._tolerance:
            raise VerificationFailed(f"webhook-timestamp is {skew:+.0f} s off")
        return Message(message_id.decode("ascii"), int(timestamp))

    def _has_match(self, signed: bytes, signatures: bytes) -> bool:
        """Whether a signature matches. All are compared, so that the time does not tell which."""
        expected = [_mac(key, signed) for key in self._keys]
        genuine = False
        for each in signatures.split()[:_MAX_SIGNATURES]:
            version, _, encoded = each.partition(b",")
            if version != _VERSION:
                continue
            try:
                candidate = b64decode(encoded, validate=True)
            except binascii.Error:
                continue
            for mac in expected:
                genuine |= hmac.compare_digest(mac, candidate)
        return genuine


def _single_value(name: bytes, get_headers: GetHeaders) -> bytes:
    values = get_headers(name) or ()
    if len(values) != 1:
        problem = "repeated" if values else "missing"
        raise VerificationFailed(f"{name.decode('ascii')} is {problem}")
    return values[0].strip()


@lru_cache(maxsize=1024)
def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise BadSecret(f"a webhook secret must begin with {_PREFIX}")
    try:
        key = b64decode(secret[len(_PREFIX) :], validate=True)
    except ValueError:
        # Also raised if it is not ASCII. The original exception would show the secret.
        raise BadSecret(f"a webhook secret must be base64 after {_PREFIX}") from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise BadSecret(
            f"a webhook secret must have {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes,"
            f" not {len(key)}"
        )
    return key


def _signed(message_id: bytes, timestamp: bytes, body: bytes) -> bytes:
    return b".".join((message_id, timestamp, body))


def _mac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")
