"""
Reads C{Retry-After} and dates in HTTP headers. Pure.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime
from functools import lru_cache


def read_retry_after(text: str, now: float) -> float | None:
    """
    Read a C{Retry-After} header: seconds or an HTTP date (RFC 9110 10.2.3).

    @param text: the value of the header.
    @param now: the time in seconds since the epoch, by the clock of the host that sent the
        header. The answer's own C{Date} tells it best, see L{read_date}.
    @return: seconds to wait, 0 for a date in the past; C{None} if the text is neither.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        # int() refuses thousands of digits; float() calls them infinite.
        return float(text)
    moment = read_date(text)
    return None if moment is None else max(0.0, moment - now)


def read_date(text: str) -> float | None:
    """
    Read an HTTP date in any of its three forms (RFC 9110 5.6.7).

    @param text: the value of the header.
    @return: seconds since the epoch, or C{None} if the text is not a date.
    """
    try:
        moment = parsedate_to_datetime(text)
        # The obsolete form, that of asctime, names no time zone and means UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


@lru_cache(maxsize=1024)
def write_date(seconds: int) -> bytes:
    """
    Write an HTTP date in its preferred form (RFC 9110 5.6.7).

    @param seconds: since the epoch.
    """
    return formatdate(seconds, usegmt=True).encode()
