"""
Reading requests: bodies, queries, ids and conditions.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TypeVar

from msgspec import ValidationError, convert
from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.server.errors import UnknownJob
from statusjob.server.web.answers import ANY
from statusjob.server.web.problems import Problem

T = TypeVar("T")

#: Longest Idempotency-Key, and most entity tags that one If-Match may list.
KEY_LIMIT = 255
TAGS_LIMIT = 16

_JSON_TYPES = frozenset({b"application/json", b"application/merge-patch+json"})
_KEY = re.compile(rf"\A[\x20-\x7e]{{1,{KEY_LIMIT}}}\Z")
_TAG = re.compile(rb'(W/)?"([^"]*)"')
_MILLISECONDS = re.compile(r"\A[0-9]{1,15}\Z")
_ITEM_ID = re.compile(r"\A[a-z]{2,4}_[0-9a-f]{32}\Z")


def known_tags(request: Request) -> frozenset[bytes] | None:
    """
    The entity tags that C{If-None-Match} lists, weak ones as if they were strong; L{ANY} if it
    is C{*}, C{None} if there is none.
    """
    values = request.requestHeaders.getRawHeaders(b"if-none-match")
    if values is None:
        return None
    if any(value.strip() == b"*" for value in values):
        return ANY
    return frozenset(b'"%b"' % opaque for _, opaque in _TAG.findall(b",".join(values)))


def tag_version(tag: bytes) -> int:
    """The version that a strong entity tag is of; 0, which no job has, if it is of none."""
    digits = tag[1:-1]
    return int(digits) if digits.isdigit() and len(digits) < 16 else 0


def wanted_versions(request: Request) -> Collection[int]:
    """
    The versions that C{If-Match} asks for (strongly); nothing stands for any.

    @raise Problem: 400 if it lists too many.
    """
    values = request.requestHeaders.getRawHeaders(b"if-match")
    if values is None or any(value.strip() == b"*" for value in values):
        return ()
    tags = _TAG.findall(b",".join(values))
    if len(tags) > TAGS_LIMIT:
        raise Problem("invalid-request", f"If-Match lists more than {TAGS_LIMIT} entity tags")
    return {0 if weak else tag_version(b'"%b"' % opaque) for weak, opaque in tags} or {0}


def idempotency_key(request: Request) -> str | None:
    """
    The C{Idempotency-Key} of a request.

    @raise Problem: 400 if it is none.
    """
    values = request.requestHeaders.getRawHeaders(b"idempotency-key")
    if values is None:
        return None
    key = values[0].decode("latin-1")
    if len(values) > 1 or not _KEY.match(key):
        raise Problem(
            "invalid-request",
            f"Idempotency-Key must be one value of 1 to {KEY_LIMIT} printable ASCII characters",
        )
    return key


def json_body(request: Request, shape: type[T]) -> tuple[bytes, T]:
    """
    The body of a request, as it came and as a value.

    @raise Problem: 415 if it is not declared as JSON.
    @raise wire.BadInput: if it is not acceptable.
    """
    assert request.content is not None
    body: bytes = request.content.read()
    if body:
        declared, _, parameters = (request.getHeader(b"content-type") or b"").partition(b";")
        charset = re.search(rb'charset\s*=\s*"?([^\s";]+)', parameters, re.I)
        if declared.strip().lower() not in _JSON_TYPES or (
            charset is not None and charset[1].lower() not in (b"utf-8", b"utf8")
        ):
            raise Problem(
                "unsupported-media-type", "send JSON in UTF-8 with Content-Type: application/json"
            )
    return body, codec.decode(body, shape)


def read_query(request: Request, shape: type[T]) -> T:
    """
    The query of a request; a parameter without a value counts as left out.

    @raise wire.BadInput: if it cannot be understood.
    """
    given: dict[str, str] = {}
    for name, values in request.args.items():
        if len(values) > 1:
            raise codec.BadInput(f"the query repeats `{name.decode('latin-1')}`")
        given[name.decode("latin-1")] = values[0].decode("latin-1")
    try:
        return convert(
            {name: value for name, value in given.items() if value}, shape, strict=False
        )
    except ValidationError as error:
        raise codec.BadInput(f"in the query: {error}") from None


def bad_cursor() -> codec.BadInput:
    """The error for a cursor that is not valid."""
    return codec.BadInput("the query's `cursor` is not one that this server has given")


def read_cursor(text: str | None) -> tuple[float, str] | None:
    """
    What a L{cursor} was made of.

    @raise wire.BadInput: if it is none.
    """
    if text is None:
        return None
    milliseconds, _, item_id = text.partition(".")
    if not _MILLISECONDS.match(milliseconds) or not _ITEM_ID.match(item_id):
        raise bad_cursor()
    return int(milliseconds) / 1000, item_id


def path_job(job_id: str) -> str:
    """
    The id of a job in a path.

    @raise UnknownJob: if no job can have it.
    """
    if not codec.is_job_id(job_id):
        raise UnknownJob
    return job_id
