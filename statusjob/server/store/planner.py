"""
Hints for SQLite's query planner. They change no result; another engine may need other hints.
"""

from __future__ import annotations

#: A condition that every id meets. It makes SQLite choose an index that begins with the id.
USE_INDEX_ON_ID = "id > ''"


def use_no_index_on(column: str) -> str:
    """The value of a column, as an expression for which SQLite uses no index."""
    return f"+{column}"
