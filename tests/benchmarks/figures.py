"""What was measured, and the tables made of it. All of it is pure."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """
    What a contender did in one round.

    @ivar requests: how many requests were answered, or made.
    @ivar seconds: in how many seconds.
    @ivar cpu: the seconds of CPU time that this took the contender and its children.
    """

    requests: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """Microseconds of CPU time per request."""
        return self.cpu / self.requests * 1e6


@dataclass(frozen=True)
class Goal:
    """
    What is to hold.

    @ivar contender: whose CPU time per request is judged.
    @ivar peer: with whose it is compared.
    @ivar most: the greatest ratio.
    """

    contender: str
    peer: str
    most: float


class Failed(Exception):
    """A benchmark has not measured what it should."""


def parse_wrk(output: str) -> tuple[int, float]:
    """
    Read what C{wrk} prints.

    @return: how many requests were answered, in how many seconds.
    @raise Failed: if any of them failed.
    """
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m|h),", output)
    if found is None or not int(found[1]) or "Non-2xx" in output or "Socket errors" in output:
        raise Failed(f"wrk says:\n{output}")
    unit = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[found[3]]
    return int(found[1]), float(found[2]) * unit


def ratio(samples: Sequence[Sample], others: Sequence[Sample]) -> float:
    """Compare the CPU time per request, round by round; the median of these ratios."""
    return statistics.median(
        mine.cost / theirs.cost for mine, theirs in zip(samples, others, strict=True)
    )


def compare(measured: Mapping[str, Sequence[Sample]], goals: Sequence[Goal] = ()) -> str:
    """
    Make a table of contenders and what is said about the goals, in Markdown.

    @param measured: the rounds of each contender. All are compared with the first one.
    """
    first = next(iter(measured.values()))
    rows = []
    for name, samples in measured.items():
        rate = statistics.median(sample.rate for sample in samples)
        times = statistics.median(
            mine.rate / theirs.rate for mine, theirs in zip(samples, first, strict=True)
        )
        cost = statistics.median(sample.cost for sample in samples)
        busy = statistics.median(sample.cpu / sample.seconds for sample in samples)
        rows.append(
            [
                name,
                f"{rate:,.0f}",
                f"{times:.2f}",
                f"{cost:.1f}",
                f"{ratio(samples, first):.2f}",
                f"{busy:.0%}",
            ]
        )
    ours = next(iter(measured))
    heads = ["", "per second", f"of {ours}", "CPU, µs each", f"of {ours}", "of a core"]
    said = [
        f"- CPU of {goal.contender} against {goal.peer}: {found:.3f}, at most {goal.most:.3f}:"
        f" **{'yes' if found <= goal.most else 'no'}**"
        for goal in goals
        if goal.contender in measured and goal.peer in measured
        for found in [ratio(measured[goal.contender], measured[goal.peer])]
    ]
    return table(heads, rows) + ("\n\n" + "\n".join(said) if said else "")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Make a table in Markdown, whose columns but the first are numbers."""
    lines = [list(heads), ["---", *["---:"] * (len(heads) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
