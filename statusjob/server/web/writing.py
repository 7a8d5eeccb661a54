"""
Writing answers: JSON bodies, validators and cursors.
"""

from __future__ import annotations

from twisted.web.http import Request

from statusjob.contract import codec
from statusjob.server.web.answers import Answer


def send(request: Request, answer: Answer) -> bytes:
    """
    Give a request its answer.

    @return: the body, which the route returns.
    """
    if answer.code != 200:
        request.setResponseCode(answer.code)
    add_header = request.responseHeaders.addRawHeader
    for name, value in answer.headers:
        add_header(name, value)
    return answer.body


def json_answer(request: Request, value: object) -> bytes:
    """
    Answer with C{value} as JSON.

    @return: the body, which the route returns.
    """
    body = codec.encode(value)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"content-length", b"%d" % len(body))
    return body


def cursor(created_at: float, item_id: str) -> str:
    """Where the page after an item begins."""
    return f"{round(created_at * 1000)}.{item_id}"
