"""
Server-sent events, read as they come in pieces.

Pure, and about nothing but the format (HTML standard, 9.2.6): what an event
means is for others to say. Bounded: an event that is longer than it may be is
an error, however it was cut into pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class TooLong(Exception):
    """An event has more bytes than it may have."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event.

    @ivar type: C{message} unless it names one.
    @ivar id: the last one that was given, by this event or one before it.
    """

    type: str
    data: str
    id: str


class EventReader:
    """
    Reads one stream.

    @ivar retry: how many seconds to wait before it is opened again, if it said.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: most bytes of one event, comments included.
        """
        self._limit = limit
        # A line whose end has not come yet.
        self._rest = bytearray()
        self._begun = False
        self._after_cr = False
        self._size = 0
        self._type = ""
        self._data: list[str] = []
        self._id = ""
        self.retry: float | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """
        Take the next bytes.

        @return: the events that they complete.
        @raise TooLong: if one has more bytes than it may have.
        """
        if self._after_cr and piece:
            # It may have been the first half of CRLF.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        events = []
        begin = 0
        for end in _LINE_END.finditer(piece):
            self._keep(piece[begin : end.start()])
            line, self._rest = bytes(self._rest), bytearray()
            if not self._begun:
                line = line.removeprefix(_BOM)
                self._begun = True
            if line:
                self._field(line)
            else:
                events += self._dispatch()
            begin = end.end()
        self._after_cr = piece.endswith(b"\r")
        self._keep(piece[begin:])
        return events

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._limit:
            raise TooLong
        self._rest += part

    def _field(self, line: bytes) -> None:
        """Take one line of an event."""
        name, _, text = line.decode(errors="replace").partition(":")
        value = text.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            # int() refuses thousands of digits; float() calls them infinite.
            self.retry = float(value) / 1000

    def _dispatch(self) -> list[Event]:
        """An event is over; without data it is none."""
        kind, data = self._type or "message", self._data
        self._size, self._type, self._data = 0, "", []
        return [Event(kind, "\n".join(data), self._id)] if data else []
