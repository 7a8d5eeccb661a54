"""JSON of any kind, for parsers that must refuse what they do not expect."""

from __future__ import annotations

from hypothesis import strategies as st

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def nested(depth: int) -> bytes:
    """Write a list that is nested so deep."""
    return b"[" * depth + b"]" * depth
