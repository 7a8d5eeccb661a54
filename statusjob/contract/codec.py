"""
JSON in, JSON out: the shapes of the HTTP contract and what they accept.

Pure. What comes in is decoded strictly into small values (wrong types, unknown
members, NUL, absurd nesting and out-of-range numbers are L{BadInput}); what
goes out is compact JSON. How a server's answers are read is in
L{statusjob.client.http.answers}.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from msgspec import (
    DecodeError,
    Meta,
    Struct,
    ValidationError,
    json,
)

T = TypeVar("T")

#: Longest body, in bytes.
BODY_LIMIT = 1024 * 1024
#: Deepest nesting of JSON that is taken in.
DEPTH_LIMIT = 32

Fraction = Annotated[float, Meta(ge=0, le=1)]
Kind = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]

#: The escape of NUL in JSON: its backslash is not itself escaped.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JOB_ID = re.compile(r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class BadInput(ValueError):
    """What was sent cannot be accepted; the message says what and where, for its sender."""


class Confidential(Struct, frozen=True):
    """What is not shown where it is merely mentioned, such as a traceback: it holds secrets."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def decode(body: bytes, shape: type[T]) -> T:
    """
    Strictly read what a client sent.

    @param body: JSON; nothing at all stands for C{{}}.
    @raise BadInput: with words fit for the sender.
    """
    try:
        value = json.decode(body or b"{}", type=shape)
    except ValidationError as error:
        raise BadInput(str(error)) from None
    except DecodeError:
        raise BadInput("the body is not valid JSON") from None
    except RecursionError:
        raise BadInput(f"the JSON is nested deeper than {DEPTH_LIMIT} levels") from None
    except UnicodeDecodeError:
        raise BadInput("the body is not valid UTF-8") from None
    except OverflowError:
        raise BadInput("a number is out of range") from None
    if _ESCAPED_NUL.search(body):
        # Not every database can store it.
        raise BadInput("text must not contain NUL")
    return value


def canonical_hash(body: bytes) -> str:
    """SHA-256 (hex) of a JSON body that does not depend on the order of members or on space."""
    canonical = json.encode(json.decode(body or b"{}"), order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def is_job_id(text: str) -> bool:
    """Whether C{text} has the form of a job's id, so that looking it up is worth it."""
    return _JOB_ID.match(text) is not None


def too_deep(value: object) -> bool:
    """Whether free JSON is nested deeper than L{DEPTH_LIMIT}."""
    level: list[Any] = [[value]]
    for _ in range(DEPTH_LIMIT + 1):
        level = [
            child
            for each in level
            for child in (each.values() if isinstance(each, dict) else each)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def rfc3339(seconds: float) -> str:
    """A time as JSON shows it: UTC with milliseconds, such as C{2024-11-23T18:00:00.123Z}."""
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.encode(value)
