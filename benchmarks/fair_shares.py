"""Simulate connectors under Dust's rate limit, and compare with what is promised.

`make shares` prints a table, and fails when a promise is missed. `make picture` draws one connector
alone, and three that share the limit.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

from unit_tests.rate_limit_simulation import (
    ALWAYS,
    LIMIT,
    MINUTE_S,
    SCENARIOS,
    Connector,
    Promise,
    simulate,
    within,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEEDS = range(20)

PICTURED_ANSWER_S = 0.2
PICTURED_SEED = 0
ALONE_MIN = 6
APART_MIN = 4
SHARED_MIN = 16

# Each colour has a contrast of more than 4 on GitHub's white page and on its dark one (#0d1117).
GREY = "#717c87"
COLOURS = {"first": "#1f7fe0", "second": "#c2632d", "third": "#2c8a4b"}


def main() -> None:
    """Print the table, or draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="SVG", help="draw the picture into this file")
    picture = parser.parse_args().picture
    # Each simulated connector says when it waits.
    logging.getLogger("airbyte").setLevel(logging.WARNING)
    if picture:
        draw(picture)
        return
    missed = print_table()
    if missed:
        sys.exit("\n".join(["Missed:", *missed]))


def print_table() -> list[str]:
    """Print a table that can be pasted into an issue, and return the promises that were missed."""
    print("| Scenario | Figure | Promised | At worst |")
    print("| --- | --- | --- | ---: |")
    missed = []
    for (scenario, promise), values in measured().items():
        worst = promise.worst(values)
        print(f"| {scenario} | {promise.figure} | {promise} | {worst:{promise.style}} |")
        if not promise.is_kept(worst):
            missed.append(f"{scenario}: {promise.figure}")
    return missed


def measured() -> dict[tuple[str, Promise], list[float]]:
    """Return the values of each promised figure, over all answer times and seeds."""
    rows: defaultdict[tuple[str, Promise], list[float]] = defaultdict(list)
    always: defaultdict[tuple[str, Promise], list[float]] = defaultdict(list)
    for scenario in SCENARIOS:
        for answer_s, seed in product(scenario.answer_times_s, SEEDS):
            figures = scenario.measure(answer_s, seed)
            for promise in scenario.promises:
                rows[str(scenario), promise].append(figures[promise.figure])
            for promise in ALWAYS:
                always["all of these", promise].append(figures[promise.figure])
    return rows | always


def draw(path: str) -> None:
    """Draw how one connector alone keeps to the limit, and how three share it.

    The picture is as wide as a phone, so that its text is legible there.
    """
    # In an environment of its own, which the table does not need.
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    # The same file from the same figures; letters as paths, since fonts differ between machines.
    mpl.rcParams.update({"svg.hashsalt": "shares", "svg.fonttype": "path", "font.size": 13})
    for part in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        mpl.rcParams[part] = GREY
    figure, (alone, shared) = plt.subplots(2, 1, figsize=(5, 6.4), layout="constrained")
    for axes in (alone, shared):
        axes.spines[["top", "right"]].set_visible(False)
    draw_alone(alone)
    draw_shared(shared)
    shared.set(xlabel="minute")
    figure.savefig(path, transparent=True, metadata={"Date": None})


def draw_alone(axes: Axes) -> None:
    """Draw how many records one connector has stored, beside the most that the limit allows."""
    end_s = ALONE_MIN * MINUTE_S
    alone = Connector()
    simulate(alone, answer_s=PICTURED_ANSWER_S, seed=PICTURED_SEED, end_s=end_s)
    axes.set_title("One sync alone: records stored", fontsize=14, loc="left")
    axes.set(xlim=(0, ALONE_MIN), ylim=(0, (ALONE_MIN + 0.6) * LIMIT))
    axes.set(xticks=range(ALONE_MIN + 1), yticks=range(0, (ALONE_MIN + 1) * LIMIT, 2 * LIMIT))
    minutes = range(ALONE_MIN + 1)
    most = [(minute + 1) * LIMIT for minute in minutes]
    axes.step(minutes, most, where="post", color=GREY, linewidth=1.5, linestyle="--")
    axes.text(2.9, 4.35 * LIMIT, "limit", ha="right", va="bottom")
    times_min = [at_s / MINUTE_S for at_s in alone.stored_s]
    axes.plot(times_min, range(1, len(times_min) + 1), color=COLOURS["first"], linewidth=2.5)
    axes.text(3.9, 3.3 * LIMIT, "stored", color=COLOURS["first"], va="top")


def draw_shared(axes: Axes) -> None:
    """Draw how many upserts each of three connectors got in each minute, beside its fair share."""
    end_s = SHARED_MIN * MINUTE_S
    each = [Connector(number * APART_MIN * MINUTE_S) for number in range(len(COLOURS))]
    simulate(*each, answer_s=PICTURED_ANSWER_S, seed=PICTURED_SEED, end_s=end_s)
    axes.set_title("Three syncs: upserts in each minute", fontsize=14, loc="left")
    axes.set(xlim=(0, SHARED_MIN), ylim=(0, 1.15 * LIMIT))
    axes.set(xticks=range(0, SHARED_MIN + 1, APART_MIN), yticks=range(0, LIMIT + 1, 40))
    ends_min = [APART_MIN, 2 * APART_MIN, SHARED_MIN]
    for number, (name, colour) in enumerate(COLOURS.items()):
        start_min = number * APART_MIN
        counts = [
            within(each[number].stored_s, minute * MINUTE_S, (minute + 1) * MINUTE_S)
            for minute in range(start_min, SHARED_MIN)
        ]
        edges = range(start_min, SHARED_MIN + 1)
        axes.stairs(counts, edges, baseline=None, color=colour, linewidth=2.5)
        axes.text(start_min + 0.35, LIMIT - 22 * number - 5, name, color=colour, va="top")
        share, end_min = LIMIT // (number + 1), ends_min[number]
        axes.hlines(share, start_min, end_min, color=GREY, linestyle="--", zorder=3)
        said = f"{share} each" if number else "fair share:"
        axes.text((start_min + end_min) / 2, 15, said, ha="center")


if __name__ == "__main__":
    main()
