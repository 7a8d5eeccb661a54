"""HTTP messages as tests look at them, and as bytes on a connection."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Message:
    """
    A message that has arrived completely.

    @ivar headers: values by name, in lower case. Several values of one name are joined by C{", "}
        (RFC 9110 5.3).
    """

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The value of a header, whose name may be in any case; C{None} if there is none."""
        return self.headers.get(name.lower())


@dataclass(frozen=True, kw_only=True)
class Request(Message):
    """
    A request.

    @ivar path: the target, with its query.
    @ivar at: the second in which it came, by the clock of the test.
    @ivar port: the port from which the client has sent it.
    """

    method: str
    path: str
    at: float = 0.0
    port: int = 0

    @property
    def line(self) -> str:
        """The method and the target, such as C{GET /status}."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, kw_only=True)
class Reply(Message):
    """The answer to a request."""

    code: int


def headers_of(raw: Iterable[tuple[bytes, Sequence[bytes]]]) -> dict[str, str]:
    """The headers of a message, from what Twisted's C{getAllRawHeaders} gives."""
    return {
        name.decode().lower(): ", ".join(value.decode() for value in values)
        for name, values in raw
    }


def request_bytes(first_line: str, *headers: str, body: bytes = b"") -> bytes:
    """
    Write a request.

    @param first_line: the method and the target, such as C{GET /status}.
    @param headers: lines beside C{Host} and, if there is a body, its length.
    """
    lines = [f"{first_line} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_head(data: bytes) -> tuple[str, dict[str, str], bytes]:
    """
    Read the beginning of a message, in which no header may be repeated.

    @return: the first line, the headers, and what follows them.
    """
    head, _, rest = data.partition(b"\r\n\r\n")
    first_line, *lines = head.decode("ascii").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in pairs}
    assert len(headers) == len(pairs), lines
    return first_line, headers, rest


def read_messages(data: bytes) -> list[tuple[str, Message]]:
    """
    Read complete messages, each with a C{Content-Length} or without a body.

    @return: the first line of each, and the rest of it.
    """
    messages = []
    while data:
        first_line, headers, rest = read_head(data)
        length = int(headers.get("content-length", 0))
        messages.append((first_line, Message(headers=headers, body=rest[:length])))
        data = rest[length:]
    return messages
