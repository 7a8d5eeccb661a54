"""
Signatures of webhooks, as Standard Webhooks has them: C{v1}, HMAC-SHA256.

Pure: entropy and the present are arguments. The one who delivers calls
L{headers}; the one who receives keeps a L{Verifier}. While a secret is rotated
both may hold several: every delivery is signed by all, and one match is enough.
Interoperable with the libraries of
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

#: How many bytes a secret has: those that we make, and the bounds for those brought along.
SECRET_BYTES = 32
MIN_SECRET_BYTES = 24
MAX_SECRET_BYTES = 64
#: How many seconds a timestamp may be off, either way.
TOLERANCE = 300.0

_PREFIX = "whsec_"
_VERSION = b"v1"
#: Signatures looked at in one header; a rotation needs two.
_MAX_SIGNATURES = 16
_ID = re.compile(rb"\A[A-Za-z0-9_-]{1,128}\Z")
_TIMESTAMP = re.compile(rb"\A[0-9]{1,12}\Z")
_HEADERS = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")

#: Looks up all values of a header, as C{request.requestHeaders.getRawHeaders} does.
GetHeaders = Callable[[bytes], Sequence[bytes] | None]


class BadSecret(ValueError):
    """A text is not a secret of a webhook; the message says why and never shows it."""


class VerificationFailed(Exception):
    """
    A message is forged, stale or malformed.

    @ivar reason: why; safe to tell the sender, for only one who knows the secret is ever told
        how far off its clock is.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """
    What a verified message says of itself.

    @ivar id: the same over all attempts to deliver it.
    @ivar timestamp: when this attempt was made, in seconds since the epoch.
    """

    id: str
    timestamp: int


def new_secret(entropy: bytes) -> str:
    """
    A secret from random bytes.

    @param entropy: 24 to 64 bytes; L{SECRET_BYTES} of them are recommended.
    @raise BadSecret: if there are fewer or more.
    """
    secret = _PREFIX + b64encode(entropy).decode("ascii")
    check_secret(secret)
    return secret


def check_secret(text: str) -> None:
    """
    Refuse what cannot be a secret: C{whsec_} and the base64 of 24 to 64 bytes.

    @raise BadSecret: if it is not that.
    """
    _key(text)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """
    The signature of one attempt, such as C{v1,g0hM9SsE...}.

    @param timestamp: of the attempt, in seconds since the epoch.
    @raise BadSecret: if C{secret} is none.
    """
    signed = _signed(message_id.encode("ascii"), b"%d" % timestamp, body)
    return "v1," + b64encode(_mac(_key(secret), signed)).decode("ascii")


def headers(
    secrets: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> dict[bytes, bytes]:
    """
    The three headers of one attempt.

    @param secrets: those that hold now: one, or during a rotation several, the newest first.
    @param timestamp: of the attempt, in seconds since the epoch.
    @raise BadSecret: if one of C{secrets} is none.
    """
    signatures = " ".join(sign(each, message_id, timestamp, body) for each in secrets)
    values = (message_id.encode("ascii"), b"%d" % timestamp, signatures.encode("ascii"))
    return dict(zip(_HEADERS, values, strict=True))


class Verifier:
    """
    Tells genuine messages from forged ones.

    Strict: each of the three headers must be there exactly once; the signature is judged
    before the timestamp.
    """

    def __init__(self, *secrets: str, tolerance: float = TOLERANCE) -> None:
        """
        @param secrets: those of the webhook; a message signed by any of them is genuine.
        @param tolerance: how many seconds a timestamp may be off, either way.
        @raise BadSecret: if there is none, or one is malformed.
        """
        if not secrets:
            raise BadSecret("a verifier needs at least one secret")
        self._keys = [_key(each) for each in secrets]
        self._tolerance = tolerance

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self._keys)} secret(s)>"

    def verify(self, body: bytes, get_headers: GetHeaders, now: float) -> Message:
        """
        Judge one message.

        @param body: the raw body, as it came.
        @param now: seconds since the epoch.
        @raise VerificationFailed: if it is forged, stale or malformed; nothing else is raised,
            whatever was sent.
        """
        message_id, timestamp, signatures = (_only(name, get_headers) for name in _HEADERS)
        if not _ID.match(message_id):
            raise VerificationFailed("webhook-id is malformed")
        if not _TIMESTAMP.match(timestamp):
            raise VerificationFailed("webhook-timestamp is malformed")
        if not self._genuine(_signed(message_id, timestamp, body), signatures):
            raise VerificationFailed("no signature matches")
        skew = int(timestamp) - now
        if not abs(skew) <= self._tolerance:
            raise VerificationFailed(f"webhook-timestamp is {skew:+.0f} s off")
        return Message(message_id.decode("ascii"), int(timestamp))

    def _genuine(self, signed: bytes, signatures: bytes) -> bool:
        """Compare all with all, so that the time taken tells nothing about which one matched."""
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


def _only(name: bytes, get_headers: GetHeaders) -> bytes:
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
        # Also what is not ASCII. The original would show the secret in a traceback.
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
