"""
Jobs to compare on: how long they took, in a half to learn from and a half to be judged by.

Two sets are real (their origin and licence is in the first line of each file), the others are
drawn from distributions. The best schedule for the half to be judged by is the yardstick.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, exp, inf
from pathlib import Path

#: Most jobs of a set, in either half.
JOBS = 1000

_DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class JobSet:
    """
    Durations in seconds.

    @ivar title: for tables and pictures.
    @ivar train: what may be learned from, and tuned on.
    @ivar held_out: what rules are judged by.
    """

    title: str
    train: Sequence[float]
    held_out: Sequence[float]


def _real(title: str, name: str) -> JobSet:
    lines = (_DATA / name).read_text().splitlines()
    return _halves(title, [float(line) for line in lines if line[0].isdigit()])


def _drawn(title: str, draw: Callable[[random.Random], float]) -> JobSet:
    source = random.Random(title)
    return _halves(title, [draw(source) for _ in range(2 * JOBS)])


def _halves(title: str, durations: list[float]) -> JobSet:
    random.Random(5).shuffle(durations)
    half = len(durations) // 2
    return JobSet(title, durations[:half][:JOBS], durations[half:][:JOBS])


def _bimodal(source: random.Random) -> float:
    if source.random() < 0.4:
        return 3 * exp(source.gauss(0, 0.3))
    return 180 * exp(source.gauss(0, 0.2))


def sets() -> list[JobSet]:
    """Those that rules are compared on."""
    return [
        _real("video transcoding", "x264_transcode.csv"),
        _drawn("log-normal", lambda source: 120 * exp(source.gauss(0, 0.5))),
        _drawn("Weibull", lambda source: source.weibullvariate(60, 0.6)),
        _drawn("bimodal", _bimodal),
        _drawn("Pareto", lambda source: 5 * source.paretovariate(1.2)),
    ]


def extreme_sets() -> list[JobSet]:
    """Those on which there is little to be told apart: jobs of hours, and all alike."""
    return [
        _real("GPU cluster", "philly_gpu.csv"),
        _drawn("constant", lambda source: 15 + source.uniform(0, 0.05)),
    ]


def best(
    durations: Sequence[float], r: float, longest: float = inf, grain: float = 0.25
) -> list[float]:
    """
    The ages to ask at that are cheapest for these very durations.

    @param r: what a request is worth, in seconds.
    @param longest: the longest wait, in seconds.
    @param grain: ages are multiples of this (seconds).
    """
    last = ceil(max(durations) / grain)
    ended = [0.0] * (last + 1)
    weighted = [0.0] * (last + 1)
    for each in durations:
        at = ceil(each / grain)
        ended[at] += 1 / len(durations)
        weighted[at] += each / len(durations)
    for i in range(last):
        ended[i + 1] += ended[i]
        weighted[i + 1] += weighted[i]
    window = last if longest == inf else int(longest / grain)
    following = [0] * (last + 1)
    # To ask next at j when nothing had ended at i costs heights[j] - slopes[j] * ended[i] more.
    slopes = [grain * j for j in range(last + 1)]
    heights = [0.0] * last + [slopes[last] * ended[last] - weighted[last]]
    for i in range(last - 1, -1, -1):
        until = min(last, i + window) + 1
        place = ended[i]
        costs = [
            height - slope * place
            for height, slope in zip(heights[i + 1 : until], slopes[i + 1 : until], strict=True)
        ]
        least = min(costs)
        following[i] = i + 1 + costs.index(least)
        cost = r * (1 - place) + least + weighted[i]
        heights[i] = cost + slopes[i] * place - weighted[i]
    ages, i = [], 0
    while i < last:
        i = following[i]
        ages.append(grain * i)
    return ages


def cost(ages: Sequence[float], durations: Sequence[float], r: float) -> float:
    """What asking at these ages costs on average, in seconds, about jobs that take so long."""
    total = 0.0
    for each in durations:
        requests = next(n for n, age in enumerate(ages, 1) if age >= each)
        total += r * requests + ages[requests - 1] - each
    return total / len(durations)
