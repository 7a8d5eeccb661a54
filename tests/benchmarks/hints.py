"""
What C{Retry-After} is worth to those who obey it and know nothing else, beside our own client.

    python -m tests.benchmarks.hints

On a virtual clock. A poller that waits for as many (whole) seconds as it is told to follows jobs
of which the server has seen others; our client's rule has learned from the same ones. Both know
no other bounds than the server's. Then the same with workers that say when they will be done,
well or badly. It takes some minutes.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import exp
from typing import cast

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock

from statusjob.jobs import Job, Status
from statusjob.pace.bounds import POLLING_INTERVAL, RETRY_AFTER_LIMIT, Pace
from statusjob.pace.durations import REMEMBERED, Durations
from statusjob.server.feed import Feed
from statusjob.server.forecast.learner import Forecast
from statusjob.server.forecast.outlook import Estimate, EstimatedJob, Outlook
from statusjob.server.store.interface import Update
from tests.benchmarks.clocked import clocked
from tests.benchmarks.jobs import JobSet, best, cost, extreme_sets, sets
from tests.helpers.core import Core
from tests.helpers.lanes import InlineLane

REQUEST_COST = POLLING_INTERVAL
#: How often the jobs to learn from are drawn.
DRAWS = 8
#: Seconds between two reports of a worker that says when it will be done.
EVERY = 5.0
#: Jobs that may take so long (seconds) are left out.
HOURS = 10_000.0

#: From a job's duration to what its worker expects to be left, at ages (both in seconds).
Worker = Callable[[float], Iterable[tuple[float, float]]]


def follow(durations: Iterable[float], wait: Callable[[float], float]) -> float:
    """What it costs on average to follow jobs, in seconds; C{wait} gives a wait for an age."""
    costs = []
    for duration in durations:
        age = total = 0.0
        while age < duration:
            age += wait(age)
            total += REQUEST_COST
        costs.append(total + age - duration)
    return statistics.mean(costs)


def told(known: Sequence[float]) -> Callable[[float], float]:
    """As the server says, having seen these jobs."""
    return Outlook(known).retry_after


def ours(known: Sequence[float], seed: int) -> Callable[[float], float]:
    """As our client chooses."""
    plan = Durations(tuple((each, each) for each in known)).plan(REQUEST_COST)
    pace, draw = Pace(REQUEST_COST, RETRY_AFTER_LIMIT, plan), random.Random(seed)
    return lambda age: pace.next_wait(age, draw=draw.random())


def obeying() -> None:
    """Cost over the least possible one, set by set."""
    # Jobs of hours take their time here, and there is little to be told apart.
    every = [each for each in sets() + extreme_sets() if max(each.held_out) < HOURS]
    least = [
        cost(best(jobs.held_out, REQUEST_COST, RETRY_AFTER_LIMIT), jobs.held_out, REQUEST_COST)
        for jobs in every
    ]
    print(f"\nCost (seconds late + {REQUEST_COST:g} a request) over the least possible one")
    print("| | " + " | ".join(jobs.title for jobs in every) + " | mean | worst |")
    print("|---|" + "---|" * (len(every) + 2))

    def row(name: str, values: Sequence[float]) -> None:
        cells = [f"{each:.3f}" for each in (*values, statistics.mean(values), max(values))]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)

    for known in (0, 20, 100):
        obeyed, chosen = [], []
        for jobs, one in zip(every, least, strict=True):
            seeds = range(DRAWS if known else 1)
            samples = [random.Random(seed).sample(jobs.train, known) for seed in seeds]
            obeyed.append(
                statistics.mean(follow(jobs.held_out, told(each)) for each in samples) / one
            )
            chosen.append(
                statistics.mean(follow(jobs.held_out, ours(each, 1)) for each in samples) / one
            )
        row(f"`Retry-After` obeyed, {known} jobs seen", obeyed)
        row(f"our client, {known} jobs seen", chosen)
        row("the one over the other", [a / b for a, b in zip(obeyed, chosen, strict=True)])


class Server:
    """A server's forecast, and nothing else of it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.feed = Feed()
        self.forecast = Forecast(
            cast(IReactorTime, self.clock),
            Core().store,
            self.feed,
            InlineLane(),
            self.clock.seconds,
        )
        self.forecast.start()
        self.clock.advance(1)
        self._ids = iter(range(10**9))

    def tell(self, job: Job) -> Job:
        """The feed brings an update."""
        self.feed.committed([Update(job=job, changed=True)])
        return job

    def follow(self, duration: float, said: Iterable[tuple[float, float]] = ()) -> float:
        """Follow a job from its creation to its end, as told to: what that costs."""
        began = self.clock.seconds()
        job = Job(id=str(next(self._ids)), kind="k", created_at=began, updated_at=began)
        news: Iterator[tuple[float, float]] = iter(said)
        later = next(news, None)
        age = total = 0.0
        while age < duration:
            wait = self.forecast.retry_after(job)
            self.clock.advance(wait)
            age += wait
            total += REQUEST_COST
            while later is not None and later[0] <= min(age, duration):
                at = began + later[0]
                job = self.tell(replace(job, updated_at=at, eta_at=at + later[1]))
                later = next(news, None)
        end = began + duration
        self.tell(
            replace(job, result=Status.COMPLETED, eta_at=None, updated_at=end, finished_at=end)
        )
        return total + age - duration


def learning(jobs: JobSet, worker: Worker = lambda duration: ()) -> str:
    """How a server gets on that starts from nothing."""
    server = Server()
    held_out = jobs.held_out[:400]
    costs = [server.follow(each, worker(each)) for each in held_out]
    least = cost(best(held_out, REQUEST_COST, RETRY_AFTER_LIMIT), held_out, REQUEST_COST)
    parts = (costs[:20], costs[20:100], costs[100:])
    return " ".join(f"{statistics.mean(each) / least:5.2f}" for each in parts)


def workers() -> dict[str, Worker]:
    """What workers may say of the time that is left, every few seconds."""
    draw = random.Random(2)

    def saying(expect: Callable[[float, float], float]) -> Worker:
        def say(duration: float) -> Iterator[tuple[float, float]]:
            age = EVERY * draw.random()
            while age < duration:
                yield age, expect(age, duration - age)
                age += EVERY

        return say

    def off(sigma: float) -> float:
        return exp(draw.gauss(0, sigma))

    return {
        "no ETA": lambda duration: (),
        "ETA off by a tenth": saying(lambda age, left: left * off(0.1)),
        "always twice too long": saying(lambda age, left: 2 * left * off(0.05)),
        "off by a factor of e": saying(lambda age, left: left * off(1)),
        "always an hour": saying(lambda age, left: 3600.0),
        "always 30 s": saying(lambda age, left: 30.0),
        "wild at first": saying(lambda age, left: left * off(min(1.5, 0.3 * left / age))),
        "said once, off by a tenth": lambda duration: [(1.0, (duration - 1) * off(0.1))][
            : duration > 1
        ],
    }


def estimates() -> None:
    """What ETAs are worth, and what bad ones cost."""
    print("\nLearning from nothing: cost over the least possible without an ETA, jobs 1-20,")
    print("21-100, 101-400")
    for jobs in sets():
        print(f"  {jobs.title}")
        for name, worker in workers().items():
            print(f"    {name:28} {learning(jobs, worker)}", flush=True)


def speed() -> None:
    """How long it takes to make an outlook, and to say when to ask again."""
    draw = random.Random(3)
    durations = [60 * exp(draw.gauss(0, 1)) for _ in range(REMEMBERED)]
    estimated = [
        EstimatedJob(each, [Estimate(each * i / 8, each * (1 - i / 8) * 1.2) for i in range(8)])
        for each in durations[:32]
    ]
    server = Server()
    for each in durations[:40]:
        server.follow(each, [(each / 2, each / 2)])
    now = server.clock.seconds()
    job = Job(id="new", kind="k", created_at=now - 5, updated_at=now)
    # What is new is taken into account.
    server.forecast.retry_after(job)
    server.clock.advance(2)
    hinted = replace(job, eta_at=now + 50)
    for what, work, times, goal in (
        ("making an outlook", lambda: Outlook(durations), 20, 10e-3),
        ("making one with ETAs", lambda: Outlook(durations, estimated), 20, 10e-3),
        ("saying when", lambda: server.forecast.retry_after(job), 20_000, 20e-6),
        ("saying when, by an ETA", lambda: server.forecast.retry_after(hinted), 20_000, 20e-6),
    ):
        print(f"{what}: {clocked(work, times) * 1e6:.1f} us (<= {goal * 1e6:g})")


if __name__ == "__main__":
    speed()
    estimates()
    obeying()
