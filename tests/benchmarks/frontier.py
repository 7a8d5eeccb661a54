"""
Draws requests against delay: what the pace reaches, what others do, and what nobody can better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

import matplotlib

from statusjob.pace.schedule import optimum
from tests.benchmarks.jobs import JobSet, ask, extreme_sets, sets
from tests.benchmarks.schedules import PEERS
from tests.benchmarks.watching import Outcome, average

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import FuncFormatter, NullFormatter

PICTURE = Path(__file__).with_name("pace.png")
#: What a request is worth along the curves, in seconds.
WORTH = [2 ** (n * 0.75) for n in range(-5, 9)]
#: Where jobs take hours, less would take too long to find out.
LEAST_WORTH_OF_HOURS = 1.0
OURS, OTHERS, BEST = "#c0392b", "#34495e", "#95a5a6"
MARKERS = "osD^v<>PX"

Watching = Callable[..., Outcome]


def limit(jobs: JobSet, r: float) -> Outcome:
    """The best that is possible for one who knows beforehand how long these jobs will take."""
    ends = [0.0, *sorted(jobs.held_out)]
    following, _ = optimum(ends, [1 / len(jobs.held_out)] * len(jobs.held_out), r)
    ages, i = [], 0
    while i < len(following):
        i = following[i]
        ages.append(ends[i])
    return average(ask(ages, jobs.held_out))


def draw(ours: Watching, theirs: Watching) -> None:
    """
    Draw L{PICTURE}.

    @param ours: what our client makes of a set, and
    @param theirs: what another's schedule does.
    """
    figure, panels = pyplot.subplots(2, 3, figsize=(13, 8.6))
    for axes, jobs in zip(panels.flat, [*sets(), extreme_sets()[0]], strict=True):
        _curves(axes, jobs, ours)
        _points(axes, jobs, theirs)
        _dress(axes, jobs.title)
    for axes in panels[1]:
        axes.set_xlabel("requests a job")
    for axes in panels[:, 0]:
        axes.set_ylabel("seconds late, on average")
    figure.suptitle(
        "Requests against delay: further down and left is better, grey is impossible", fontsize=13
    )
    handles, labels = panels.flat[0].get_legend_handles_labels()
    (hollow,) = panels.flat[0].plot([], [], "o", color=OTHERS, markerfacecolor="white")
    figure.legend(
        [*handles, hollow],
        [*labels, "hollow: gives up on over 1 % of the jobs"],
        loc="lower center",
        ncol=5,
        frameon=False,
        fontsize=9.5,
    )
    figure.tight_layout(rect=(0, 0.09, 1, 0.98))
    figure.savefig(PICTURE, dpi=110)
    pyplot.close(figure)
    print(f"\n{PICTURE}")


def _curves(axes: Any, jobs: JobSet, ours: Watching) -> None:
    """What can be had by another C{polling_interval}."""
    hours = max(jobs.held_out) > 10_000
    worth = [r for r in WORTH if r >= LEAST_WORTH_OF_HOURS or not hours]

    def curve(watching: Callable[[float], Outcome]) -> tuple[list[float], list[float]]:
        outcomes = [watching(r) for r in worth]
        return [each.requests for each in outcomes], [each.delay for each in outcomes]

    def watching(known: int, r: float) -> Outcome:
        return ours(jobs, known, r=r, longest=max(30.0, 15 * r), draws=1 if hours else 2)

    requests, delays = curve(partial(limit, jobs))
    axes.fill_between(requests, delays, 1e-3, color="#ecf0f1", linewidth=0, zorder=0)
    axes.plot(requests, delays, color=BEST, linewidth=1, label="the best possible")
    requests, delays = curve(partial(watching, 20))
    axes.plot(requests, delays, color=OURS, linewidth=2.4, label="statusjob, 20 jobs seen")
    # Who attaches to a job asks at age 0, too; after that it is the same.
    more = [each + 1 for each in requests]
    label = "the same, attaching to a job"
    axes.plot(more, delays, color=OURS, linewidth=1.2, linestyle="--", label=label)
    requests, delays = curve(partial(watching, 0))
    label = "statusjob, nothing known"
    axes.plot(requests, delays, color=OURS, linewidth=1.2, linestyle=":", label=label)
    default = watching(20, 2.0)
    at = default.requests, default.delay
    axes.plot(*at, "*", color=OURS, markersize=13, zorder=4, label="its default")


def _points(axes: Any, jobs: JobSet, theirs: Watching) -> None:
    """What others do, if they were patient."""
    for peer, marker in zip(PEERS, MARKERS, strict=True):
        outcome = theirs(jobs, replace(peer, requests=inf, seconds=inf))
        gives_up = theirs(jobs, peer).missed > 0.01
        axes.plot(
            outcome.requests,
            outcome.delay,
            marker,
            color=OTHERS,
            markersize=7,
            markerfacecolor="white" if gives_up else OTHERS,
            label=peer.name,
        )


def _dress(axes: Any, title: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlim(0.9, 400)
    axes.set_ylim(0.2, 150)
    axes.grid(True, which="major", color="#dfe4e6", linewidth=0.7)
    axes.set_title(title, fontsize=11)
