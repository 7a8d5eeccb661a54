"""
What a receiver answered, and how an answer is read that is not HTTP to the letter.

Only the status counts, and receivers break every other rule: they end lines without a carriage
return, fold headers, or state two lengths. So a legible status line decides, whatever follows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: The headers of an answer that are looked at.
KEPT_HEADERS = frozenset({b"retry-after", b"date"})
#: Longest status line, as far as its code, in bytes.
STATUS_LINE_LIMIT = 64

_STATUS_LINE = re.compile(rb"[\r\n]*HTTP/(?:\d\.\d|2)[ \t]+(\d{3})(?=[ \t\r\n])", re.IGNORECASE)
_HEAD_END = re.compile(rb"\n\r?\n")
_KEPT_HEADER = re.compile(
    rb"^(%b)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?$" % b"|".join(KEPT_HEADERS),
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class ReceiverAnswer:
    """
    What a receiver answered.

    @ivar status: the status code, 200 or higher.
    @ivar headers: those of L{KEPT_HEADERS} that the answer had, the first of each; the names are
        in lower case.
    """

    status: int
    headers: dict[bytes, bytes]


def read_leniently(data: bytes | bytearray) -> tuple[ReceiverAnswer, bool] | None:
    """
    Read the first answer that is not an interim one, although it may break the rules of HTTP.

    @param data: what has arrived so far.
    @return: the answer with the headers that have arrived, and whether these are all; C{None} if
        its status has not arrived.
    @raise ValueError: if no legible status line can follow.
    """
    start = 0
    while True:
        line = _STATUS_LINE.match(data, start)
        if line is None:
            if _may_become_status_line(bytes(data[start : start + STATUS_LINE_LIMIT])):
                return None
            raise ValueError("not HTTP")
        end = _HEAD_END.search(data, line.end())
        status = int(line[1])
        if status >= 200:
            headers: dict[bytes, bytes] = {}
            for name, value in _KEPT_HEADER.findall(data[line.end() : end and end.start() + 1]):
                headers.setdefault(name.lower(), value)
            return ReceiverAnswer(status, headers), end is not None
        if end is None:
            return None
        start = end.end()


def _may_become_status_line(begin: bytes) -> bool:
    begin = begin.lstrip(b"\r\n")
    return (
        len(begin) < STATUS_LINE_LIMIT
        and b"HTTP/".startswith(begin[:5].upper())
        and not begin[5:].strip(b"0123456789. \t")
    )
