"""How long a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable


def clocked(work: Callable[[], object], times: int) -> float:
    """Seconds that it takes, the worst of five averages."""
    worst = 0.0
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            work()
        worst = max(worst, (time.perf_counter() - began) / times)
    return worst
