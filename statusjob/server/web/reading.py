"""
Reading requests: bodies, queries, ids and conditions.

Entity tags and media types are parsed here, not by Werkzeug:
C{tests/server/web/test_reading.py} shows what it would accept or refuse otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TypeVar

from msgspec import ValidationError, convert
from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.server.errors import UnknownJob
from statusjob.server.web.answers import ANY
from statusjob.server.web.problems import Problem

T = TypeVar("T")

#: Most characters of an Idempotency-Key.
KEY_LIMIT = 255
#: Most entity tags of an If-Match.
TAGS_LIMIT = 16

_JSON_TYPES = frozenset({b"application/json", b"application/merge-patch+json"})
_KEY = re.compile(rf"\A[\x20-\x7e]{{1,{KEY_LIMIT}}}\Z")
_TAG = re.compile(rb'(W/)?"([^"]*)"')
#: What proxies append to the entity tag of an answer that they compress: C{"1"} becomes
#: C{"1-gzip"} in Apache httpd and in Caddy, and C{"1--gzip"} in Jetty. No tag of ours ends so.
_CODING = re.compile(rb"--?(?:gzip|br|zstd|deflate)\Z")
_MILLISECONDS = re.compile(r"\A[0-9]{1,15}\Z")
_ITEM_ID = re.compile(r"\A[a-z]{2,4}_[0-9a-f]{32}\Z")


def known_tags(request: Request) -> frozenset[bytes] | None:
    """
    Read C{If-None-Match}.

    @return: its entity tags, weak ones as if they were strong, and without what a proxy appended
        that compresses answers; L{ANY} for C{*}; C{None} if the header is missing.
    """
    values = request.requestHeaders.getRawHeaders(b"if-none-match")
    return None if values is None else read_known_tags(values)


def read_known_tags(values: Sequence[bytes]) -> frozenset[bytes]:
    """
    Read the values of all C{If-None-Match} of a request, of which there is at least one.

    @return: as that of L{known_tags}.
    """
    if any(value.strip() == b"*" for value in values):
        return ANY
    tags = _TAG.findall(b",".join(values))
    return frozenset(b'"%b"' % _CODING.sub(b"", opaque) for _, opaque in tags)


def tag_version(tag: bytes) -> int:
    """
    The version of a job that a strong entity tag names.

    @return: 0, which no job has, if it names none.
    """
    digits = tag[1:-1]
    return int(digits) if digits.isdigit() and len(digits) < 16 else 0


def required_versions(request: Request) -> Collection[int]:
    """
    Read C{If-Match}.

    @return: the versions of which one is required; empty if any will do. A weak tag matches none.
    @raise Problem: 400 if there are more than L{TAGS_LIMIT} tags.
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
    Read C{Idempotency-Key}.

    @return: C{None} if the header is missing.
    @raise Problem: 400 if it is repeated, too long or not printable ASCII.
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
    Read the JSON body of a request.

    @param shape: the type of the value.
    @return: the bytes of the body, and its value.
    @raise Problem: 415 if there is a body whose Content-Type is not JSON in UTF-8.
    @raise statusjob.contract.codec.BadInput: if the body is not valid.
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
    Read the query of a request. A parameter with an empty value counts as missing.

    @param shape: the type of the value.
    @raise statusjob.contract.codec.BadInput: if the query is not valid or repeats a parameter.
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
    Read a cursor that L{statusjob.server.web.writing.make_cursor} made.

    @return: the time of creation and the id of an item; C{None} if there is no cursor.
    @raise statusjob.contract.codec.BadInput: if it is not valid.
    """
    if text is None:
        return None
    milliseconds, _, item_id = text.partition(".")
    if not _MILLISECONDS.match(milliseconds) or not _ITEM_ID.match(item_id):
        raise bad_cursor()
    return int(milliseconds) / 1000, item_id


def checked_job_id(job_id: str) -> str:
    """
    Check that an id is well formed. It may be in upper case, as some databases write it.

    @return: the id, in lower case.
    @raise UnknownJob: if no job can have this id.
    """
    job_id = job_id.lower()
    if not codec.is_job_id(job_id):
        raise UnknownJob
    return job_id
