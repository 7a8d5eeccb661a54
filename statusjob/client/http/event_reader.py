"""
Reads server-sent events from a stream that arrives in pieces.

Pure. It reads the format (HTML standard, 9.2.6), and does not interpret the events. An event that
is longer than a limit is an error, however it was cut into pieces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class TooLong(Exception):
    """An event is longer than the limit."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event.

    @ivar type: the type of the event; C{message} if the stream names none.
    @ivar id: the latest id in the stream, of this event or of an earlier one; may be empty.
    """

    type: str
    data: str
    id: str


class EventReader:
    """
    Reads one stream.

    @ivar retry: the number of seconds to wait before opening the stream again, or C{None} if the
        stream does not tell.
    """

    def __init__(self, limit: int) -> None:
        """
        @param limit: most bytes of one line, and of the data of one event. Heartbeats may be
            comments without an empty line after them, any number of them before an event.
        """
        self._limit = limit
        # The beginning of a line whose end has not arrived yet.
        self._line = bytearray()
        self._begun = False
        self._after_cr = False
        self._size = 0
        self._type = ""
        self._data: list[str] = []
        self._id = ""
        self.retry: float | None = None

    def feed(self, piece: bytes) -> list[Event]:
        """
        Read the next bytes of the stream.

        @return: the events that these bytes complete.
        @raise TooLong: if an event is longer than the limit.
        """
        if self._after_cr and piece:
            # The last piece ended with CR: a LF now is the second half of the same line end.
            piece = piece.removeprefix(b"\n")
            self._after_cr = False
        events = []
        begin = 0
        for end in _LINE_END.finditer(piece):
            self._keep(piece[begin : end.start()])
            line, self._line = bytes(self._line), bytearray()
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
        self._line += part
        if self._size + len(self._line) > self._limit:
            raise TooLong

    def _field(self, line: bytes) -> None:
        """Read one line of an event."""
        name, _, text = line.decode(errors="replace").partition(":")
        value = text.removeprefix(" ")
        if name == "data":
            self._size += len(line)
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            # int() refuses thousands of digits; float() calls them infinite.
            self.retry = float(value) / 1000

    def _dispatch(self) -> list[Event]:
        """Return the event that an empty line ends; without data there is none."""
        event_type, data = self._type or "message", self._data
        self._size, self._type, self._data = 0, "", []
        return [Event(event_type, "\n".join(data), self._id)] if data else []
