"""Simulate connectors that share a workspace's rate limit, and compare with what is promised.

`make shares` prints a table, and fails when a promise is missed. `make picture` draws what three
connectors get that start one after another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from unit_tests.rate_limit_simulation import (
    LIMIT,
    MINUTE_S,
    SCENARIOS,
    Connector,
    Scenario,
    measure,
    simulate,
    within,
)

SEEDS = range(20)

# What the table shows one run of.
TYPICAL_ANSWER_S = 0.2
TYPICAL_SEED = 0

PICTURED_APART_MIN = 4
PICTURED_MIN = 16

# Each colour has a contrast of more than 4 on GitHub's white page and on its dark one (#0d1117).
GREY = "#717c87"
PICTURED = {"first": "#1f7fe0", "second": "#c2632d", "third": "#2c8a4b"}


def main() -> None:
    """Print the table, or draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", metavar="SVG", help="draw the picture into this file")
    picture = parser.parse_args().picture
    if picture:
        draw(picture)
        return
    missed = list(print_table())
    if missed:
        sys.exit("\n".join(missed))


def print_table() -> Iterator[str]:
    """Print a table that can be pasted into an issue, and yield each promise that was missed."""
    print(
        "| connectors | measured | upserts of each | Jain's index | at worst | use of the limit "
        "| at worst | 429s of each per minute | at most |"
    )
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for scenario in SCENARIOS:
        runs = {
            (answer_s, seed): measure(scenario, answer_s, seed)
            for answer_s in scenario.answer_times_s
            for seed in SEEDS
        }
        typical = runs[TYPICAL_ANSWER_S, TYPICAL_SEED]
        print(
            f"| {scenario} | {span(scenario)} | {', '.join(map(str, typical.upserts))} "
            f"| {typical.jains_index:.3f} | {min(run.jains_index for run in runs.values()):.3f} "
            f"| {typical.use:.1%} | {min(run.use for run in runs.values()):.1%} "
            f"| {typical.mean_429s:.1f} | {max(run.most_429s for run in runs.values())} |"
        )
        for (answer_s, seed), run in runs.items():
            for promise in scenario.missed(run):
                yield f"{scenario}, answers in {answer_s:g} s, seed {seed}: {promise}"


def span(scenario: Scenario) -> str:
    """Return what is measured of a scenario, in words."""
    from_min, end_min = scenario.measured_from_s / MINUTE_S, scenario.end_s / MINUTE_S
    return f"minute {from_min:g} to {end_min:g}"


def draw(path: str) -> None:
    """Draw what each of three connectors stored in each minute, and what all did."""
    # In an environment of its own, which the table does not need.
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    # The same file from the same figures; letters as paths, since fonts differ between machines.
    mpl.rcParams.update({"svg.hashsalt": "shares", "svg.fonttype": "path", "font.size": 12})
    for part in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"):
        mpl.rcParams[part] = GREY
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel="minute", ylabel="upserts per minute")
    axes.set(xlim=(0.5, PICTURED_MIN + 0.5), ylim=(0, 1.15 * LIMIT), yticks=range(0, LIMIT + 1, 20))
    axes.axhline(LIMIT, color=GREY, linewidth=1, linestyle="--")
    axes.text(PICTURED_MIN + 0.5, LIMIT + 2, f"limit: {LIMIT}", ha="right", va="bottom")

    stored = stored_per_minute()
    together = [sum(each) for each in zip(*stored, strict=True)]
    line = {"linewidth": 2, "marker": "o", "markersize": 4}
    axes.plot(range(1, PICTURED_MIN + 1), together, color=GREY, **line)
    axes.text(PICTURED_MIN + 0.5, LIMIT - 6, "together", ha="right", va="top")
    for number, (name, colour) in enumerate(PICTURED.items()):
        first = number * PICTURED_APART_MIN + 1
        counts = stored[number][first - 1 :]
        axes.plot(range(first, PICTURED_MIN + 1), counts, color=colour, **line)
        axes.text(first + 2.2, counts[2] - 4, name, color=colour, va="top")
    figure.savefig(path, transparent=True, metadata={"Date": None})


def stored_per_minute() -> list[list[int]]:
    """Return, of each pictured connector, how many upserts it stored in each minute."""
    connectors = [
        Connector(number * PICTURED_APART_MIN * MINUTE_S) for number in range(len(PICTURED))
    ]
    simulate(
        *connectors, end_s=PICTURED_MIN * MINUTE_S, answer_s=TYPICAL_ANSWER_S, seed=TYPICAL_SEED
    )
    minutes = range(PICTURED_MIN)
    return [
        [within(connector.stored_s, minute * MINUTE_S) for minute in minutes]
        for connector in connectors
    ]


if __name__ == "__main__":
    main()
