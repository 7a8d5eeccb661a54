"""
Strict decoding of JSON bodies, and compact encoding.

Pure. A body with a wrong type, an unknown member, NUL, too deep nesting or a number out of range
is L{BadInput}. The shapes to decode into are in L{statusjob.contract.jobs} and
L{statusjob.contract.webhooks}. How a client reads answers is in L{statusjob.client.http.answers}.
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

#: The longest body of a request, in bytes.
BODY_LIMIT = 1024 * 1024
#: The deepest nesting of JSON that is accepted.
DEPTH_LIMIT = 32

Fraction = Annotated[float, Meta(ge=0, le=1)]
Kind = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._-]{1,64}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]

#: NUL, escaped in JSON. A backslash that is escaped itself does not count.
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_JOB_ID = re.compile(r"\A[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


class BadInput(ValueError):
    """What was sent is not acceptable. The message tells its sender what is wrong, and where."""


class Confidential(Struct, frozen=True):
    """A value that holds secrets: its C{repr} shows the name of its type only."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def decode(body: bytes, shape: type[T]) -> T:
    """
    Decode the body of a request strictly.

    @param body: JSON; an empty body stands for an empty object.
    @param shape: the type to decode into.
    @return: a value of that type.
    @raise BadInput: if the body does not fit; the message is meant for the sender.
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
        # Not every database can store NUL.
        raise BadInput("text must not contain NUL")
    return value


def same_json(one: object, other: object) -> bool:
    """Whether two values are the same JSON. For Python alone, C{1} equals C{True} and C{1.0}."""
    return json.encode(one, order="sorted") == json.encode(other, order="sorted")


def canonical_hash(body: bytes) -> str:
    """
    Hash a JSON body, so that neither the order of members nor white space matters.

    @param body: valid JSON; an empty body stands for an empty object.
    @return: the SHA-256 of the canonical form, in hexadecimal.
    """
    canonical = json.encode(json.decode(body or b"{}"), order="sorted")
    return hashlib.sha256(canonical).hexdigest()


def is_job_id(text: str) -> bool:
    """Whether a text has the form of a job's id, so that it is worth looking up."""
    return _JOB_ID.match(text) is not None


def is_too_deep(value: object) -> bool:
    """Whether a JSON value is nested deeper than L{DEPTH_LIMIT}."""
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
    """
    Format a time for JSON: UTC with milliseconds, such as C{2024-11-23T18:00:00.123Z}.

    @param seconds: since the epoch.
    """
    moment = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def encode(value: object) -> bytes:
    """Encode a value as compact JSON."""
    return json.encode(value)
