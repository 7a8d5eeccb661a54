"""
The C{Prefer} header (RFC 7240): how long a client prefers to wait.

It is parsed here, not by Werkzeug, because a malformed header must be ignored as
a whole.
"""

from __future__ import annotations

import re

from twisted.web.http import Request

#: Longest wait in seconds. Many proxies give up after 60, some after 50.
WAIT_LIMIT = 45

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*+"'

#: A preference, one of its parameters or nothing, with the separator after it (RFC 7240 2).
_PREFERENCE = re.compile(
    rb"[ \t]*+(?:(%b)[ \t]*+(?:=[ \t]*+(%b|%b)?+[ \t]*+)?+)?+([,;]|\Z)" % (_TOKEN, _TOKEN, _QUOTED)
)


def preferred_wait(request: Request) -> int | None:
    """
    Read C{Prefer: wait} (RFC 7240 4.3).

    @return: seconds, at most L{WAIT_LIMIT}; C{None} if the preference is missing or the header is
        malformed.
    """
    values = request.requestHeaders.getRawHeaders(b"prefer")
    if values is None:
        return None
    text = b",".join(values)
    wait: bytes | None = None
    position, parameter = 0, False
    while position < len(text):
        found = _PREFERENCE.match(text, position)
        if found is None:
            return None
        name, value, end = found.groups()
        # Of two equal preferences, the first counts.
        if name is not None and name.lower() == b"wait" and not parameter and wait is None:
            wait = value or b""
        position, parameter = found.end(), end == b";"
    if wait is None:
        return None
    digits = re.sub(rb"\\(.)", rb"\1", wait[1:-1]) if wait.startswith(b'"') else wait
    if not digits.isdigit():
        return None
    # There may be thousands of digits. The first four suffice.
    return min(WAIT_LIMIT, int(digits.lstrip(b"0")[:4] or b"0"))
