"""
Writing answers: whole ones, as headers of a request or as bytes, JSON bodies and cursors.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.web.http import RESPONSES, Request
from twisted.web.http_headers import Headers
from twisted.web.server import version

from statusjob.contract import codec
from statusjob.contract.http_dates import write_date
from statusjob.server.web.answers import Answer


def send(request: Request, answer: Answer) -> bytes:
    """
    Answer a request with an answer that was made whole.

    @return: the body, which the route must return.
    """
    if answer.code != 200:
        request.setResponseCode(answer.code)
    add_header = request.responseHeaders.addRawHeader
    for name, value in answer.headers:
        add_header(name, value)
    return answer.body


def head_bytes(version: bytes, code: bytes, reason: bytes, headers: Headers) -> bytes:
    """
    The head of an answer, from its first line to the empty one.

    @param version: such as C{HTTP/1.1}.
    """
    lines = [b"%b %b %b\r\n" % (version, code, reason)]
    for name, values in headers.getAllRawHeaders():
        lines += [b"%b: %b\r\n" % (name, value) for value in values]
    lines.append(b"\r\n")
    return b"".join(lines)


def answer_bytes(answer: Answer, second: int, more: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    The bytes that L{send} has Twisted send over HTTP/1.1.

    @param second: the present, in whole seconds since the epoch.
    @param more: headers that are not the answer's own.
    """
    headers = Headers()
    for name, value in (
        (b"server", version),
        (b"date", write_date(second)),
        *more,
        *answer.headers,
    ):
        headers.addRawHeader(name, value)
    reason = RESPONSES[answer.code]
    return head_bytes(b"HTTP/1.1", b"%d" % answer.code, reason, headers) + answer.body


def json_answer(request: Request, value: object) -> bytes:
    """
    Answer a request with JSON that no cache may keep: neither secrets nor lists are for all who
    share a proxy, and who asks again wants to know what is so now.

    @return: the body, which the route must return.
    """
    body = codec.encode(value)
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def make_cursor(created_at: float, item_id: str) -> str:
    """
    Make the cursor of the page that follows an item.

    @param created_at: when the item was created, in seconds since the epoch.
    """
    return f"{round(created_at * 1000)}.{item_id}"
