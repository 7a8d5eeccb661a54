"""
Makes what a worker wants to report acceptable.

Pure. A server refuses numbers out of range and texts that are too long. That a job is at
1.0000000000000002, or has a long message, must not make its report fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

from msgspec import UNSET

from statusjob.contract.jobs import CENTURY, MESSAGE_LIMIT

#: The greatest value of each number that can be reported; the least is 0.
_GREATEST = {"progress": 1.0, "eta": CENTURY}


def clamp_members(given: Mapping[str, object], ignored: Callable[[str], object]) -> dict[str, Any]:
    """
    Make the members of a report that every server accepts.

    Numbers out of range become the nearest that is in range, and texts are truncated.

    @param given: C{progress}, C{message} and C{eta}. C{UNSET} stands for a member that is not
        given, and C{None} clears one.
    @param ignored: called with the name of each number that is NaN, which is left out.
    @raise TypeError: if a value has the wrong type.
    """
    members: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            members[name] = None
        elif name in _GREATEST and value is not UNSET:
            number = _number(name, value)
            if math.isnan(number):
                ignored(name)
            else:
                members[name] = min(max(number, 0.0), _GREATEST[name])
        elif value is not UNSET:
            members[name] = clamp_text(name, value)
    return members


def clamp_text(name: str, value: object) -> str:
    """
    Make a text for people acceptable: at most L{MESSAGE_LIMIT} bytes, of whole characters.

    @param name: what the text is, for the error.
    @raise TypeError: if the value is no text.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    # Each character has at least one byte. A surrogate alone cannot be encoded.
    encoded = value[:MESSAGE_LIMIT].encode("utf-8", "replace")[:MESSAGE_LIMIT]
    return encoded.decode("utf-8", "ignore").replace("\0", "?")


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, SupportsFloat):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        number: Any = value
        return math.inf if number > 0 else -math.inf
