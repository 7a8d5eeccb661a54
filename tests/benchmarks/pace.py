"""
How many requests watching a job takes, and how late its end is noticed: the pace against others.

    python -m tests.benchmarks.pace

Everything runs on a virtual clock; the C{StatusClient} is the real one. Rules are judged by
halves of the sets that nothing was learned from. With matplotlib (C{pip install '.[bench]'}) it
also draws C{tests/benchmarks/pace.png}. It takes some minutes.
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import exp, inf, sqrt

from statusjob import DurationMemory
from statusjob.pace.bounds import MAX_INTERVAL, POLLING_INTERVAL, Pace
from statusjob.pace.durations import REMEMBERED, Durations
from statusjob.pace.estimates import EstimateErrors
from tests.benchmarks.clocked import clocked
from tests.benchmarks.jobs import JobSet, best, cost, extreme_sets, sets
from tests.benchmarks.schedules import GOOGLE, ORIGINAL, PEERS, Peer
from tests.benchmarks.watching import Outcome, after, average, watch

R, LONGEST = POLLING_INTERVAL, MAX_INTERVAL
#: How often twenty jobs to learn from are drawn.
DRAWS = 10


def ours(
    jobs: JobSet,
    known: int,
    *,
    r: float = R,
    longest: float = LONGEST,
    submitted: bool = True,
    draws: int = DRAWS,
    most: int | None = None,
) -> Outcome:
    """
    What our client makes of a set.

    @param known: how many jobs it has learned from, drawn anew C{draws} times.
    @param most: how many jobs it watches; C{None} for all.
    """
    seen = []
    for seed in range(draws if known else 2):
        memory = after(random.Random(seed).sample(jobs.train, known))
        held_out = jobs.held_out[:most]
        seen += watch(held_out, memory, r=r, longest=longest, submitted=submitted, seed=seed)
    return average(seen)


def theirs(jobs: JobSet, peer: Peer, most: int | None = None) -> Outcome:
    """What another's schedule makes of a set."""
    draw = random.Random(1)
    return average([peer.watch(each, draw) for each in jobs.held_out[:most] for _ in range(4)])


def yardstick(jobs: JobSet) -> float:
    """The least cost that is possible within the default bounds, for one who knows the half."""
    return cost(best(jobs.held_out, R, LONGEST), jobs.held_out, R)


def costs() -> None:
    """The cost of every rule over the least possible one."""
    every = sets() + extreme_sets()
    least = [yardstick(jobs) for jobs in every]
    print(f"\nCost (seconds late + {R:g} a request) over the least possible one, by set")
    print("| | " + " | ".join(jobs.title for jobs in every) + " |")
    print("|---|" + "---|" * len(every))
    print("| *the least possible* | " + " | ".join(f"{each:.1f} s" for each in least) + " |")

    def row(name: str, make: Callable[[JobSet], Outcome]) -> list[float]:
        ratios = [make(jobs).cost(R) / one for jobs, one in zip(every, least, strict=True)]
        print(f"| {name} | " + " | ".join(f"{each:.2f}" for each in ratios) + " |", flush=True)
        return ratios[: len(sets())]

    row("statusjob, nothing known", lambda jobs: ours(jobs, 0))
    twenty = row("statusjob, 20 jobs seen", lambda jobs: ours(jobs, 20))
    hundred = row("statusjob, 100 jobs seen", lambda jobs: ours(jobs, 100))
    row("the same, asking at age 0, too", lambda jobs: ours(jobs, 100, submitted=False))
    for peer in PEERS:
        patient = replace(peer, requests=inf, seconds=inf)
        row(peer.name, partial(theirs, peer=patient))
    print("\nJobs whose end is never noticed, because it gives up")
    for peer in PEERS:
        missed = [(jobs.title, theirs(jobs, peer).missed) for jobs in every]
        told = [f"{title} {part:.1%}" for title, part in missed if part]
        if told:
            print(f"  {peer.name:20} " + ", ".join(told))
    print(
        f"\nafter 20 jobs:  mean {statistics.mean(twenty):.3f} (<= 1.10),"
        f" worst {max(twenty):.3f} (<= 1.14)"
        f"\nafter 100 jobs: mean {statistics.mean(hundred):.3f} (<= 1.08)"
    )


def equal_delay(jobs: JobSet, target: float, *, submitted: bool, most: int) -> Outcome:
    """Our client after 20 jobs, with the C{polling_interval} that makes it as late as that."""
    low, high = 0.02, 200.0
    for _ in range(14):
        r = sqrt(low * high)
        outcome = ours(
            jobs, 20, r=r, longest=max(LONGEST, 15 * r), submitted=submitted, draws=4, most=most
        )
        if outcome.delay > target:
            high = r
        else:
            low, found = r, outcome
    return found


def fewer() -> None:
    """How many times fewer requests than others, at the same mean delay."""
    print("\nTimes fewer requests at the same mean delay, 20 jobs seen: submitted, (attached)")
    goals = {GOOGLE: (2.2, 1.8), ORIGINAL: (1.75, 1.3)}
    for peer, (goal, goal_attached) in goals.items():
        # Those that give up would be compared on the short jobs only.
        patient = replace(peer, requests=inf, seconds=inf)
        ratios: dict[bool, list[float]] = {True: [], False: []}
        for jobs in sets() + extreme_sets():
            most = 60 if jobs.title == "GPU cluster" else 500
            other = theirs(jobs, patient, most)
            for submitted, each in ratios.items():
                outcome = equal_delay(jobs, other.delay, submitted=submitted, most=most)
                assert not outcome.missed
                each.append(other.requests / outcome.requests)
            print(
                f"  {peer.name:20} {jobs.title:18} {other.requests:6.2f} requests,"
                f" {other.delay:5.2f} s late: {ratios[True][-1]:.2f} ({ratios[False][-1]:.2f})",
                flush=True,
            )
        judged = len(sets())
        means = [statistics.geometric_mean(ratios[each][:judged]) for each in (True, False)]
        print(
            f"  {peer.name:20} geometric mean over the first {judged}:"
            f" {means[0]:.2f} (>= {goal}), attached {means[1]:.2f} (>= {goal_attached})"
        )


def learning() -> None:
    """A client that starts from nothing and learns from each job, by the original contract."""
    print("\nCost over the least possible one while learning: jobs 1-20, 21-100, 101-400")
    for jobs in sets():
        least = cost(best(jobs.held_out[:400], R, LONGEST), jobs.held_out[:400], R)
        line = f"  {jobs.title:18}"
        for name, tells_times in (("bare answers", False), ("Last-Modified", True)):
            seen = watch(jobs.held_out[:400], DurationMemory(), tells_times=tells_times)
            parts = [seen[:20], seen[20:100], seen[100:]]
            ratios = [average(part).cost(R) / least for part in parts]
            line += f"   {name} " + " ".join(f"{each:.2f}" for each in ratios)
        print(line, flush=True)


def hinted() -> None:
    """A worker that tells an ETA with every answer."""
    print("\nAn ETA in every answer, one at age 0 included; 20 jobs seen: requests, seconds late")
    for sigma, factor in ((0.1, 1.0), (0.3, 1.0), (0.1, 2.0), (0.1, 0.5)):
        line = f"  error sigma {sigma}, ETA x {factor:g}: "
        for jobs in sets():
            draw = random.Random(2)
            hints = EstimateErrors()
            seen: list[tuple[int, float]] = []
            for duration in itertools.chain(jobs.train[:20], jobs.held_out[:300]):
                learned = len(seen) >= 20
                age, given = 0.0, []
                while age < duration:
                    left = (duration - age) * factor * exp(draw.gauss(0, sigma))
                    given.append((left, duration - age))
                    # It is the server that knows of ETAs; its word exceeds the longest wait.
                    pace = Pace(R, 3600.0, hints.plan(left, R, age=age))
                    age += pace.next_wait(age, draw=draw.random())
                seen.append((len(given) + 1, age - duration))
                for left, actual in () if learned else given:
                    hints = hints.learn(left, actual)
            outcome = average(seen[20:])
            line += f" {jobs.title} {outcome.requests:.2f}, {outcome.delay:.1f};"
        print(line, flush=True)


def speed() -> None:
    """How long planning and looking up take."""
    draw = random.Random(3)
    full = Durations()
    for _ in range(REMEMBERED):
        low = 60 * exp(draw.gauss(0, 1))
        full = full.learn(low, 1.2 * low)
    plan = full.plan(R)
    pace = Pace(schedule=plan)
    hints = EstimateErrors().learn(100.0, 110.0)
    table = iter(range(10**6))
    times = {
        "planning from 256 durations": (clocked(lambda: full.plan(R), 20), 10e-3),
        "planning from a new kind of hint": (
            clocked(lambda: hints.plan(1.1 ** (next(table) % 150), R), 100),
            10e-3,
        ),
        "one wait": (clocked(lambda: pace.next_wait(50.0, draw=0.5), 20_000), 20e-6),
        "one wait after a hint": (clocked(lambda: hints.plan(77.0, R)(3.0), 20_000), 20e-6),
    }
    print()
    for name, (taken, goal) in times.items():
        print(f"{name}: {taken * 1e6:.1f} us (<= {goal * 1e6:g})")


def main() -> None:
    """Everything."""
    speed()
    costs()
    learning()
    hinted()
    fewer()
    try:
        from tests.benchmarks.frontier import draw
    except ImportError as error:
        print(f"\nno picture: {error}")
    else:
        draw(ours, theirs)


if __name__ == "__main__":
    main()
