"""
How others wait: the schedules of widely used clients, as their sources have it.

Each is what one gets without tuning it. All ask at once and then wait, unless it says otherwise.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf

Waits = Callable[[random.Random], Iterator[float]]


@dataclass(frozen=True)
class Peer:
    """
    A schedule.

    @ivar name: of the package.
    @ivar version: whose source was read.
    @ivar waits: the seconds between requests, for ever.
    @ivar requests: after so many it gives up.
    @ivar seconds: it gives up rather than wait past this age.
    @ivar at_once: whether it asks before it waits.
    """

    name: str
    version: str
    waits: Waits
    requests: float = inf
    seconds: float = inf
    at_once: bool = True

    def watch(self, duration: float, draw: random.Random) -> tuple[int, float | None]:
        """How many requests a job takes, and how many seconds late its end is noticed, if ever."""
        age, requests = 0.0, int(self.at_once)
        for wait in self.waits(draw):
            if age >= duration and requests:
                return requests, age - duration
            if requests >= self.requests or age + wait > self.seconds:
                return requests, None
            age += wait
            requests += 1
        raise AssertionError("it waits for ever")


def every(seconds: float) -> Waits:
    """The same wait each time."""
    return lambda draw: itertools.repeat(seconds)


def growing(first: float, factor: float, longest: float) -> Waits:
    """Longer each time."""

    def waits(draw: random.Random) -> Iterator[float]:
        wait = first
        while True:
            yield wait
            wait = min(wait * factor, longest)

    return waits


def _up_to(waits: Waits) -> Waits:
    """Full jitter: anything from nothing to the wait."""
    return lambda draw: (draw.uniform(0, wait) for wait in waits(draw))


def _and_up_to(waits: Waits, more: float, longest: float) -> Waits:
    return lambda draw: (min(wait + draw.uniform(0, more), longest) for wait in waits(draw))


#: retry.exponential_sleep_generator with future.polling.DEFAULT_POLLING.
GOOGLE = Peer("google-api-core", "2.44.0", _up_to(growing(1, 1.5, 20)), seconds=900)
#: What the server and the client of this project began as.
ORIGINAL = Peer("the original client", "", growing(2, 2, 30), requests=10)

PEERS = [
    GOOGLE,
    # _transformers.t_resolve_operation, but for the sleep that it also makes at the end.
    Peer("google-genai", "3.6.1", growing(1, 1.5, 20)),
    # polling.base_polling: timeout=30 unless there is a Retry-After.
    Peer("azure-core", "1.41.0", every(30)),
    # By far the most frequent in data/*/waiters-2.json.
    Peer("botocore waiters", "1.44.8", every(15), requests=40),
    # vector_stores.files.poll: 1000 ms unless the server says otherwise.
    Peer("openai", "3.57.0", every(1)),
    # Client.poll_interval; the prediction's creation told that it had begun.
    Peer("replicate", "1.0.7", every(0.5), at_once=False),
    # wait_exponential_jitter(max=60).
    Peer("tenacity", "9.1.4", _and_up_to(growing(1, 2, inf), 1, 60)),
    # on_predicate(expo, max_value=60), with full_jitter by default.
    Peer("backoff", "2.2.1", _up_to(growing(1, 2, 60))),
    ORIGINAL,
]
