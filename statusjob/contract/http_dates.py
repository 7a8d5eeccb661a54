"""
C{Retry-After} and dates in HTTP headers. Pure.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime


def read_retry_after(text: str, now: float) -> float | None:
    """
    Read a C{Retry-After} header: seconds or an HTTP date (RFC 9110 10.2.3).

    @param now: seconds since the epoch by the clock that set the date: best the answer's own
        C{Date}, see L{read_date}.
    @return: seconds, 0 for what is past, C{None} for what is neither.
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

    @return: seconds since the epoch, or C{None} if it is none.
    """
    try:
        moment = parsedate_to_datetime(text)
        # The obsolete form of asctime names no zone, and means UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
