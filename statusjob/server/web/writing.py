"""
Writing answers: whole ones, JSON bodies and cursors.
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob.contract import codec
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
